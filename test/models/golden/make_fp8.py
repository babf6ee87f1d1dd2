#!/usr/bin/env python3
"""Adds to the goldens what transformers computes on fp8 caches, on a CPU.

    python3 test/models/golden/make_fp8.py

Attention reads K and V as an fp8 cache would give them back: K divided by a power of two per layer,
both rounded to nearest even and saturated, then widened. `logits_f32-kv_e4m3.npy` beside a
checkpoint is what a computation in f32 on such a cache gives, `logits_bf16-kv_e4m3.npy` what it
gives in bf16: the error of the second against the first is the bound for ours. For the bundled
model the files are `logits_long_f32-kv_e4m3.npy` and so on. Runs after make.py; nothing here uses
the repository's own code. The versions of torch and transformers stand in fp8.json.
"""
import json
import math
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

import make

HERE = Path(__file__).resolve().parent
SHAKESPEARE = HERE.parents[2] / "models/shakespeare"
# Largest number, and how large K may get in the cache (a power of two, with room for YaRN's factor).
FORMATS = {"e4m3": (torch.float8_e4m3fn, 448.0, 256.0), "e5m2": (torch.float8_e5m2, 57344.0, 32768.0)}
# Checkpoint, formats, types of activations beside f32.
CASES = [("knorm96", ["e4m3", "e5m2"], ["bf16", "f16"]), ("gqa8_d128_yarn", ["e4m3", "e5m2"], ["bf16"]),
         ("gqa2_d64_f16", ["e4m3"], ["f16"]), ("gqa3_d96_bias_untied", ["e5m2"], ["bf16", "f16"]),
         ("no_qk_norm", ["e4m3"], ["bf16"])]


class Fp8Cache(DynamicCache):
    """Gives attention K and V as they come out of an fp8 cache."""

    def __init__(self, model, format):
        super().__init__()
        self.type, self.largest, self.room = FORMATS[format]
        self.scales = []
        for layer in model.model.layers:
            norm = getattr(layer.self_attn, "k_norm", None)
            bound = float(norm.weight.abs().max()) * math.sqrt(layer.self_attn.head_dim) if norm else 0.0
            scale = max(1.0, 2.0 ** math.ceil(math.log2(bound))) / self.room if norm else 1.0
            self.scales.append(scale)

    def stored(self, x, scale):
        narrow = (x.float() / scale).clamp(-self.largest, self.largest).to(self.type)
        return (narrow.float() * scale).to(x.dtype)

    def update(self, key, value, layer, *args, **kwargs):
        return super().update(self.stored(key, self.scales[layer]), self.stored(value, 1.0), layer,
                              *args, **kwargs)


@torch.no_grad()
def logits(model, ids, format):
    cache = Fp8Cache(model, format)
    return model(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True).logits[0]


def write(stem, load, ids, positions, formats, dtypes):
    """Files `<stem>_<dtype>-kv_<format>.npy`; the relative L2 errors against f32 on that cache."""
    errors = {}
    for format in formats:
        for label in ["f32", *dtypes]:
            rows = logits(load(make.DTYPES[label]), ids, format)[positions].float().numpy()
            assert np.isfinite(rows).all(), (stem, label)
            np.save(f"{stem}_{label}-kv_{format}.npy", rows.astype("<f4", order="C"))
            if label == "f32":
                exact = rows.astype(np.float64)
                wide = np.load(f"{stem}_f32.npy").astype(np.float64)
                errors[f"kv_{format}"] = make.relative_l2(exact, wide)
            else:
                errors[f"{label}-kv_{format}"] = make.relative_l2(rows.astype(np.float64), exact)
    print(stem.relative_to(HERE.parents[2]), {k: f"{v:.2g}" for k, v in errors.items()})
    return errors


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    record = {"torch": torch.__version__, "transformers": transformers.__version__, "relative_l2": {}}
    cases = {case.name: case for case in make.CASES}
    for name, formats, dtypes in CASES:
        folder = HERE / name
        golden = json.loads((folder / "golden.json").read_text())
        record["relative_l2"][name] = write(
            folder / "logits", lambda dtype: make.load(folder, cases[name], dtype), golden["ids"],
            golden["positions"], formats, dtypes)
    golden = json.loads((SHAKESPEARE / "golden/logits_long.json").read_text())
    record["relative_l2"]["shakespeare"] = write(
        SHAKESPEARE / "golden/logits_long",
        lambda dtype: AutoModelForCausalLM.from_pretrained(
            SHAKESPEARE, dtype=dtype, attn_implementation="eager").eval(),
        golden["ids"], golden["positions"], ["e4m3", "e5m2"], ["bf16"])
    make.write_json(HERE / "fp8.json", record, indent=1)


if __name__ == "__main__":
    main()
