#!/usr/bin/env python3
"""Writes the tokenizer goldens beside this file, with Hugging Face `tokenizers` as the judge.

  small_tokenizer.json  a byte-level BPE of a few hundred tokens trained on the text below
  small_golden.json     ids and texts for it, and for variants of it (JSON merge patches)
  qwen3_golden.json     ids for Qwen3's own tokenizer, read from ../shared/data beside the checkout

    pip install tokenizers && python3 test/runtime/text/make_golden.py
"""
import json
import pathlib
import random
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent
QWEN = HERE.parents[3] / "shared/data/qwen3-tokenizer/tokenizer.json"

QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CASED_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = """The compiler reads a graph and the runtime runs it. Every number that is printed was
measured on the machine that printed it; nothing is rounded in the reader's favour. She said that
they're here, that we've seen it, that I'll go and that it's done. There are 12 pages, 340 tokens
and 5,600 bytes. Über die Brücke gehen; où est le café? Naïve façade. Что это? Это токен. 日本語の文
字列を分割する。 for (int i = 0; i < n; ++i) { sum += x[i] * w[i]; }  // the usual loop
    return sum;

The end of the text is the beginning of the test, and the test is the end of the error.
"""


BLOCKS = [
    (0x20, 0x7F), (0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530),
    (0x590, 0x700), (0x900, 0xE00), (0xE00, 0x1100), (0x1100, 0x1200), (0x1780, 0x1820),
    (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2C00), (0x3000, 0x3100), (0x4E00, 0x4F00),
    (0xAC00, 0xAD00), (0xF900, 0xFB20), (0xFE00, 0x10000), (0x10D20, 0x10F90), (0x11900, 0x11950),
    (0x1D150, 0x1D250), (0x1E800, 0x1E960), (0x1F300, 0x1F700), (0x2F800, 0x2F900),
    (0x31350, 0x31360), (0, 0x110000),
]  # fmt: skip
TRICKY = [
    " ", "  ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u0085", "\u180e", "\u2028", "\u3000", "\u200b",
    "\x1c", "\x1f", "\x00", "\x0b", "'s", "'S", "'\u017f", "'Re", "'vE", "'LL", "'d", "'st", "'t",
    "\u2019s", "\u212a", "\ufb00", "\u00df", "\u0130", "\u0661", "\u00b2", "\u00bd", "\u2167", "12345",
    "e\u0301", "\u0301", "a\u0316\u0301", "a\u0301\u0316", "\u0344", "\u1100\u1161\u11a8", "\u0958",
    "\u2126", "\u09c7\u09be", "\u0eba\u0eb8", "\u0898\u0316", "\U00011935\U00011930", "\U00011938\u0334",
    "\U000113c2\U000113c2", "\U000105d2\u0307", "\U0001d15e", "\ufeff", "\u200d", "\U0001f469\u200d\U0001f52c",
    "\uffff", "\ufffd", "\U0010ffff", "the", " The", "tokens", "...", "--", "={", "})\n", "aaaa",
]  # fmt: skip


def texts(rng, added, count):
    def point(low, high):
        while True:
            c = rng.randrange(low, high)
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    def piece():
        kind = rng.randrange(7)
        if kind == 0:
            return rng.choice(TRICKY) * rng.choice([1, 1, 2, 3])
        if kind == 1:
            return rng.choice(added) + rng.choice(["", " ", "  ", "\n", "x"])
        if kind == 2:
            token = rng.choice(added)
            return token[: rng.randrange(len(token)) + 1]
        if kind == 3:
            return point(*rng.choice(BLOCKS)) * rng.randrange(1, 40)
        if kind == 4:
            return unicodedata.normalize("NFD", point(0xC0, 0x250) + point(0xAC00, 0xD7A4))
        if kind == 5:
            return rng.choice(CORPUS.split(" ")) + rng.choice([" ", "'s ", "\n"])
        block = rng.choice(BLOCKS)
        return "".join(point(*block) for _ in range(rng.randrange(1, 6)))

    def excerpt():
        """Letters in the corpus' proportions, cut and joined anywhere: many merges compete."""
        starts = [rng.randrange(len(CORPUS)) for _ in range(6)]
        return "".join(CORPUS[a : a + rng.randrange(2, 12)].strip() for a in starts)

    fixed = TRICKY + ["", CORPUS] + ["a" + t + "b" for t in TRICKY] + [" " + t + " " for t in TRICKY]
    fixed += [excerpt() for _ in range(count // 2)]
    return fixed + ["".join(piece() for _ in range(rng.randrange(1, 7))) for _ in range(count)]


def small_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS.split("\n\n"), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False) for t in ("<|end|>", "<|user|>", "<|user|><|end|>")]
    )
    tokenizer.add_tokens(
        [
            AddedToken("<think>", normalized=False),
            AddedToken("[MASK]", lstrip=True, normalized=False),
            AddedToken("[SEP]", lstrip=True, rstrip=True, normalized=False),
            AddedToken("[CLS]", rstrip=True),
            AddedToken("caf\u00e9", normalized=True),
            AddedToken("e\u0301t\u00e9", normalized=True),
            AddedToken("\u65e5\u672c", normalized=False),
        ]
    )
    return tokenizer


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split(*patterns, use_regex=False):
    items = [
        {"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False}
        for p in patterns
    ]
    return {"type": "Sequence", "pretokenizers": items + [byte_level(use_regex)]}


def variants(tokenizer):
    """Name, and what to change in small_tokenizer.json."""
    merges = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    yield "as it is", {}
    yield "the same expression on PCRE2", {"pre_tokenizer": split(f"(?:{QWEN_PATTERN})")}
    yield "GPT-2, string merges, no NFC", {
        "pre_tokenizer": byte_level(True) | {"pretokenizers": None},
        "normalizer": None,
        "model": {"merges": merges},
    }
    yield "Llama 3, whole words first", {
        "pre_tokenizer": split(QWEN_PATTERN.replace(r"\p{N}|", r"\p{N}{1,3}|")),
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
        "model": {"ignore_merges": True},
    }
    yield "letter case, on PCRE2", {"pre_tokenizer": split(CASED_PATTERN)}
    yield "three expressions in a row", {
        "pre_tokenizer": split(r"\p{N}{1,3}", r"(?<=[a-z])\S|(?<!\s)(?:ab|c)+|\D\d?", use_regex=True)
    }


def merge_patch(target, patch):
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patch(target.get(key), value)
    return target


def cases(tokenizer, samples):
    """[text, ids, ids with special tokens as text, text of ids, that without special tokens]; 0 stands
    for no difference from the item it is derived from."""
    for text in samples:
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        skipped = tokenizer.decode(ids, skip_special_tokens=True)
        yield [text, ids, 0 if plain == ids else plain, 0 if decoded == text else decoded,
               0 if skipped == decoded else skipped]  # fmt: skip


def write(name, value):
    """One line for each case, ASCII only."""
    lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in value)
    (HERE / name).write_text("[\n" + lines + "\n]\n")


def main():
    print("tokenizers", tokenizers.__version__)
    rng = random.Random(2026)
    small = json.loads(small_tokenizer().to_str())
    text = json.dumps(small, ensure_ascii=False, separators=(",", ":"))
    (HERE / "small_tokenizer.json").write_text(text + "\n")
    added = [token["content"] for token in small["added_tokens"]]
    golden = []
    for name, patch in variants(small):
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(small, patch)))
        samples = list(cases(tokenizer, texts(rng, added, 60)))
        golden.append({"name": name, "patch": patch, "cases": samples})
    write("small_golden.json", golden)
    if not QWEN.exists():
        return print("no", QWEN, "- qwen3_golden.json is left as it is")
    qwen = Tokenizer.from_file(str(QWEN))
    added = [t.content for t in qwen.get_added_tokens_decoder().values()]
    write("qwen3_golden.json", cases(qwen, texts(rng, added, 300)))


if __name__ == "__main__":
    main()
