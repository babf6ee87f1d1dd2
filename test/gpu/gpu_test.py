#!/usr/bin/env python3
"""Whole models on a GPU against transformers' logits and greedy continuations.

  gpu_test.py build DIR [--bin BIN]   compile the test models into DIR (needs the compiler, no GPU)
  gpu_test.py run DIR [--bin BIN]     run them on this machine's GPU (needs NumPy, no compiler)

The goldens are those of the CPU tests (test/models/golden, models/shakespeare/golden). Bounds: f32
relative L2 <= 1e-4 (1e-3 with extreme k_norm weights), bf16 and f16 at most 1.1 times the error of
transformers in that type. On an fp8 cache some numbers round the other way by chance: f32 at most a
tenth of what the cache changes, 16-bit types 1.3 times the error of transformers on such a cache, and
1.1 times in the geometric mean of the cases.

"bf16-kv_e4m3" is bf16 on an fp8 cache; the goldens' K and V are rounded alike (make_fp8.py). Cases
that end in "-invariant" are compiled with --batch-invariant: every way must give the same
bits, and sinter-serve the same answers alone and beside others (beside.py; shakespeare only).
The case "mutants" is models broken on purpose, which must be outside the bounds (mutants.py), "endurance"
10^4 steps of decode and compute-sanitizer (endurance.py), "oracle" and "oracle-0.6b" steps of many sequences
against transformers on this machine (oracle.py), "layers" and "layers-0.6b" each of their layers by itself (layers.py).

The last line counts what was skipped, each with a line that says why.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import beside
import endurance
import layers
import mutants
import oracle

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "test/models/golden")
SHAKESPEARE = os.path.join(ROOT, "models/shakespeare")
# Model, types, tokens in the largest step. Small steps keep the number of kernels small.
CASES = [
    ("gqa1_d64_f32", ["f32", "bf16"], 32),
    ("gqa2_d64_f16", ["f16"], 32),
    ("gqa3_d64_sharded", ["bf16"], 32),
    ("gqa4_d128", ["bf16"], 64),
    ("gqa3_d96_bias_untied", ["f32", "bf16", "f16"], 32),
    ("gqa5_d80_linear", ["bf16"], 64),
    ("gqa8_d128_yarn", ["bf16", "f32"], 64),
    ("gqa8_d64_three_layers", ["f16"], 32),
    ("knorm96", ["f16", "bf16", "f32"], 32),
    ("knorm6e4", ["f16"], 32),
    ("no_qk_norm", ["bf16"], 32),
    ("window_all", ["bf16", "f16", "f32"], 512),
    ("window_from_layer_1", ["bf16"], 64),
    ("window_alternating", ["f16"], 64),
    ("shakespeare", ["bf16", "f32"], 1024),
    ("gqa2_d64_f16", ["f16-kv_e4m3"], 32),
    ("gqa3_d96_bias_untied", ["bf16-kv_e5m2", "f16-kv_e5m2"], 32),
    ("gqa8_d128_yarn", ["bf16-kv_e4m3", "bf16-kv_e5m2", "f32-kv_e5m2"], 64),
    ("knorm96", ["bf16-kv_e4m3", "f16-kv_e4m3", "f32-kv_e4m3", "bf16-kv_e5m2"], 32),
    ("no_qk_norm", ["bf16-kv_e4m3"], 32),
    ("shakespeare", ["bf16-kv_e4m3", "f32-kv_e5m2"], 1024),
    ("gqa2_d64_f16", ["f16-invariant"], 32),
    ("gqa3_d96_bias_untied", ["bf16-invariant", "f32-invariant"], 32),
    ("gqa8_d128_yarn", ["bf16-invariant"], 64),
    ("knorm96", ["f16-invariant"], 32),
    ("window_all", ["bf16-invariant", "f32-invariant"], 512),
    ("window_alternating", ["bf16-invariant"], 64),
    ("shakespeare", ["bf16-invariant", "bf16-kv_e4m3-invariant"], 1024),
]
MUTANTS = "mutants"
UNBOUNDED = {"knorm6e4.f16"}  # transformers has no finite logits of it: finite, and the same bits, is what is asked
INVARIANT = "-invariant"
CACHE = "-kv_"
# Every way must stay inside the bounds; those marked must also give the first way's bits.
WAYS = [
    ("at once", ["--debug", "poison"], False),
    ("again", ["--debug", "poison"], True),
    ("no graph", ["--no-graph"], True),
    ("no pdl", ["--no-pdl"], True),
    ("no graph, no pdl", ["--no-graph", "--no-pdl"], True),
    ("pages permuted", ["--debug", "poison,shuffle-pages=3"], True),
    ("pages shared", ["--debug", "poison,shuffle-pages=4,share-pages", "--prefill-chunk", "16"], False),
    ("chunks of 7", ["--prefill-chunk", "7"], False),
    ("chunks of 12", ["--prefill-chunk", "12"], False),
    ("token by token", ["--prefill-chunk", "1", "--debug", "poison"], False),
    ("token by token again", ["--prefill-chunk", "1", "--no-graph"], False),
]


def model_directory(name):
    return SHAKESPEARE if name == "shakespeare" else os.path.join(GOLDEN, name)


def artefact(folder, name, dtype):
    return os.path.join(folder, f"{name}.{dtype}.sinter")


def numbers(kind):
    """(type of activations, fp8 format of the cache or "")."""
    dtype, _, cache = kind.removesuffix(INVARIANT).partition(CACHE)
    return dtype, cache


def chosen(arguments):
    """(model, type, tokens in the largest step) of the cases asked for."""
    for name, dtypes, tokens in CASES:
        for dtype in dtypes:
            if wanted(arguments, f"{name}.{dtype}"):
                yield name, dtype, tokens


def for_oracle():
    """The cases whose artefacts "oracle" runs: those of generation as it is, for which transformers has an answer."""
    for name, dtypes, tokens in CASES:
        for dtype in dtypes:
            if name != "shakespeare" and dtype in ("f32", "bf16", "f16") and f"{name}.{dtype}" not in UNBOUNDED:
                yield name, dtype, tokens


def check_names(arguments):
    known = {MUTANTS, endurance.CASE, oracle.CASE, oracle.BIG, layers.CASE, layers.BIG,
             *(f"{name}.{dtype}" for name, dtypes, _ in CASES for dtype in dtypes)}
    for name in arguments.only.split(",") if arguments.only else []:
        if name not in known:
            sys.exit(f"gpu_test.py: error: --only: no case is called {name}")


def wanted(arguments, case):
    return not arguments.only or case in arguments.only.split(",")


def build(arguments):
    os.makedirs(arguments.folder, exist_ok=True)
    cases = list(chosen(arguments))
    if wanted(arguments, oracle.CASE):
        cases += [case for case in for_oracle() if case not in cases]
    for name, kind, tokens in cases:
        dtype, cache = numbers(kind)
        subprocess.run(
            [os.path.join(arguments.bin, "sinter-compile"), model_directory(name),
             f"--target=cuda:{arguments.chip}", "--dtype", dtype,
             "--kv-cache-dtype", f"fp8_{cache}" if cache else "auto",
             "--max-tokens-per-step", str(tokens), "-o", artefact(arguments.folder, name, kind),
             *(["--batch-invariant"] if kind.endswith(INVARIANT) else [])],
            check=True)
    compiler, target = os.path.join(arguments.bin, "sinter-compile"), f"cuda:{arguments.chip}"
    if wanted(arguments, MUTANTS):
        mutants.build(arguments.folder, compiler, target, model_directory(mutants.MODEL))
    if wanted(arguments, endurance.CASE):
        endurance.build(arguments.folder, compiler, target, SHAKESPEARE)
    if wanted(arguments, oracle.BIG):
        oracle.build(arguments.folder, compiler, target)
    if wanted(arguments, layers.CASE):
        for name, dtype, tokens in for_oracle():
            layers.compile_model(compiler, model_directory(name), target, tokens,
                                 layers.artefact(arguments.folder, name, dtype), "--dtype", dtype)
    if wanted(arguments, layers.BIG):
        layers.build_big(arguments.folder, compiler, target)


class Runner:
    def __init__(self, arguments):
        import numpy
        self.numpy = numpy
        self.arguments = arguments
        self.failures = 0
        self.checks = 0
        self.skipped = 0
        self.lock = threading.Lock()
        self.worst = {}
        self.fp8_ratios = []  # errors on fp8 caches over those of transformers

    def expect(self, condition, what):
        with self.lock:
            self.checks += 1
            self.failures += not condition
        if not condition:
            print("FAIL", what, flush=True)

    def skip(self, what, why):
        self.skipped += 1
        print(f"skipped: {what}: {why}", flush=True)

    def sinter_run(self, path, *options, weights=None):
        directory = weights or model_directory(os.path.basename(path).split(".")[0])
        return self.program([os.path.join(self.arguments.bin, "sinter-run"), path, "--weights", directory, "-q", *options])

    def program(self, command, timeout=120):
        """One that takes too long has failed, and the others are still looked at."""
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"not done after {timeout} s")

    def logits(self, path, ids, options, weights=None):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "logits.npy")
            done = self.sinter_run(path, "--token-ids", ",".join(map(str, ids)), "--logits", out,
                                   *options, weights=weights)
            if done.returncode != 0:
                return None, done.stderr.strip().splitlines()[-1:]
            return self.numpy.load(out), None

    def error(self, a, b):
        a, b = a.astype("f8"), b.astype("f8")
        return float(self.numpy.linalg.norm(a - b) / self.numpy.linalg.norm(b))

    def golden_logits(self, name, kind):
        """Prompt, ids, positions; f32 logits on a wide cache and on this one; in this type or None."""
        dtype, cache = numbers(kind)
        labels = ["f32", *(d + CACHE + cache for d in ("f32", dtype))] if cache else ["f32", "f32", dtype]
        if name == "shakespeare":
            folder = os.path.join(SHAKESPEARE, "golden")
            for prompt in ("short", "long") if not cache else ("long",):
                with open(os.path.join(folder, f"logits_{prompt}.json")) as f:
                    golden = json.load(f)
                yield prompt, golden["ids"], golden.get("positions"), *(self.numpy.load(
                    os.path.join(folder, f"logits_{prompt}_{label}.npy")) for label in labels)
            return
        folder = model_directory(name)
        with open(os.path.join(folder, "golden.json")) as f:
            golden = json.load(f)
        paths = [os.path.join(folder, f"logits_{label}.npy") for label in labels]
        yield "", golden["ids"], golden.get("positions"), *(
            self.numpy.load(path) if os.path.exists(path) else None for path in paths)

    def check_logits(self, name, kind):
        path, (dtype, cache) = artefact(self.arguments.folder, name, kind), numbers(kind)
        for prompt, ids, positions, wide, exact, theirs in self.golden_logits(name, kind):
            bound = 1e-4 if dtype == "f32" else None
            if dtype == "f32" and name.startswith("knorm"):
                bound = 1e-3
            if dtype == "f32" and cache:
                bound = 0.1 * self.error(exact, wide)
            if bound is None and theirs is not None:
                bound = (1.3 if cache else 1.1) * self.error(theirs, exact)
            self.expect(bound is not None or f"{name}.{kind}" in UNBOUNDED, f"{name} {kind}: no golden to compare with")
            first = None
            for way, options, same in WAYS:
                ours, problem = self.logits(path, ids, options)
                label = f"{name} {kind} {prompt} {way}"
                if ours is None:
                    self.expect(False, f"{label}: {problem}")
                    continue
                self.expect(bool(self.numpy.isfinite(ours).all()), f"{label}: not finite")
                self.expect(len(ours) == len(ids), f"{label}: {len(ours)} rows of {len(ids)}")
                if bound is not None:
                    error = self.error(ours[positions] if positions else ours, exact)
                    self.worst[(name, kind)] = max(self.worst.get((name, kind), 0), error / bound)
                    self.expect(error <= bound, f"{label}: error {error:.3g}, bound {bound:.3g}")
                if first is None:
                    first = ours
                    if cache and dtype != "f32":
                        self.fp8_ratios.append(1.3 * error / bound)
                elif same or kind.endswith(INVARIANT):
                    others = int((ours.view("u4") != first.view("u4")).any(axis=1).sum())
                    self.expect(others == 0, f"{label}: other bits in {others} of {len(ours)} rows")

    def check_greedy(self):
        with open(os.path.join(SHAKESPEARE, "golden/greedy_f32.json")) as f:
            prompts = json.load(f)
        path = artefact(self.arguments.folder, "shakespeare", "f32")
        self.expect(len(prompts) > 0, "greedy: no prompts")
        for prompt in prompts:
            done = self.sinter_run(path, "--token-ids", ",".join(map(str, prompt["ids"])), "--greedy",
                                   "--ignore-eos", "--max-tokens", str(len(prompt["greedy"])), "--json")
            tokens = json.loads(done.stdout).get("ids") if done.returncode == 0 else done.stderr
            self.expect(tokens == prompt["greedy"], f"greedy {prompt['prompt']!r}: {tokens}")

    def check_beside(self, dtype):
        with open(os.path.join(SHAKESPEARE, "golden/greedy_f32.json")) as f:
            prompts = [prompt["prompt"] for prompt in json.load(f)]
        beside.check(self, artefact(self.arguments.folder, "shakespeare", dtype), SHAKESPEARE, prompts[:12])

    def check_oracle(self):
        cases = [case for case in (oracle.CASE, oracle.BIG, layers.CASE, layers.BIG) if wanted(self.arguments, case)]
        missing = oracle.available() if cases else None
        if missing:
            for case in cases:
                self.skip(case, missing)
            return
        if oracle.CASE in cases:
            for name, dtype, tokens in for_oracle():
                oracle.check_tiny(self, name, dtype, artefact(self.arguments.folder, name, dtype), model_directory(name), tokens)
        if oracle.BIG in cases:
            oracle.check_big(self, self.arguments.folder)
        if layers.CASE in cases:
            for name, dtype, tokens in for_oracle():
                layers.check_tiny(self, name, dtype, layers.artefact(self.arguments.folder, name, dtype),
                                  model_directory(name), tokens)
        if layers.BIG in cases:
            layers.check_big(self, self.arguments.folder)

    def run(self):
        # Most of a run is the start of a process: several share the GPU.
        cases = [(name, dtype) for name, dtype, _ in chosen(self.arguments)]
        with ThreadPoolExecutor(max_workers=6) as pool:
            jobs = [pool.submit(self.check_logits, *case) for case in cases]
            if ("shakespeare", "f32") in cases:
                jobs.append(pool.submit(self.check_greedy))
            for job in jobs:
                job.result()
        for name, dtype in cases:
            if name == "shakespeare" and dtype.endswith(INVARIANT):
                self.check_beside(dtype)
        if wanted(self.arguments, MUTANTS):
            mutants.check(self, self.arguments.folder, model_directory(mutants.MODEL))
        if wanted(self.arguments, endurance.CASE):
            endurance.check_steps(self, self.arguments.folder)
            endurance.check_sanitizer(self, self.arguments.folder, SHAKESPEARE)
        self.check_oracle()
        if 0 < len(self.fp8_ratios) <= 4:
            self.skip("mean of fp8 caches", f"of {len(self.fp8_ratios)} cases it says nothing")
        elif self.fp8_ratios:
            mean = float(self.numpy.exp(self.numpy.log(self.fp8_ratios).mean()))
            self.expect(mean <= 1.1, f"fp8 caches: {mean:.3f} times the error of transformers in the mean")
            print(f"fp8 caches: {mean:.3f} times the error of transformers in the geometric mean")
        for (name, dtype), ratio in sorted(self.worst.items()):
            print(f"{name:<24}{dtype:<24}worst error / bound {ratio:.3f}")
        print(f"{self.checks - self.failures} passed, {self.failures} failed, {self.skipped} skipped")
        return 1 if self.failures or not self.checks else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["build", "run"])
    parser.add_argument("folder")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build/bin"))
    parser.add_argument("--chip", default="sm_90a")
    parser.add_argument("--only", help="cases like knorm96.f16,shakespeare.bf16,oracle; all by default")
    arguments = parser.parse_args()
    check_names(arguments)
    if arguments.command == "build":
        build(arguments)
        return 0
    return Runner(arguments).run()


if __name__ == "__main__":
    sys.exit(main())
