"""Models with random weights against transformers on the same machine, in steps as a server makes them:
batches of 1 to 64, prompts in chunks beside decodes, several tokens a sequence (steps.py). Needs torch and
transformers, and counts as skipped without them.

"oracle" takes the checkpoints and artefacts of the goldens, "oracle-0.6b" a checkpoint in the shape of
Qwen3-0.6B, which it makes where it runs (1.2 GB), to a context of 4096.

The logits of a script's rows: relative L2 error against f32 at most 1e-4 in f32 (1e-3 with extreme k_norm
weights), else at most 1.2 times that of transformers in the same type, and 1.1 times in the geometric mean
over a case's scripts; no row above three times the worst row of transformers. Prompts among decodes give the same
bits without graphs and without dependent launches.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

import steps

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASE, BIG = "oracle", "oracle-0.6b"
SHAPE, CONTEXT, BUDGET = "qwen3-0.6b", 4096, 2048
MOST, MEAN, ROW = 1.2, 1.1, 3.0
WAYS = ["--no-graph", "--no-pdl"]
LENGTH = 60  # of the longest sequence of a tiny model


def big_artefact(folder):
    return os.path.join(folder, f"{BIG}.sinter")


def build(folder, compiler, target):
    subprocess.run([compiler, SHAPE, f"--target={target}", "--max-tokens-per-step", str(BUDGET), "-o",
                    big_artefact(folder)], check=True)


def available():
    try:
        import torch
        import transformers
    except ImportError as error:
        return str(error)
    transformers.utils.logging.disable_progress_bar()
    torch.backends.cuda.matmul.allow_tf32 = False  # f32 is what everything is compared with
    return None


def make_checkpoint(folder):
    """A checkpoint whose branches are as large as the residual stream, so that no part can go missing unseen."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, Qwen3ForCausalLM
    with open(os.path.join(ROOT, f"models/qwen3/{SHAPE}.json")) as file:
        config = json.load(file)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    with torch.device("meta"):
        model = Qwen3ForCausalLM(AutoConfig.from_pretrained(folder))
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, parameter in model.named_parameters():  # a tied head comes once, as the embedding
        if parameter.dim() == 1:
            values = torch.rand(parameter.shape, generator=generator) * 1.1 + 0.5
        else:
            scale = 0.1 if "embed" in name or "lm_head" in name else 0.7 / parameter.shape[1] ** 0.5
            values = torch.randn(parameter.shape, generator=generator) * scale
        tensors[name] = values.to(torch.bfloat16)
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


def load_tiny(directory, dtype):
    sys.path.append(os.path.join(ROOT, "test/models/golden"))
    import make
    from pathlib import Path
    case = next(case for case in make.CASES if case.name == os.path.basename(directory))
    return make.load(Path(directory), case, make.DTYPES[dtype])


def load_big(directory, dtype):
    import torch
    from transformers import Qwen3ForCausalLM
    types = {"f32": torch.float32, "bf16": torch.bfloat16}
    model, info = Qwen3ForCausalLM.from_pretrained(directory, dtype=types[dtype], attn_implementation="eager",
                                                   output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def reference(model, pool, wanted):
    """(sequence, position) -> f32 logits; `wanted` is sequence -> positions."""
    import torch
    rows = {}
    with torch.no_grad():
        for sequence, positions in wanted.items():
            ids = torch.tensor([pool[sequence][:positions[-1] + 1]], device=model.device)
            hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[0]
            logits = model.lm_head(hidden[positions]).float().cpu().numpy()
            rows.update(((sequence, at), row) for at, row in zip(positions, logits))
    return rows


def steps_of(runner, path, weights, pool, script, options=()):
    """Rows of model-steps, or None and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        written, out = os.path.join(folder, "script.json"), os.path.join(folder, "logits.npy")
        with open(written, "w") as file:
            json.dump(script.json(pool), file)
        done = runner.program([os.path.join(runner.arguments.bin, "model-steps"), path, "--weights", weights,
                               "--script", written, "--logits", out, *options], timeout=600)
        if done.returncode != 0:
            return None, done.stderr.strip().splitlines()[-1:]
        return runner.numpy.load(out), None


def check_script(runner, label, script, ours, exact, theirs, bound):
    """The error's share of the bound; `theirs` is None where the bound is a number."""
    numpy = runner.numpy
    runner.expect(len(ours) == len(script.rows), f"{label}: {len(ours)} rows, {len(script.rows)} expected")
    if len(ours) != len(script.rows):
        return None
    size = numpy.linalg.norm(exact, axis=1)
    worst = numpy.linalg.norm(ours - exact, axis=1) / size
    runner.expect(bool(numpy.isfinite(ours).all()), f"{label}: not finite")
    most = bound
    if theirs is not None:
        other = numpy.linalg.norm(theirs - exact, axis=1) / size
        bound, most = runner.error(theirs, exact), float(other.max())
    error = runner.error(ours, exact)
    allowed = bound * (MOST if theirs is not None else 1)
    runner.expect(error <= allowed, f"{label}: error {error:.3g}, bound {allowed:.3g}")
    at = int(worst.argmax())
    runner.expect(worst[at] <= ROW * most,
                  f"{label}: row {at} {script.rows[at]}: error {worst[at]:.3g}, bound {ROW * most:.3g}")
    # The rows of another place must be noticed, else the comparison shows nothing.
    wrong = runner.error(numpy.roll(ours, 1, axis=0), exact) if len(ours) > 1 else 1
    runner.expect(wrong > 3 * allowed, f"{label}: rows that are not its own are off by {wrong:.3g} only")
    return error / bound


def check(runner, name, path, weights, dtype, scripts, vocab, load):
    rng = random.Random(7)
    count = max(len(script.lengths) for script in scripts)
    longest = max(max(script.lengths) for script in scripts)
    pool = [[rng.randrange(vocab) for _ in range(longest)] for _ in range(count)]
    wanted = {}
    for sequence, at in sorted({row for script in scripts for row in script.rows}):
        wanted.setdefault(sequence, []).append(at)
    rows = {}
    for kind in dict.fromkeys(["f32", dtype]):
        model = load(weights, kind)
        rows[kind] = reference(model, pool, wanted)
        del model
    ratios = []
    for script in scripts:
        label = f"{CASE} {name} {dtype} {script.name}"
        ours, problem = steps_of(runner, path, weights, pool, script)
        if ours is None:
            runner.expect(False, f"{label}: {problem}")
            continue
        for way in WAYS if script.name.startswith(steps.MIXED) else []:
            again, problem = steps_of(runner, path, weights, pool, script, [way])
            runner.expect(again is not None and again.tobytes() == ours.tobytes(), f"{label} {way}: {problem or 'other bits'}")
        exact, theirs = (runner.numpy.stack([rows[kind][row] for row in script.rows]) for kind in ("f32", dtype))
        bound = 1e-3 if name.startswith("knorm") else 1e-4
        ratio = check_script(runner, label, script, ours, exact, None if dtype == "f32" else theirs, bound)
        if ratio is not None:
            ratios.append(ratio)
            print(f"{label:<64}{len(ours):>5} rows, error {runner.error(ours, exact):.2e}, {ratio:.3f} of the "
                  f"{'bound' if dtype == 'f32' else 'error of transformers'}", flush=True)
    runner.expect(len(ratios) == len(scripts), f"{CASE} {name} {dtype}: {len(ratios)} of {len(scripts)} scripts ran")
    if ratios and dtype != "f32":
        mean = float(runner.numpy.exp(runner.numpy.log(ratios).mean()))
        runner.expect(mean <= MEAN, f"{CASE} {name} {dtype}: {mean:.3f} times the error of transformers in the mean")


def check_tiny(runner, name, dtype, path, directory, budget):
    with open(os.path.join(directory, "config.json")) as file:
        config = json.load(file)
    scripts = steps.small_scripts(min(LENGTH, config["max_position_embeddings"]), budget)
    check(runner, name, path, directory, dtype, scripts, config["vocab_size"], load_tiny)


def check_big(runner, folder):
    with tempfile.TemporaryDirectory() as directory:
        make_checkpoint(directory)
        with open(os.path.join(directory, "config.json")) as file:
            vocab = json.load(file)["vocab_size"]
        check(runner, SHAPE, big_artefact(folder), directory, "bf16", steps.large_scripts(CONTEXT, BUDGET), vocab,
              load_big)
