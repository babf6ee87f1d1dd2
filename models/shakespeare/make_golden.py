#!/usr/bin/env python3
"""Writes golden/: what tokenizers and transformers say about the bundled model, on a CPU.

    python3 models/shakespeare/make_golden.py

Everything in this repository is compared with these files; nothing here uses the repository's
own code. golden/README.md describes the files.
"""

import json
import platform
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import golden_texts as texts

HERE = Path(__file__).resolve().parent
OUT = HERE / "golden"
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
GREEDY_TOKENS = 64


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":"), ensure_ascii=True) + "\n")


def load(dtype):
    """The checkpoint with bf16 weights converted to dtype (exactly, for f32)."""
    model = AutoModelForCausalLM.from_pretrained(HERE, dtype=dtype, attn_implementation="eager")
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32
    return model.eval()


def tokenizer_golden(tok):
    rows = []
    for text in texts.TOKENIZER_TEXTS + texts.random_texts(8):
        ids = tok.encode(text).ids
        rows.append({"text": text, "ids": ids,
                     "decoded": tok.decode(ids, skip_special_tokens=False)})
    write_json(OUT / "tokenizer.json", rows)
    return len(rows)


@torch.no_grad()
def logits_golden(name, ids, positions):
    """One prefill in each dtype; relative L2 against f32 is printed and recorded."""
    record = {"ids": ids, "positions": positions, "relative_l2": {}}
    reference = None
    for label, dtype in DTYPES.items():
        logits = load(dtype)(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        rows = logits[positions].float().numpy().astype("<f4", order="C")
        assert np.isfinite(rows).all()
        np.save(OUT / f"{name}_{label}.npy", rows)
        if reference is None:
            reference = rows
        exact = reference.astype(np.float64)
        error = np.linalg.norm(rows - exact) / np.linalg.norm(exact)
        record["relative_l2"][label] = float(error)
    write_json(OUT / f"{name}.json", record)
    print(name, len(ids), "tokens", rows.shape, record["relative_l2"])


@torch.no_grad()
def greedy(model, ids):
    """Greedy continuation with a cache; the gap is best minus second-best logit."""
    out, gaps, cache, step = [], [], None, torch.tensor([ids])
    for _ in range(GREEDY_TOKENS):
        result = model(input_ids=step, past_key_values=cache, use_cache=True)
        cache = result.past_key_values
        top = torch.topk(result.logits[0, -1], 2)
        out.append(int(top.indices[0]))
        gaps.append(float(top.values[0] - top.values[1]))
        step = torch.tensor([[out[-1]]])
    # The same tokens must win when the whole text is computed at once.
    whole = model(input_ids=torch.tensor([ids + out]), use_cache=False).logits[0]
    assert whole[len(ids) - 1 : -1].argmax(-1).tolist() == out
    return out, gaps


def greedy_golden(tok):
    model = load(torch.float32)
    rows = []
    for prompt in texts.GREEDY_PROMPTS:
        ids = tok.encode(prompt).ids
        out, gaps = greedy(model, ids)
        rows.append({"prompt": prompt, "ids": ids, "greedy": out,
                     "text": tok.decode(out, skip_special_tokens=False),
                     "gap": [round(g, 6) for g in gaps], "min_gap": min(gaps)})
        print(f"greedy {len(ids):3} tokens, min gap {min(gaps):.5f}")
    write_json(OUT / "greedy_f32.json", rows)


def main():
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    tok = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    print("tokenizer texts:", tokenizer_golden(tok))

    short = tok.encode(texts.LOGITS_SHORT).ids
    logits_golden("logits_short", short, list(range(len(short))))
    long = tok.encode(texts.LOGITS_LONG).ids
    spread = np.unique(np.linspace(0, len(long) - 1, 32).round().astype(int)).tolist()
    logits_golden("logits_long", long, spread)
    greedy_golden(tok)
    write_json(OUT / "versions.json", {
        "torch": torch.__version__, "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__, "numpy": np.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(), "machine": platform.machine()})


if __name__ == "__main__":
    main()
