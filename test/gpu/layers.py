"""Every decoder layer by itself against that of transformers, which is fed with what ours was fed: an error can
neither hide behind another layer's nor be blamed on one. Steps are those of oracle.py, shorter; artefacts are
compiled with --no-reuse, so that every activation is still there after a step. "layers" takes the goldens'
checkpoints, "layers-0.6b" one in the shape of Qwen3-0.6B.

A layer's output over all tokens of a script, and the logits that follow from the last one: relative L2 error
against f32 at most 1e-4 in f32 (1e-3 with extreme k_norm weights), else at most 1.2 times that of transformers in
the same type on the same inputs, and 1.1 times in the geometric mean over layers and scripts (transformers rounds
its logits, ours are f32: they would say nothing in a mean). No token above three times the worst of transformers
(of the bound in f32). The stream between attention and MLP is judged alike, but not fed.
"""
import json
import os
import random
import subprocess
import tempfile

import oracle
import steps

CASE, BIG = "layers", "layers-0.6b"
MOST, MEAN, ROW = 1.2, 1.1, 3.0


def big_artefact(folder):
    return os.path.join(folder, f"{BIG}.sinter")


def artefact(folder, name, dtype):
    return os.path.join(folder, f"{CASE}.{name}.{dtype}.sinter")


def compile_model(compiler, model, target, budget, path, *options):
    subprocess.run([compiler, model, f"--target={target}", "--no-reuse", "--max-tokens-per-step", str(budget),
                    "-o", path, *options], check=True)


def build_big(folder, compiler, target):
    compile_model(compiler, oracle.SHAPE, target, oracle.BUDGET, big_artefact(folder))


def small_scripts(length, budget):
    ends = [length - 5 * i % 13 for i in range(8)]
    return [steps.chunks(ends[:2], budget), steps.chunks(ends[:2], 7), steps.decode(3, length // 2, length, budget, 4),
            steps.decode(8, length * 3 // 4, length, budget, 4), steps.mixed(ends, budget, 3), steps.guesses(ends[:4], budget, 3)]


def large_scripts(budget):
    return [steps.chunks([260, 65], budget), steps.decode(8, 24, 40, budget, 4), steps.mixed([90] * 4, 128, 3, 0.2),
            steps.guesses([40] * 6, 48, 3, 0.2)]


def tokens_of(script):
    """(sequence, position) of every token of every step, in the order of the step's batch."""
    done = [0] * len(script.lengths)
    for step in script.steps:
        for _ in range(step["times"]):
            order = []
            for sequence, count, _ in step["items"]:
                order += [(sequence, at) for at in range(done[sequence], done[sequence] + count)]
                done[sequence] += count
            yield order


def stream_of(tensors, script, names):
    """What these ops gave: [op][sequence] -> [tokens, hidden] f32. Missing names raise KeyError: then a residual is
    added elsewhere than in the ops that layers are judged by."""
    import torch
    stream = [[[None] * length for length in script.lengths] for _ in names]
    for number, order in enumerate(tokens_of(script)):
        for name, sequences in zip(names, stream):
            values = tensors[f"{number}/{name}"].float()
            assert len(values) == len(order), (name, values.shape, len(order))
            for (sequence, at), row in zip(order, values):
                sequences[sequence][at] = row
    return [[torch.stack(rows) for rows in sequences] for sequences in stream]


def fed(model, ids, stream, sequence):
    """What each layer makes of our input to it, at its end and after attention, and the logits of our last output:
    transformers in the model's type."""
    import torch
    inner, results, middles = model.model, [], []

    def feed(layer):
        def hook(_module, arguments, keywords):
            given = stream[layer][sequence][None].to(model.device, model.dtype)
            if arguments:
                return (given, *arguments[1:]), keywords
            return arguments, {**keywords, "hidden_states": given}
        return hook

    def note(_module, _arguments, result):
        results.append((result[0] if isinstance(result, tuple) else result)[0].float().cpu())

    def note_middle(_module, arguments):
        middles.append(arguments[0][0].float().cpu())

    hooks = [layer.register_forward_hook(note) for layer in inner.layers]
    hooks += [layer.post_attention_layernorm.register_forward_pre_hook(note_middle) for layer in inner.layers]
    hooks += [layer.register_forward_pre_hook(feed(i), with_kwargs=True) for i, layer in enumerate(inner.layers)]
    hooks.append(inner.norm.register_forward_pre_hook(feed(len(inner.layers)), with_kwargs=True))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0]
    for hook in hooks:
        hook.remove()
    assert len(middles) == len(results) == len(inner.layers)
    return [*results, *middles, logits.float().cpu()]


def check_script(runner, label, script, pool, models, dtype, tensors, logits, bound):
    """The layers' errors, as parts of transformers' or of the bound."""
    import torch
    exact_model, same_model = models
    layers = len(exact_model.model.layers)
    try:
        stream = stream_of(tensors, script, ["embed", *(f"layers.{i}.mlp.down" for i in range(layers))])
        middle = stream_of(tensors, script, [f"layers.{i}.attn.o" for i in range(layers)])
    except KeyError as error:
        runner.expect(False, f"{label}: no activation {error}")
        return []
    table = exact_model.model.embed_tokens.weight.float().cpu()
    for sequence, length in enumerate(script.lengths):
        at = torch.tensor(pool[sequence][:length])
        rows = table[at].to(oracle_type(dtype)).float()
        runner.expect(torch.equal(stream[0][sequence], rows), f"{label}: sequence {sequence} begins with other rows")
    ids = [pool[sequence][:length] for sequence, length in enumerate(script.lengths)]
    exact = [fed(exact_model, one, stream, i) for i, one in enumerate(ids)]
    theirs = [fed(same_model, one, stream, i) for i, one in enumerate(ids)] if same_model else None
    ours = [[*(stream[layer + 1][i] for layer in range(layers)), *(part[i] for part in middle)] for i in range(len(ids))]
    ratios, norm = [], runner.numpy.linalg.norm

    def compare(what, mine, right, other, wrong):
        allowed = runner.error(other, right) * MOST if other is not None else bound
        error = runner.error(mine, right)
        runner.expect(bool(runner.numpy.isfinite(mine).all()), f"{label} {what}: not finite")
        runner.expect(error <= allowed, f"{label} {what}: error {error:.3g}, bound {allowed:.3g}")
        size = norm(right, axis=1)
        rows, most = norm(mine - right, axis=1) / size, bound if other is None else float((norm(other - right, axis=1) / size).max())
        at = int(rows.argmax())
        runner.expect(rows[at] <= ROW * most, f"{label} {what}: token {at}: error {rows[at]:.3g}, bound {ROW * most:.3g}")
        # What another layer gave must be noticed, else the comparison shows nothing.
        runner.expect(runner.error(wrong, right) > 3 * allowed, f"{label} {what}: its input passes as its output")
        return error / allowed * (MOST if other is not None else 1)

    def whole(parts, layer):
        return torch.cat([part[layer] for part in parts]).numpy()

    for layer in range(layers):
        for part, what in ((layers + layer, "attention"), (layer, "layer")):
            ratios.append(compare(f"{what} {layer}", whole(ours, part), whole(exact, part), theirs and whole(theirs, part),
                                  torch.cat(stream[layer]).numpy()))
    right, other = (runner.numpy.stack([part[sequence][-1][at].numpy() for sequence, at in script.rows]) if part else None
                    for part in (exact, theirs))
    runner.expect(len(logits) == len(script.rows), f"{label}: {len(logits)} rows, {len(script.rows)} expected")
    compare("logits", logits, right, other, runner.numpy.roll(logits, 1, axis=1))
    return ratios


def oracle_type(dtype):
    import torch
    return {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[dtype]


def check(runner, name, path, weights, dtype, scripts, vocab, load):
    from safetensors.torch import load_file
    rng = random.Random(11)
    pool = [[rng.randrange(vocab) for _ in range(max(max(s.lengths) for s in scripts))]
            for _ in range(max(len(s.lengths) for s in scripts))]
    models = load(weights, "f32"), None if dtype == "f32" else load(weights, dtype)
    bound, ratios, done = 1e-3 if name.startswith("knorm") else 1e-4, [], 0
    for script in scripts:
        label = f"{CASE} {name} {dtype} {script.name}"
        with tempfile.TemporaryDirectory() as folder:
            kept = os.path.join(folder, "activations.safetensors")
            logits, problem = oracle.steps_of(runner, path, weights, pool, script, ["--activations", kept])
            if logits is None:
                runner.expect(False, f"{label}: {problem}")
                continue
            got = check_script(runner, label, script, pool, models, dtype, load_file(kept), logits, bound)
        done += bool(got)
        ratios += got
        print(f"{label:<64} worst {max(got, default=0):.3f} of the {'bound' if dtype == 'f32' else 'error of transformers'}", flush=True)
    runner.expect(done == len(scripts), f"{CASE} {name} {dtype}: {done} of {len(scripts)} scripts ran")
    if ratios and dtype != "f32":
        mean = float(runner.numpy.exp(runner.numpy.log(ratios).mean()))
        print(f"{CASE} {name} {dtype}: {mean:.3f} times the error of transformers in the mean", flush=True)
        runner.expect(mean <= MEAN, f"{CASE} {name} {dtype}: {mean:.3f} times the error of transformers in the mean")


def check_tiny(runner, name, dtype, path, directory, budget):
    with open(os.path.join(directory, "config.json")) as file:
        config = json.load(file)
    scripts = small_scripts(min(oracle.LENGTH, config["max_position_embeddings"]), budget)
    check(runner, name, path, directory, dtype, scripts, config["vocab_size"], oracle.load_tiny)


def check_big(runner, folder):
    with tempfile.TemporaryDirectory() as directory:
        oracle.make_checkpoint(directory)
        with open(os.path.join(directory, "config.json")) as file:
            vocab = json.load(file)["vocab_size"]
        check(runner, oracle.SHAPE, big_artefact(folder), directory, "bf16", large_scripts(oracle.BUDGET), vocab, oracle.load_big)
