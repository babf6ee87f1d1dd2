#!/usr/bin/env python3
"""Trains the bundled model: a tokenizer and a small Qwen3 on one text file.

    python3 train.py --corpus tinyshakespeare.txt --out DIR

writes config.json, generation_config.json, tokenizer.json, tokenizer_config.json and
model.safetensors (bf16) to DIR, and train_log.json with every evaluation. The last tenth of the
text is held out: neither the tokenizer nor the model sees it, and the weights kept are those of
the evaluation with the lowest held-out loss. README.md beside this file says what came out.
"""

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts: fixed workspaces

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers
from transformers import Qwen3Config, Qwen3ForCausalLM

END = "<|endoftext|>"

# Qwen's pre-tokenizer expression: contractions, words with one leading mark, single digits,
# punctuation runs, line breaks, spaces.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--corpus", type=Path, required=True, help="the text to train on (UTF-8)")
    p.add_argument("--out", type=Path, required=True, help="directory for the checkpoint")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--vocab", type=int, default=1536, help="tokens, %s included" % END)
    p.add_argument("--block", type=int, default=1024, help="tokens in a training sequence")
    p.add_argument("--batch", type=int, default=16, help="sequences in a step")
    p.add_argument("--steps", type=int, default=1800)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--weight-decay", type=float, default=0.1)
    p.add_argument("--dropout", type=float, default=0.3, help="embedding, attention and residual")
    p.add_argument("--bpe-dropout", type=float, default=0.2,
                   help="probability of skipping a merge in the training encodings")
    p.add_argument("--eval-every", type=int, default=50)
    return p.parse_args()


def split_corpus(path):
    """The text's first nine tenths, up to a blank line, and the rest."""
    text = path.read_bytes().decode("utf-8")
    cut = text.rfind("\n\n", 0, len(text) * 9 // 10) + 2
    return text[:cut], text[cut:]


def train_tokenizer(text, vocab):
    tok = Tokenizer(models.BPE(dropout=None, unk_token=None, continuing_subword_prefix="",
                               end_of_word_suffix="", fuse_unk=False, byte_fallback=False))
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ])
    tok.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False,
                                              use_regex=False)
    tok.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    # All 256 bytes are tokens, so every text can be encoded. END comes after the BPE's own
    # tokens, as in Qwen's vocabulary.
    trainer = trainers.BpeTrainer(vocab_size=vocab - 1, show_progress=False, special_tokens=[],
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(text.splitlines(keepends=True), trainer)
    tok.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    assert tok.get_vocab_size() == vocab, tok.get_vocab_size()
    return tok


def encode(tok, text):
    end = tok.token_to_id(END)
    return [end] + tok.encode(text, add_special_tokens=False).ids + [end]


def training_encodings(tok, text, bpe_dropout):
    """The plain encoding and, with BPE dropout, as many again with some merges skipped."""
    plain = encode(tok, text)
    if bpe_dropout == 0:
        return [torch.tensor(plain)]
    tok.model.dropout = bpe_dropout
    noisy = [encode(tok, text) for _ in range(12)]
    tok.model.dropout = None
    return [torch.tensor(plain)] * 12 + [torch.tensor(ids) for ids in noisy]


def model_config(vocab, block):
    """config.json, in the form that the published Qwen3 checkpoints have."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": vocab - 1,
        "eos_token_id": vocab - 1,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 256,
        "initializer_range": 0.02,
        "intermediate_size": 768,
        "max_position_embeddings": block,
        "max_window_layers": 6,
        "model_type": "qwen3",
        "num_attention_heads": 4,
        "num_hidden_layers": 6,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": transformers.__version__,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": vocab,
    }


def build_model(config, dropout):
    model = Qwen3ForCausalLM(Qwen3Config(**dict(config, torch_dtype="float32",
                                                attention_dropout=dropout)))
    # Qwen3 has attention dropout only; at 300 k tokens the residual branches need it too.
    drop = torch.nn.Dropout(dropout)

    def hook(module, _inputs, output):
        return drop(output) if module.training else output

    model.model.embed_tokens.register_forward_hook(hook)
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_hook(hook)
        layer.mlp.down_proj.register_forward_hook(hook)
    return model


@torch.no_grad()
def held_out_loss(model, ids, block, autocast):
    """Summed negative log likelihood (nats) over consecutive windows; each target counts once."""
    model.eval()
    total = 0.0
    for start in range(0, len(ids) - 1, block):
        window = ids[start : start + block + 1].unsqueeze(0)
        with autocast():
            logits = model(input_ids=window[:, :-1], use_cache=False).logits
        total += torch.nn.functional.cross_entropy(
            logits[0].float(), window[0, 1:], reduction="sum").item()
    model.train()
    return total


def optimizer_for(model, args):
    decay = [p for p in model.parameters() if p.dim() >= 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": args.weight_decay},
              {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=args.device != "cpu")


def learning_rate(step, args):
    warmup = 100
    if step < warmup:
        return args.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, args.steps - warmup)
    return args.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def train(model, streams, held_out, held_bytes, args):
    """Returns the best weights (bf16, on the host) and the log of the evaluations."""
    draw = torch.Generator().manual_seed(args.seed)
    optimizer = optimizer_for(model, args)
    held_out = held_out.to(args.device)
    best, best_loss, log, began = None, float("inf"), [], time.time()

    def autocast():
        return torch.autocast(args.device, torch.bfloat16, enabled=args.device == "cuda")

    def batch():
        rows = []
        for _ in range(args.batch):
            ids = streams[torch.randint(len(streams), (1,), generator=draw).item()]
            at = torch.randint(len(ids) - args.block, (1,), generator=draw).item()
            rows.append(ids[at : at + args.block + 1])
        return torch.stack(rows).to(args.device, non_blocking=True)

    model.train()
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args)
        rows = batch()
        with autocast():
            logits = model(input_ids=rows[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1),
                                                 rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % args.eval_every == 0 or step + 1 == args.steps:
            nats = held_out_loss(model, held_out, args.block, autocast)
            log.append({"step": step + 1, "train_loss": round(loss.item(), 4),
                        "held_out_per_token": round(nats / (len(held_out) - 1), 4),
                        "held_out_per_byte": round(nats / held_bytes, 4),
                        "seconds": round(time.time() - began, 1)})
            print(json.dumps(log[-1]), flush=True)
            if nats < best_loss:
                best_loss = nats
                best = {k: v.detach().to("cpu", torch.bfloat16).contiguous()
                        for k, v in model.state_dict().items() if k != "lm_head.weight"}
    return best, log


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_checkpoint(out, config, tok, weights):
    out.mkdir(parents=True, exist_ok=True)
    end = tok.token_to_id(END)
    write_json(out / "config.json", config)
    write_json(out / "generation_config.json", {
        "bos_token_id": end, "do_sample": True, "eos_token_id": [end], "pad_token_id": end,
        "temperature": 0.8, "top_k": 20, "top_p": 0.95,
        "transformers_version": transformers.__version__})
    write_json(out / "tokenizer_config.json", {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(end): {
            "content": END, "lstrip": False, "normalized": False, "rstrip": False,
            "single_word": False, "special": True}},
        "additional_special_tokens": [],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": config["max_position_embeddings"],
        "pad_token": END,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None})
    tok.save(str(out / "tokenizer.json"))
    save_file(weights, str(out / "model.safetensors"), metadata={"format": "pt"})


def main():
    args = parse_args()
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)

    train_text, held_text = split_corpus(args.corpus)
    tok = train_tokenizer(train_text, args.vocab)
    streams = training_encodings(tok, train_text, args.bpe_dropout)
    held_out = torch.tensor(encode(tok, held_text)[:-1])
    held_bytes = len(held_text.encode())
    print(f"train {len(train_text.encode())} bytes, {len(streams[0])} tokens; "
          f"held out {held_bytes} bytes, {len(held_out) - 1} tokens", flush=True)

    config = model_config(args.vocab, args.block)
    model = build_model(config, args.dropout).to(args.device)
    weights, log = train(model, streams, held_out, held_bytes, args)
    write_checkpoint(args.out, config, tok, weights)

    # The figure to quote is that of the file: bf16 weights, computed in f32.
    model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    nats = held_out_loss(model, held_out.to(args.device), args.block,
                         lambda: torch.autocast(args.device, enabled=False))
    final = {"held_out_tokens": len(held_out) - 1, "held_out_bytes": held_bytes,
             "held_out_per_token": nats / (len(held_out) - 1),
             "held_out_per_byte": nats / held_bytes,
             "parameters": sum(w.numel() for w in weights.values()),
             "torch": torch.__version__, "transformers": transformers.__version__,
             "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu"}
    arguments = {k: str(v) for k, v in vars(args).items() if k not in ("corpus", "out")}
    write_json(args.out / "train_log.json",
               {"final": final, "arguments": arguments, "evaluations": log})
    print(json.dumps(final))


if __name__ == "__main__":
    main()
