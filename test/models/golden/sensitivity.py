#!/usr/bin/env python3
"""Shows that the goldens can tell a broken model from a right one.

    python3 test/models/golden/sensitivity.py

Breaks transformers' own computation of each configuration in one way at a time and prints how
far (relative L2) the f32 logits move. Exits with status 1 if any change that concerns a
configuration moves its logits by less than 1e-3, ten times the bound that the tests use.
"""

import json
import sys
import warnings

import numpy as np
import torch
import transformers
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3

import make

LEAST = 1e-3


def each_layer(change):
    def apply(model):
        for layer in model.model.layers:
            change(layer)
    return apply


def ones(*path):
    """Replaces a norm's gamma by ones."""
    def change(layer):
        module = layer
        for name in path:
            module = getattr(module, name)
        module.weight.data.fill_(1)
    return each_layer(change)


def no_bias(*names):
    return each_layer(lambda layer: [getattr(layer.self_attn, n).bias.data.zero_() for n in names])


def swap_gate_up(layer):
    layer.mlp.gate_proj, layer.mlp.up_proj = layer.mlp.up_proj, layer.mlp.gate_proj


def larger_eps(model):
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon *= 10


def final_gamma(model):
    model.model.norm.weight.data.fill_(1)


def rotary(**changes):
    """Replaces attributes of the rotary embedding; a value may be a function of the old one."""
    def apply(model):
        for name, value in changes.items():
            old = getattr(model.model.rotary_emb, name)
            setattr(model.model.rotary_emb, name, value(old) if callable(value) else value)
    return apply


def unscaled_frequencies(model):
    plain, _ = type(model.model.rotary_emb).compute_default_rope_parameters(model.config)
    model.model.rotary_emb.inv_freq = plain


def windows(change):
    def apply(model):
        model.config.sliding_window = change(model.config.sliding_window)
    return apply


def other_layers_slide(model):
    other = {"sliding_attention": "full_attention", "full_attention": "sliding_attention"}
    model.config.layer_types = [other[kind] for kind in model.config.layer_types]
    for layer, kind in zip(model.model.layers, model.config.layer_types):
        layer.attention_type = layer.self_attn.layer_type = kind


def interleaved(x):
    return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)


def wrong_group(states, repeats):
    return states.repeat(1, repeats, 1, 1)


class Patch:
    """Replaces a function of both modeling files while it is active."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __enter__(self):
        self.old = [getattr(m, self.name) for m in (modeling_qwen2, modeling_qwen3)]
        for module in (modeling_qwen2, modeling_qwen3):
            setattr(module, self.name, self.function)

    def __exit__(self, *_):
        for module, old in zip((modeling_qwen2, modeling_qwen3), self.old):
            setattr(module, self.name, old)


def mutants(case):
    yield "input gamma", ones("input_layernorm")
    yield "post gamma", ones("post_attention_layernorm")
    yield "final gamma", final_gamma
    yield "swapped gate/up", each_layer(swap_gate_up)
    yield "interleaved RoPE", Patch("rotate_half", interleaved)
    yield "RoPE theta", rotary(inv_freq=lambda f: f * 0.99)
    if case.eps > 1e-6:  # ten times 1e-6 moves these logits by less than LEAST
        yield "eps x10", larger_eps
    if case.kv_heads > 1 and case.heads > case.kv_heads:
        yield "GQA map", Patch("repeat_kv", wrong_group)
    if case.qk_norm:
        yield "q gamma", ones("self_attn", "q_norm")
        yield "k gamma", ones("self_attn", "k_norm")
    if case.bias:
        for name in ("q_proj", "k_proj", "v_proj") + (("o_proj",) if case.qk_norm else ()):
            yield f"no {name} bias", no_bias(name)
    if case.rope_scaling:
        yield "no RoPE scaling", unscaled_frequencies
        if case.rope_scaling["rope_type"] == "yarn":
            yield "no attention scaling", rotary(attention_scaling=1.0)
    if case.window:
        yield "no window", windows(lambda window: 1 << 20)
        yield "window + 1", windows(lambda window: window + 1)
        yield "window - 1", windows(lambda window: window - 1)
        if "sliding_attention" in case.layer_types or case.full_layers:
            yield "other layers slide", other_layers_slide


@torch.no_grad()
def distance(case, mutant):
    folder = make.HERE / case.name
    model = make.load(folder, case, torch.float32)
    ids = torch.tensor([json.loads((folder / "golden.json").read_text())["ids"]])
    golden = np.load(folder / "logits_f32.npy").astype(np.float64)
    if isinstance(mutant, Patch):
        with mutant:
            logits = model(input_ids=ids, use_cache=False).logits[0]
    else:
        mutant(model)
        logits = model(input_ids=ids, use_cache=False).logits[0]
    return make.relative_l2(logits.numpy().astype(np.float64), golden)


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    weak = []
    for case in make.CASES:
        unchanged = distance(case, lambda model: None)
        print(f"{case.name}: unchanged {unchanged:.1e}")
        if unchanged > 1e-5:
            weak.append(f"{case.name}: unchanged differs")
        for name, mutant in mutants(case):
            moved = distance(case, mutant)
            print(f"  {name:22} {moved:.1e}")
            if not moved > LEAST:
                weak.append(f"{case.name}: {name}")
    if weak:
        sys.exit("sensitivity.py: error: too little moved: " + "; ".join(weak))


if __name__ == "__main__":
    main()
