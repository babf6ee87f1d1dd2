#!/usr/bin/env python3
"""Writes tiny random checkpoints and what transformers computes with them, on a CPU.

    python3 test/models/golden/make.py [NAME...]

Each NAME (default: all) becomes a folder beside this file. Weights come from fixed seeds and are
rounded to the checkpoint's dtype before anything is computed. Nothing here uses the repository's
own code. README.md lists the configurations and the files.
"""

import json
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3ForCausalLM

HERE = Path(__file__).resolve().parent
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
TORCH_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
GREEDY_TOKENS = 16


@dataclass
class Case:
    name: str
    seed: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocab: int
    layers: int = 2
    tokens: int = 32
    checkpoint: str = "bf16"
    tied: bool = True
    bias: bool = False
    qk_norm: bool = True
    eps: float = 1e-6
    theta: float = 10000.0
    rope_scaling: dict | None = None
    max_positions: int = 128
    window: int = 0  # of the layers that slide: all from `full_layers` on, or those in `layer_types`
    full_layers: int = 0
    layer_types: list = field(default_factory=list)
    shards: int = 1
    new_spelling: bool = False  # rope_parameters and dtype, as transformers 5 writes them
    k_norm_max: list = field(default_factory=list)  # largest k_norm weight of each layer
    q_norm_range: tuple = (0.6, 1.7)
    goldens: tuple = ("f32", "bf16", "f16")


CASES = [
    Case("gqa1_d64_f32", 11, heads=2, kv_heads=2, head_dim=64, hidden=48, intermediate=97,
         vocab=199, tokens=24, checkpoint="f32"),
    Case("gqa3_d96_bias_untied", 12, heads=3, kv_heads=1, head_dim=96, hidden=72,
         intermediate=131, vocab=331, tokens=25, tied=False, bias=True, eps=1e-5),
    Case("gqa4_d128", 24, heads=8, kv_heads=2, head_dim=128, hidden=56, intermediate=115, vocab=211,
         tokens=33, theta=1000000.0),
    Case("gqa5_d80_linear", 13, heads=10, kv_heads=2, head_dim=80, hidden=48, intermediate=257,
         vocab=131, tokens=33, rope_scaling={"rope_type": "linear", "factor": 2.0}),
    Case("gqa8_d128_yarn", 14, heads=8, kv_heads=1, head_dim=128, hidden=40, intermediate=96,
         vocab=199, tokens=40, max_positions=64,
         rope_scaling={"rope_type": "yarn", "factor": 4.0,
                       "original_max_position_embeddings": 16}),
    Case("gqa2_d64_f16", 15, heads=4, kv_heads=2, head_dim=64, hidden=64, intermediate=331,
         vocab=199, tokens=24, checkpoint="f16", theta=1000000.0),
    Case("gqa3_d64_sharded", 16, heads=6, kv_heads=2, head_dim=64, hidden=64, intermediate=100,
         vocab=331, tokens=27, tied=False, eps=1e-3, shards=2),
    Case("gqa1_d64_wide", 17, heads=2, kv_heads=2, head_dim=64, hidden=160, intermediate=49,
         vocab=259, tokens=24, bias=True, eps=1e-5, theta=500000.0, new_spelling=True),
    Case("gqa8_d64_three_layers", 18, heads=16, kv_heads=2, head_dim=64, hidden=24,
         intermediate=113, vocab=387, layers=3, tokens=31),
    Case("no_qk_norm", 19, heads=4, kv_heads=2, head_dim=64, hidden=64, intermediate=131,
         vocab=67, tokens=32, bias=True, qk_norm=False, theta=1000000.0),
    Case("knorm96", 20, heads=2, kv_heads=1, head_dim=128, hidden=64, intermediate=97, vocab=131,
         layers=3, tokens=32, theta=1000000.0, k_norm_max=[96.5, 24.0, 21.0],
         q_norm_range=(1.0, 2.0)),
    Case("knorm6e4", 23, heads=2, kv_heads=1, head_dim=128, hidden=64, intermediate=97,
         vocab=131, tokens=32, theta=1000000.0, k_norm_max=[6e4, 6e4], q_norm_range=(1.0, 2.0),
         goldens=("f32",)),
    # Longer than several pages and tiles, a window that is a multiple of neither.
    Case("window_all", 24, heads=8, kv_heads=2, head_dim=128, hidden=40, intermediate=96, vocab=67,
         tokens=300, max_positions=512, theta=1000000.0, window=70),
    Case("window_from_layer_1", 25, heads=4, kv_heads=2, head_dim=64, hidden=64, intermediate=97,
         vocab=67, layers=3, tokens=60, window=17, full_layers=1),
    Case("window_alternating", 26, heads=6, kv_heads=2, head_dim=64, hidden=48, intermediate=97,
         vocab=67, layers=3, tokens=50, window=8, new_spelling=True,
         layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
]


def write_json(path, value, **style):
    path.write_text(json.dumps(value, **style) + "\n")


def config_json(case):
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": case.bias,
        "attention_dropout": 0.0,
        "head_dim": case.head_dim,
        "hidden_act": "silu",
        "hidden_size": case.hidden,
        "initializer_range": 0.02,
        "intermediate_size": case.intermediate,
        "max_position_embeddings": case.max_positions,
        "max_window_layers": case.full_layers if case.window else case.layers,
        "model_type": "qwen3",
        "num_attention_heads": case.heads,
        "num_hidden_layers": case.layers,
        "num_key_value_heads": case.kv_heads,
        "rms_norm_eps": case.eps,
        "sliding_window": case.window or None,
        "tie_word_embeddings": case.tied,
        "use_cache": True,
        "use_sliding_window": case.window > 0,
        "vocab_size": case.vocab,
    }
    dtype = TORCH_NAMES[case.checkpoint]
    if case.new_spelling:
        config["rope_parameters"] = {"rope_theta": case.theta, "rope_type": "default"}
        config["dtype"] = dtype
        config["layer_types"] = case.layer_types or ["full_attention"] * case.layers
    else:
        config["rope_theta"] = case.theta
        config["rope_scaling"] = case.rope_scaling
        config["torch_dtype"] = dtype
    return dict(sorted(config.items()))


class Weights:
    """Random tensors in a fixed order, rounded to the checkpoint's dtype."""

    def __init__(self, case):
        self.rng = np.random.default_rng(case.seed)
        self.dtype = DTYPES[case.checkpoint]
        self.tensors = {}

    def put(self, name, values):
        self.tensors[name] = torch.from_numpy(np.ascontiguousarray(values)).to(self.dtype)

    def normal(self, name, shape, std):
        self.put(name, self.rng.standard_normal(shape) * std)

    def around_one(self, name, size, low=0.5, high=1.6):
        self.put(name, self.rng.uniform(low, high, size))


def make_weights(case):
    """Scales keep each branch as large as the residual stream, so that no part can go missing
    unseen: unit inputs give projections of about unit size."""
    w = Weights(case)
    q, kv = case.heads * case.head_dim, case.kv_heads * case.head_dim
    inward = 0.9 / case.hidden**0.5
    w.normal("model.embed_tokens.weight", (case.vocab, case.hidden), 0.1)
    for layer in range(case.layers):
        p = f"model.layers.{layer}."
        w.around_one(p + "input_layernorm.weight", case.hidden)
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            w.normal(p + f"self_attn.{name}_proj.weight", (rows, case.hidden), inward)
            if case.bias:
                w.normal(p + f"self_attn.{name}_proj.bias", rows, 0.3)
        w.normal(p + "self_attn.o_proj.weight", (case.hidden, q), 0.4 / q**0.5)
        if case.bias and case.qk_norm:
            w.normal(p + "self_attn.o_proj.bias", case.hidden, 0.1)
        if case.qk_norm:
            w.around_one(p + "self_attn.q_norm.weight", case.head_dim, *case.q_norm_range)
            if case.k_norm_max:
                top = case.k_norm_max[layer]
                values = w.rng.uniform(0.02, 1.0, case.head_dim) * top
                values[w.rng.integers(case.head_dim)] = top
                w.put(p + "self_attn.k_norm.weight", values)
            else:
                w.around_one(p + "self_attn.k_norm.weight", case.head_dim, 0.6, 1.7)
        w.around_one(p + "post_attention_layernorm.weight", case.hidden)
        w.normal(p + "mlp.gate_proj.weight", (case.intermediate, case.hidden), inward)
        w.normal(p + "mlp.up_proj.weight", (case.intermediate, case.hidden), inward)
        w.normal(p + "mlp.down_proj.weight", (case.hidden, case.intermediate),
                 0.7 / case.intermediate**0.5)
    w.around_one("model.norm.weight", case.hidden)
    if not case.tied:
        w.normal("lm_head.weight", (case.vocab, case.hidden), 0.1)
    return w.tensors


def write_checkpoint(folder, case, tensors):
    write_json(folder / "config.json", config_json(case), indent=2)
    if case.shards == 1:
        save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
        return
    names = list(tensors)
    per_shard = -(-len(names) // case.shards)  # cuts through a layer, as real shards do
    weight_map = {}
    for shard in range(case.shards):
        file = f"model-{shard + 1:05}-of-{case.shards:05}.safetensors"
        part = {n: tensors[n] for n in names[shard * per_shard : (shard + 1) * per_shard]}
        save_file(part, str(folder / file), metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    write_json(folder / "model.safetensors.index.json",
               {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))},
               indent=2)


def load_without_qk_norm(folder, dtype):
    """transformers has no Qwen3 without q/k norm; Qwen2 is that model (and has no o_proj bias)."""
    known = json.loads((folder / "config.json").read_text())
    for key in ("architectures", "model_type", "attention_bias", "torch_dtype"):
        del known[key]
    with torch.device("meta"):
        model = Qwen2ForCausalLM(Qwen2Config(**known, attn_implementation="eager"))
    tensors = {k: v.to(dtype) for k, v in load_file(folder / "model.safetensors").items()}
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    model.load_state_dict(tensors, assign=True)
    rotary = type(model.model.rotary_emb)(model.config)  # off the meta device, in f32
    model.model.rotary_emb = rotary
    return model


def load(folder, case, dtype):
    if not case.qk_norm:
        model = load_without_qk_norm(folder, dtype)
    else:
        model, info = Qwen3ForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager", output_loading_info=True)
        assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert model.config._attn_implementation == "eager"
    return model.eval()


def prompt(case):
    rng = np.random.default_rng(1000 + case.seed)
    ids = rng.integers(case.vocab, size=case.tokens)
    ids[[1, 5, 6]] = [0, case.vocab - 1, case.vocab - 1]  # both ends of the table, a repeat
    return ids.tolist()


def relative_l2(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@torch.no_grad()
def greedy(model, ids):
    """Greedy continuation without a cache; the gap is best minus second-best logit."""
    out, gaps = [], []
    for _ in range(GREEDY_TOKENS):
        logits = model(input_ids=torch.tensor([ids + out]), use_cache=False).logits[0, -1]
        top = torch.topk(logits, 2)
        out.append(int(top.indices[0]))
        gaps.append(round(float(top.values[0] - top.values[1]), 6))
    return out, gaps


@torch.no_grad()
def make(case):
    folder = HERE / case.name
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():  # those of fp8 caches are make_fp8.py's, to be made again after this
        if "-kv_" not in old.name:
            old.unlink()
    write_checkpoint(folder, case, make_weights(case))
    ids = prompt(case)
    rows = {label: load(folder, case, DTYPES[label])(
                input_ids=torch.tensor([ids]), use_cache=False).logits[0].float().numpy()
            for label in case.goldens}
    for label, logits in rows.items():
        assert np.isfinite(logits).all(), (case.name, label)
        np.save(folder / f"logits_{label}.npy", logits.astype("<f4", order="C"))
    exact = load(folder, case, torch.float64)(
        input_ids=torch.tensor([ids]), use_cache=False).logits[0].numpy()
    out, gaps = greedy(load(folder, case, torch.float32), ids)
    errors = {label: relative_l2(r.astype(np.float64), rows["f32"].astype(np.float64))
              for label, r in rows.items() if label != "f32"}
    write_json(folder / "golden.json", {
        "ids": ids, "positions": list(range(len(ids))), "greedy_f32": out, "gap": gaps,
        "min_gap": min(gaps), "relative_l2_to_f32": errors,
        "f32_relative_l2_to_f64": relative_l2(rows["f32"], exact),
        "torch": torch.__version__, "transformers": transformers.__version__})
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{case.name:24} {size / 1000:5.0f} kB  logits std {rows['f32'].std():.2f}  "
          f"f32-f64 {relative_l2(rows['f32'], exact):.1e}  "
          + "  ".join(f"{k} {v:.1e}" for k, v in errors.items()) + f"  min gap {min(gaps):.4f}")


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    wanted = sys.argv[1:] or [c.name for c in CASES]
    unknown = set(wanted) - {c.name for c in CASES}
    if unknown:
        sys.exit(f"make.py: error: no configuration named {', '.join(sorted(unknown))}")
    for case in CASES:
        if case.name in wanted:
            make(case)


if __name__ == "__main__":
    main()
