#!/usr/bin/env python3
"""What a user would run instead, measured on this machine: Qwen3 shapes in PyTorch.

  peers.py [--json docs/benchmarks/h200.json] [--compile] [--only decode/0.6b/b1/c512,...]

A hand-written model with merged qkv and gate/up projections and a static KV cache of exactly the
context's length (better than any real serving loop), bf16, random weights, the whole step in one
CUDA graph; attention by scaled_dot_product_attention, which is also measured alone. `--compile` adds torch.compile
(max-autotune-no-cudagraphs, captured in the same graph): minutes of compilation. With --json the
fastest result of each name is written into the records of that file that have this name. Needs
PyTorch with CUDA.
"""
import argparse
import json
import os
import statistics
import time

SHAPES = {  # layers, hidden, intermediate, query heads, kv heads, head size, vocabulary, tied
    "0.6b": (28, 1024, 3072, 16, 8, 128, 151936, True),
    "8b": (36, 4096, 12288, 32, 8, 128, 151936, False),
}
NAMES = ["decode/0.6b/b1/c512", "decode/0.6b/b1/c32768", "decode/0.6b/b8/c512",
         "decode/0.6b/b32/c512", "decode/0.6b/b128/c512", "prefill/0.6b/t2048",
         "prefill/0.6b/t8192", "decode/8b/b1/c512", "decode/8b/b32/c512", "decode/8b/b128/c512",
         "prefill/8b/t2048", "attention-decode/0.6b/b1/c4096", "attention-decode/0.6b/b64/c4096",
         "attention-prefill/0.6b/t8192", "attention-prefill/8b/t8192"]


def make_model(torch, shape):
    layers, hidden, inner, heads, kv_heads, dim, vocabulary, tied = SHAPES[shape]
    functional = torch.nn.functional

    def weight(rows, columns):
        return torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) * columns ** -0.5

    embedding = weight(vocabulary, hidden)
    head = embedding if tied else weight(vocabulary, hidden)
    ones = torch.ones(hidden, device="cuda", dtype=torch.bfloat16)
    head_ones = torch.ones(dim, device="cuda", dtype=torch.bfloat16)
    blocks = [(weight((heads + 2 * kv_heads) * dim, hidden), weight(hidden, heads * dim),
               weight(2 * inner, hidden), weight(hidden, inner)) for _ in range(layers)]

    def norm(x, g):
        return functional.rms_norm(x, (x.shape[-1],), g, 1e-6)

    def rope(x, cosines, sines):
        low, high = x.chunk(2, -1)
        return torch.cat([low * cosines - high * sines, high * cosines + low * sines], -1)

    def step(tokens, cosines, sines, caches, causal):
        """tokens [B, T]; caches: per layer K, V [B, kv heads, S, D] whose last T are written."""
        batch, count = tokens.shape
        x = functional.embedding(tokens, embedding)
        for (qkv, o, gate_up, down), (k_cache, v_cache) in zip(blocks, caches):
            y = functional.linear(norm(x, ones), qkv).view(batch, count, -1, dim).transpose(1, 2)
            q, k, v = y.split([heads, kv_heads, kv_heads], 1)
            q = rope(norm(q, head_ones), cosines, sines)
            k_cache[:, :, -count:] = rope(norm(k, head_ones), cosines, sines)
            v_cache[:, :, -count:] = v
            a = functional.scaled_dot_product_attention(q, k_cache, v_cache, is_causal=causal,
                                                        enable_gqa=True)
            x = x + functional.linear(a.transpose(1, 2).reshape(batch, count, -1), o)
            gate, up = functional.linear(norm(x, ones), gate_up).chunk(2, -1)
            x = x + functional.linear(functional.silu(gate) * up, down)
        return functional.linear(norm(x[:, -1], ones), head).argmax(-1)

    return step, (layers, kv_heads, dim, vocabulary)


def measure(torch, model, name, compiled):
    step, (layers, kv_heads, dim, vocabulary) = model
    kind, _, *sizes = name.split("/")
    numbers = {size[0]: int(size[1:]) for size in sizes}
    batch, count = numbers.get("b", 1), numbers.get("t", 1)
    length = numbers.get("c", count)
    if compiled:
        step = torch.compile(step, mode="max-autotune-no-cudagraphs")
    tokens = torch.randint(vocabulary, (batch, count), device="cuda")
    angles = torch.rand(2, count, dim // 2, device="cuda").to(torch.bfloat16)
    caches = [tuple(torch.randn(batch, kv_heads, length, dim, device="cuda", dtype=torch.bfloat16)
                    for _ in range(2)) for _ in range(layers)]
    run = lambda: step(tokens, angles[0], angles[1], caches, kind == "prefill")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()
    times = []
    deadline = time.monotonic() + 3
    while len(times) < 40 and (len(times) < 5 or time.monotonic() < deadline):
        begin = time.perf_counter()
        graph.replay()
        result.cpu()  # a real loop reads the token back
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


def measure_attention(torch, name):
    """Microseconds of a decode step's attention over contiguous caches, or TFLOP/s of a prompt's."""
    functional = torch.nn.functional
    kind, shape, *sizes = name.split("/")
    _, _, _, heads, kv_heads, dim, _, _ = SHAPES[shape]
    numbers = {size[0]: int(size[1:]) for size in sizes}
    batch, count = numbers.get("b", 1), numbers.get("t", 1)
    length = numbers.get("c", count)
    causal = kind == "attention-prefill"
    rounds = 2 if causal else 8  # caches of their own: none stays in the L2

    def some(of, tokens):
        return torch.randn(batch, of, tokens, dim, device="cuda", dtype=torch.bfloat16)

    inputs = [(some(heads, count), some(kv_heads, length), some(kv_heads, length)) for _ in range(rounds)]
    run = lambda: [functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
                   for q, k, v in inputs]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    times = []
    for _ in range(20):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / rounds)
    milliseconds = statistics.median(times)
    if not causal:
        return milliseconds * 1e3
    return 4 * heads * dim * length * (length + 1) / 2 / milliseconds * 1e-9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="records to complete")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well")
    parser.add_argument("--only", help="names separated by commas; all by default")
    arguments = parser.parse_args()
    import torch
    torch.set_grad_enabled(False)
    best = {}
    shape, model = None, None
    names = arguments.only.split(",") if arguments.only else NAMES
    for name in [name for name in names if name.startswith("attention-")]:
        value = measure_attention(torch, name)
        best[name] = (f"torch {torch.__version__}, scaled_dot_product_attention", value)
        print(f"{name:<32}{value:10.3f} {'us' if 'decode' in name else 'TFLOP/s'}", flush=True)
    for name in [name for name in names if not name.startswith("attention-")]:
        if name.split("/")[1] != shape:
            model = None
            torch.cuda.empty_cache()
            shape = name.split("/")[1]
            model = make_model(torch, shape)
        for compiled in [False, True] if arguments.compile else [False]:
            label = f"torch {torch.__version__}, " + ("compiled, " if compiled else "") + "CUDA graph"
            value = measure(torch, model, name, compiled)
            print(f"{name:<28}{value:10.3f} ms   {label}", flush=True)
            if name not in best or value < best[name][1]:
                best[name] = (label, value)
    if arguments.json and os.path.exists(arguments.json):
        with open(arguments.json) as file:
            records = json.load(file)
        for record in records:
            if record["name"] in best:
                record["peer"], record["peer_value"] = best[record["name"]]
        with open(arguments.json, "w") as file:
            json.dump(records, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
