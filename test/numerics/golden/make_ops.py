#!/usr/bin/env python3
"""Writes qwen3_ops.safetensors and qwen3_ops.json: transformers' Qwen3, op by op, on a CPU.

    python3 test/numerics/golden/make_ops.py

A random two-layer Qwen3 runs once in f32 and once in bf16 with the same weights; hooks record
what goes into and comes out of every operation. A second part applies the rotary embedding at
large positions. All records are checked against plain NumPy in f64 before anything is
written. README.md describes the names.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3 import modeling_qwen3

HERE = Path(__file__).resolve().parent
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE, VOCAB = 2, 48, 4, 2, 32, 72, 67
TOKENS, EPS, THETA = 8, 1e-6, 1000000.0

ROPE_POSITIONS = [0, 1, 2, 17, 128, 1000, 30000, 40959]
ROPE_SCALINGS = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 2.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
}


def config(rope):
    return Qwen3Config(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INTERMEDIATE,
        num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=KV_HEADS,
        head_dim=HEAD_DIM, rms_norm_eps=EPS, attention_bias=True, tie_word_embeddings=False,
        max_position_embeddings=131072, rope_parameters=dict(rope, rope_theta=THETA),
        attn_implementation="eager")


def make_weights(model):
    """bf16 values for every parameter, at scales that keep each branch visible."""
    rng = np.random.default_rng(5)
    out = {}
    for name, parameter in model.state_dict().items():
        if "norm" in name:
            values = rng.uniform(0.5, 1.7, parameter.shape)
        elif name.endswith("bias"):
            values = rng.standard_normal(parameter.shape) * 0.3
        elif "embed" in name:
            values = rng.standard_normal(parameter.shape) * 0.5
        else:
            values = rng.standard_normal(parameter.shape) * 0.8 / parameter.shape[1] ** 0.5
        out[name] = torch.from_numpy(values).to(torch.bfloat16)
    return out


class Recorder:
    """Collects activations under the names of the ops list, tokens first, batch dropped."""

    def __init__(self):
        self.values, self.ops = {}, []

    def keep(self, name, tensor, heads_first=False):
        tensor = tensor[0].transpose(0, 1) if heads_first else tensor[0]
        self.values[name] = tensor.detach().clone().contiguous()
        return name

    def op(self, kind, output, inputs, **attributes):
        self.ops.append({"op": kind, "inputs": inputs, "output": output, **attributes})


def hook_module(rec, module, kind, output, inputs, weight, shape=None, **attributes):
    """Records a module's output as `output`; `inputs` names what it reads."""

    def hook(_module, _inputs, value):
        rec.keep(output, value.reshape(*value.shape[:2], *shape) if shape else value)

    module.register_forward_hook(hook)
    rec.op(kind, output, inputs, weight=weight + ".weight", **attributes)


def hook_layer(rec, layer, index):
    p, w = f"layers.{index}.", f"model.layers.{index}."
    a = w + "self_attn."
    x = p + "input"
    layer.register_forward_pre_hook(lambda _m, inputs: rec.keep(x, inputs[0]) and None)
    hook_module(rec, layer.input_layernorm, "rms_norm", p + "input_norm", [x],
                w + "input_layernorm", eps=EPS)
    for name, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
        hook_module(rec, getattr(layer.self_attn, name + "_proj"), "linear", p + name,
                    [p + "input_norm"], f"{a}{name}_proj", (heads, HEAD_DIM),
                    bias=f"{a}{name}_proj.bias")
    for name in ("q", "k"):
        hook_module(rec, getattr(layer.self_attn, name + "_norm"), "rms_norm", p + name + "_norm",
                    [p + name], f"{a}{name}_norm", eps=EPS)
        rec.op("rope", p + name + "_rope", [p + name + "_norm"], positions="positions",
               inv_freq="rope.default.inv_freq", attention_scaling=1.0)
    rec.op("attention", p + "attention", [p + "q_rope", p + "k_rope", p + "v"], causal=True,
           scale=HEAD_DIM**-0.5)
    hook_module(rec, layer.self_attn.o_proj, "linear", p + "o", [p + "attention"], a + "o_proj",
                bias=a + "o_proj.bias")
    layer.post_attention_layernorm.register_forward_pre_hook(
        lambda _m, inputs: rec.keep(p + "residual", inputs[0]) and None)
    rec.op("add", p + "residual", [x, p + "o"])
    hook_module(rec, layer.post_attention_layernorm, "rms_norm", p + "post_norm",
                [p + "residual"], w + "post_attention_layernorm", eps=EPS)
    for name in ("gate", "up"):
        hook_module(rec, getattr(layer.mlp, name + "_proj"), "linear", p + name,
                    [p + "post_norm"], f"{w}mlp.{name}_proj")
    layer.mlp.down_proj.register_forward_pre_hook(
        lambda _m, inputs: rec.keep(p + "swiglu", inputs[0]) and None)
    rec.op("swiglu", p + "swiglu", [p + "gate", p + "up"])
    hook_module(rec, layer.mlp.down_proj, "linear", p + "down", [p + "swiglu"], w + "mlp.down_proj")
    out = f"layers.{index + 1}.input" if index + 1 < LAYERS else "output"
    layer.register_forward_hook(lambda _m, _i, value: rec.keep(out, value) and None)
    rec.op("add", out, [p + "residual", p + "down"])


def record(model, ids, positions):
    """Runs the model once; returns the recorder."""
    rec = Recorder()
    hook_module(rec, model.model.embed_tokens, "embedding", "layers.0.input", ["ids"],
                "model.embed_tokens")
    for index, layer in enumerate(model.model.layers):
        hook_layer(rec, layer, index)
    hook_module(rec, model.model.norm, "rms_norm", "final_norm", ["output"], "model.norm", eps=EPS)
    hook_module(rec, model.lm_head, "linear", "logits", ["final_norm"], "lm_head")

    seen = {"rope": 0, "attention": 0}
    rope, attention = modeling_qwen3.apply_rotary_pos_emb, modeling_qwen3.eager_attention_forward

    def recording_rope(q, k, *rest, **named):
        result = rope(q, k, *rest, **named)
        for name, value in zip(("q_rope", "k_rope"), result):
            rec.keep(f"layers.{seen['rope']}.{name}", value, heads_first=True)
        seen["rope"] += 1
        return result

    def recording_attention(*args, **named):
        result = attention(*args, **named)
        rec.keep(f"layers.{seen['attention']}.attention", result[0])
        seen["attention"] += 1
        return result

    modeling_qwen3.apply_rotary_pos_emb = recording_rope
    modeling_qwen3.eager_attention_forward = recording_attention
    try:
        with torch.no_grad():
            model(input_ids=ids[None].long(), position_ids=positions[None].long(), use_cache=False)
    finally:
        modeling_qwen3.apply_rotary_pos_emb = rope
        modeling_qwen3.eager_attention_forward = attention
    assert seen == {"rope": LAYERS, "attention": LAYERS}
    return rec


def rope_vectors(tensors, cases):
    """The rotary embedding alone, at positions up to 40959, for each scaling and dtype."""
    rng = np.random.default_rng(6)
    q = torch.from_numpy(rng.standard_normal((len(ROPE_POSITIONS), HEADS, HEAD_DIM)))
    k = torch.from_numpy(rng.standard_normal((len(ROPE_POSITIONS), KV_HEADS, HEAD_DIM)))
    q, k = q.to(torch.bfloat16), k.to(torch.bfloat16)
    tensors["rope.positions"] = torch.tensor(ROPE_POSITIONS, dtype=torch.int32)
    tensors["rope.q"], tensors["rope.k"] = q, k
    for scaling, parameters in ROPE_SCALINGS.items():
        embedding = modeling_qwen3.Qwen3RotaryEmbedding(config(parameters))
        name = f"rope.{scaling}"
        tensors[f"{name}.inv_freq"] = embedding.inv_freq.clone()
        cases.append({"name": name, "rope_theta": THETA, "head_dim": HEAD_DIM, **parameters,
                      "attention_scaling": float(embedding.attention_scaling)})
        for label, dtype in DTYPES.items():
            x = q.to(dtype).transpose(0, 1)[None]
            cos, sin = embedding(x, tensors["rope.positions"][None])
            outputs = modeling_qwen3.apply_rotary_pos_emb(
                x, k.to(dtype).transpose(0, 1)[None], cos, sin)
            for part, value in zip(("q_out", "k_out"), outputs):
                tensors[f"{label}/{name}.{part}"] = value[0].transpose(0, 1).contiguous()
            for part, value in (("cos", cos), ("sin", sin)):
                tensors[f"{label}/{name}.{part}"] = value[0].contiguous()


# The same operations in f64, written from their definitions, to check the records.

def reference_rope(x, positions, inv_freq, scaling):
    angle = positions.astype(np.float32)[:, None] * inv_freq.astype(np.float32)[None]
    angle = angle.astype(np.float64)  # the product is f32's, whose rounding shows at 30000
    cos, sin = np.cos(angle)[:, None] * scaling, np.sin(angle)[:, None] * scaling
    low, high = np.split(x, 2, axis=-1)
    return np.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)


def reference_attention(q, k, v, scale):
    out = np.empty_like(q)
    for head in range(q.shape[1]):
        source = head // (q.shape[1] // k.shape[1])
        for row in range(q.shape[0]):
            scores = k[: row + 1, source] @ q[row, head] * scale
            weights = np.exp(scores - scores.max())
            out[row, head] = weights / weights.sum() @ v[: row + 1, source]
    return out


def reference(op, inputs, weight, bias, positions, inv_freq):
    x = inputs[0]
    if op["op"] == "embedding":
        return weight[x.astype(int)]
    if op["op"] == "rms_norm":
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + op["eps"]) * weight
    if op["op"] == "linear":
        return x.reshape(len(x), -1) @ weight.T + (0 if bias is None else bias)
    if op["op"] == "rope":
        return reference_rope(x, positions, inv_freq, op["attention_scaling"])
    if op["op"] == "attention":
        return reference_attention(*inputs, op["scale"])
    if op["op"] == "add":
        return x + inputs[1]
    return x / (1 + np.exp(-x)) * inputs[1]  # swiglu


BOUNDS = {"f32": 1e-6, "bf16": 5e-3}


def check(ops, cases, tensors):
    """Every record agrees with f64 on the recorded inputs; returns the largest distances."""
    worst = dict.fromkeys(DTYPES, 0.0)
    as_f64 = {n: t.double().numpy() for n, t in tensors.items()}

    def compare(label, name, want):
        got = as_f64[f"{label}/{name}"]
        error = np.linalg.norm(got - want.reshape(got.shape)) / np.linalg.norm(want)
        assert error < BOUNDS[label], (label, name, error)
        worst[label] = max(worst[label], error)

    for label in DTYPES:
        for op in ops:
            inputs = [as_f64["ids" if n == "ids" else f"{label}/{n}"] for n in op["inputs"]]
            weight, bias = (as_f64["weights/" + op[k]] if k in op else None
                            for k in ("weight", "bias"))
            compare(label, op["output"], reference(op, inputs, weight, bias, as_f64["positions"],
                                                   as_f64["rope.default.inv_freq"]))
        for case in cases:
            for part in "qk":
                compare(label, f"{case['name']}.{part}_out", reference_rope(
                    as_f64["rope." + part], as_f64["rope.positions"],
                    as_f64[case["name"] + ".inv_freq"], case["attention_scaling"]))
    return worst


def rows(entries):
    """A JSON array with one line for each entry."""
    return "[\n" + ",\n".join("    " + json.dumps(e) for e in entries) + "\n  ]"


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = config(ROPE_SCALINGS["default"])
    weights = make_weights(Qwen3ForCausalLM(shape))
    ids = torch.tensor([3, 0, 66, 66, 12, 41, 7, 12], dtype=torch.int32)
    positions = torch.arange(TOKENS, dtype=torch.int32)
    tensors = {"ids": ids, "positions": positions}
    tensors.update({"weights/" + n: t for n, t in weights.items()})
    for label, dtype in DTYPES.items():
        model = Qwen3ForCausalLM(shape).eval()
        model.load_state_dict({n: t.float() for n, t in weights.items()})
        for parameter in model.parameters():  # not model.to(): the rotary buffer stays f32
            parameter.data = parameter.data.to(dtype)
        rec = record(model, ids, positions)
        assert {t.dtype for t in rec.values.values()} == {dtype}
        tensors.update({f"{label}/{n}": t for n, t in rec.values.items()})
    cases = []
    rope_vectors(tensors, cases)
    worst = check(rec.ops, cases, tensors)

    save_file({n: tensors[n].contiguous() for n in sorted(tensors)},
              str(HERE / "qwen3_ops.safetensors"))
    (HERE / "qwen3_ops.json").write_text(
        "{\n" + f'  "torch": {json.dumps(torch.__version__)},\n'
        f'  "transformers": {json.dumps(transformers.__version__)},\n'
        f'  "ops": {rows(rec.ops)},\n  "rope": {rows(cases)}\n' + "}\n")
    print(f"{len(rec.ops)} ops, {len(tensors)} tensors, distance from f64: "
          + ", ".join(f"{label} {error:.1e}" for label, error in worst.items()))


if __name__ == "__main__":
    main()
