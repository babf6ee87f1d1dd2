#!/usr/bin/env python3
"""Writes golden.json: rotary frequencies as transformers computes them for a set of configurations."""
import json
import pathlib

import numpy
import transformers
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

SIZES = dict(model_type="qwen3", hidden_size=256, intermediate_size=512, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, vocab_size=512)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32768)
CASES = {
    "plain": dict(head_dim=128, rope_theta=1000000),
    "default theta": dict(head_dim=64),
    "theta below one million, head_dim 80": dict(head_dim=80, rope_theta=500000.0),
    "head_dim 96, new spelling": dict(head_dim=96, rope_parameters=dict(rope_type="default", rope_theta=12345.5)),
    "linear": dict(head_dim=128, rope_theta=1000000, rope_scaling=dict(type="linear", factor=2.5)),
    "linear, new spelling": dict(head_dim=64, rope_parameters=dict(rope_type="linear", factor=8, rope_theta=1e6)),
    "yarn as Qwen documents it": dict(head_dim=128, rope_theta=1000000, max_position_embeddings=40960, rope_scaling=YARN),
    "yarn, new spelling": dict(head_dim=80, max_position_embeddings=131072, rope_parameters=dict(YARN, rope_theta=10000.0)),
    "yarn, original length from max_position": dict(head_dim=64, max_position_embeddings=4096, rope_scaling=dict(type="yarn", factor=3)),
    "yarn, every option": dict(head_dim=96, rope_theta=200000, rope_scaling=dict(
        YARN, factor=7.3, attention_factor=1.25, beta_fast=24.0, beta_slow=2.5, truncate=False)),
    "yarn, mscale": dict(head_dim=64, rope_theta=10000, rope_scaling=dict(
        YARN, factor=40, original_max_position_embeddings=4096, mscale=1.0, mscale_all_dim=0.707)),
    "yarn, short original length": dict(head_dim=64, rope_theta=10000, rope_scaling=dict(
        YARN, factor=2, original_max_position_embeddings=16)),
}


def frequencies(config):
    rope = Qwen3RotaryEmbedding(transformers.Qwen3Config(**json.loads(json.dumps(config))))
    bits = rope.inv_freq.float().numpy().view(numpy.uint32)
    return [f"{b:08x}" for b in bits], float(rope.attention_scaling)


def main():
    cases = []
    for name, case in CASES.items():
        config = dict(SIZES, **case)
        bits, scaling = frequencies(config)
        cases.append(dict(name=name, config=config, inv_freq_bits=bits, attention_scaling=scaling))
    out = pathlib.Path(__file__).with_name("golden.json")
    lines = ",\n".join(json.dumps(case) for case in cases)
    out.write_text(f'{{"transformers": "{transformers.__version__}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
