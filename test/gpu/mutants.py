"""Broken models, which the checks on a GPU must tell from the right one (test/golden/MutantTest.cpp).

Each is a mistake somebody could make, planted in the imported graph or in the checkpoint of one tiny
model with f32 activations: 4 query heads of 64 on 2 kv heads, hidden size 64, two layers.
"""
import json
import os
import re
import shutil
import struct
import subprocess

MODEL = "gqa2_d64_f16"
BOUND = 1e-4
HEADS, HEAD_DIM, HIDDEN = 4, 64, 64
LAYER = "model.layers.0."

# What of the graph becomes what, once.
GRAPHS = {
    "missing-residual": (r"xfmr\.add (%\S+), (%\S+) ", r"xfmr.add \2, \2 "),  # x + y becomes y + y
    "dropped-scale": (r"scale = 1\.250000e-01 : f32", "scale = 1.0 : f32"),
    "wrong-eps": (r"eps = \S+ : f32", "eps = 1.0e-2 : f32"),
}


class Checkpoint:
    """The tensors of a safetensors file, as bytes."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        size, = struct.unpack_from("<Q", data)
        self.head = data[:8 + size]
        self.tensors = {}
        for name, entry in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                self.tensors[name] = (begin, data[8 + size + begin:8 + size + end])

    def __getitem__(self, name):
        return self.tensors[LAYER + name][1]

    def __setitem__(self, name, data):
        begin, old = self.tensors[LAYER + name]
        assert len(data) == len(old)
        self.tensors[LAYER + name] = (begin, data)

    def write(self, path):
        with open(path, "wb") as file:
            file.write(self.head)
            for _, data in sorted(self.tensors.values()):
                file.write(data)


def split(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


def swap_gate_and_up(checkpoint):
    gate, up = "mlp.gate_proj.weight", "mlp.up_proj.weight"
    checkpoint[gate], checkpoint[up] = checkpoint[up], checkpoint[gate]


def wrong_gqa_map(checkpoint):
    """Query head h reads kv head h % 2, not h / 2: heads 1 and 2 change places on both sides."""
    def exchanged(heads):
        return [heads[i] for i in (0, 2, 1, 3)]

    q, o = "self_attn.q_proj.weight", "self_attn.o_proj.weight"
    checkpoint[q] = b"".join(exchanged(split(checkpoint[q], HEAD_DIM * HIDDEN * 2)))
    rows = split(checkpoint[o], HEADS * HEAD_DIM * 2)
    checkpoint[o] = b"".join(b"".join(exchanged(split(row, HEAD_DIM * 2))) for row in rows)


def interleave_rope(checkpoint):
    """Rows 2i and 2i + 1 of a head come where i and i + D/2 were."""
    order = [*range(0, HEAD_DIM, 2), *range(1, HEAD_DIM, 2)]
    for name, columns in [("q_proj", HIDDEN), ("k_proj", HIDDEN), ("q_norm", 1), ("k_norm", 1)]:
        heads = split(checkpoint[f"self_attn.{name}.weight"], HEAD_DIM * columns * 2)
        checkpoint[f"self_attn.{name}.weight"] = b"".join(
            split(head, columns * 2)[row] for head in heads for row in order)


CHECKPOINTS = {
    "swapped-gate-up": swap_gate_and_up,
    "wrong-gqa-map": wrong_gqa_map,
    "interleaved-rope": interleave_rope,
}


def artefact(folder, mutant):
    return os.path.join(folder, f"{MODEL}.f32.{mutant if mutant in GRAPHS else 'original'}.sinter")


def checkpoint(folder, mutant, original):
    return os.path.join(folder, "mutants", mutant) if mutant in CHECKPOINTS else original


def build(folder, compiler, target, original):
    """Compiles the original and the changed graphs, writes the changed checkpoints."""
    flags = ["--dtype", "f32", "--max-tokens-per-step", "32", f"--target={target}"]
    subprocess.run([compiler, original, *flags, "-o", artefact(folder, "original")], check=True)
    graph = subprocess.run([compiler, original, *flags, "--emit=xfmr"], check=True, capture_output=True,
                           text=True).stdout
    os.makedirs(os.path.join(folder, "mutants"), exist_ok=True)
    for name, (pattern, replacement) in GRAPHS.items():
        path = os.path.join(folder, "mutants", f"{name}.mlir")
        changed, count = re.subn(pattern, replacement, graph, count=1)
        assert count == 1, f"nothing matches {pattern}"
        with open(path, "w") as file:
            file.write(changed)
        subprocess.run([compiler, path, f"--target={target}", "-o", artefact(folder, name)], check=True)
    for name, change in CHECKPOINTS.items():
        directory = checkpoint(folder, name, original)
        os.makedirs(directory, exist_ok=True)
        shutil.copy(os.path.join(original, "config.json"), directory)
        edited = Checkpoint(os.path.join(original, "model.safetensors"))
        change(edited)
        edited.write(os.path.join(directory, "model.safetensors"))


def check(runner, folder, original):
    """The original is inside the bound, every mutant outside."""
    (_, ids, positions, exact, _, _), = runner.golden_logits(MODEL, "f32")
    for mutant in ["original", *GRAPHS, *CHECKPOINTS]:
        ours, problem = runner.logits(artefact(folder, mutant), ids, ["--prefill-chunk", "9"],
                                      checkpoint(folder, mutant, original))
        if ours is None:
            runner.expect(False, f"mutant {mutant}: {problem}")
            continue
        # What is not finite has broken in another way than it was meant to.
        runner.expect(bool(runner.numpy.isfinite(ours).all()), f"mutant {mutant}: not finite")
        error = runner.error(ours[positions] if positions else ours, exact)
        survives = error <= BOUND
        runner.expect(survives == (mutant == "original"), f"mutant {mutant}: error {error:.3g}, bound {BOUND}")
