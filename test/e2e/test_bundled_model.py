"""The bundled model from directory to text, against transformers' goldens beside it.

The bounds: f32 logits within 1e-4 relative L2, bf16 and f16 at most 1.1 times the error of
transformers in that dtype, greedy tokens equal in f32.
"""

import array
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import tools
from npy import read_npy, relative_l2
from tools import ToolTest

MODEL = os.path.join(os.path.dirname(__file__), "../../models/shakespeare")
GOLDEN = os.path.join(MODEL, "golden")

# Ways to run a prompt that must not change the result.
WAYS = {
    "at once": [],
    "in chunks of 7": ["--prefill-chunk", 7],
    "token by token": ["--prefill-chunk", 1],
    "pages permuted, poisoned": ["--debug", "poison,shuffle-pages=3"],
    "pages shared": ["--debug", "poison,shuffle-pages=4,share-pages", "--prefill-chunk", 16],
    "one thread": ["--threads", 1],
}


def load(name):
    with open(os.path.join(GOLDEN, name)) as file:
        return json.load(file)


class BundledModelTest(ToolTest):
    @classmethod
    def setUpClass(cls):
        cls.folder_of_class = tools.tempfile.TemporaryDirectory(prefix="sinter-e2e-")
        cls.addClassCleanup(cls.folder_of_class.cleanup)
        cls.artifacts = {}
        for dtype in ("f32", "bf16", "f16"):
            path = os.path.join(cls.folder_of_class.name, dtype + ".sinter")
            made = tools.run("sinter-compile", MODEL, "-o", path, "--dtype", dtype)
            if made.returncode:
                raise AssertionError(made.stderr)
            cls.artifacts[dtype] = path

    def logits(self, dtype, golden, way):
        """The rows whose goldens are stored, as one flat array."""
        out = self.path("logits.npy")
        ids = ",".join(map(str, golden["ids"]))
        flags = ["--token-ids", ids, "-q", "--logits", out, *way]
        self.succeed("sinter-run", self.artifacts[dtype], *flags)
        rows, columns, values = read_npy(out)
        self.assertEqual((rows, columns), (len(golden["ids"]), 1536))
        picked = values[:0]
        for position in golden["positions"]:
            picked.extend(values[position * columns : (position + 1) * columns])
        return picked, values

    def check_logits(self, dtype, bound):
        for name in ("logits_short", "logits_long"):
            golden = load(name + ".json")
            _, _, reference = read_npy(os.path.join(GOLDEN, name + "_f32.npy"))
            bits = set()
            for way, flags in WAYS.items():
                if name == "logits_long" and way == "token by token":
                    continue  # the short one covers it, ten times faster
                with self.subTest(dtype=dtype, text=name, way=way):
                    picked, values = self.logits(dtype, golden, flags)
                    error = relative_l2(picked, reference)
                    print(f"{dtype} {name} {way}: {error:.2e}", file=sys.stderr)
                    self.assertLessEqual(error, bound(golden))
                    bits.add(values.tobytes())
            self.assertEqual(len(bits), 1, "batch-invariant: every way gives the same bits")

    def test_f32_logits(self):
        self.check_logits("f32", lambda golden: 1e-4)

    def test_bf16_logits(self):
        self.check_logits("bf16", lambda golden: 1.1 * golden["relative_l2"]["bf16"])

    def test_f16_logits(self):
        self.check_logits("f16", lambda golden: 1.1 * golden["relative_l2"]["f16"])

    def test_the_bound_notices_other_weights(self):
        golden = load("logits_short.json")
        _, _, reference = read_npy(os.path.join(GOLDEN, "logits_short_f32.npy"))
        picked, _ = self.logits("f32", golden, ["--weights", "random:1"])
        self.assertGreater(relative_l2(picked, reference), 0.1)

    def test_greedy_continuations(self):
        for number, golden in enumerate(load("greedy_f32.json")):
            with self.subTest(number=number):
                prompt = ["-p", golden["prompt"], "--max-tokens", 64, "--greedy", "--ignore-eos"]
                way = list(WAYS.values())[number % len(WAYS)]
                result = self.succeed("sinter-run", self.artifacts["f32"], *prompt, "--json", "-q", *way)
                report = json.loads(result.stdout)
                self.assertEqual(report["prompt_tokens"], len(golden["ids"]))
                self.assertEqual(report["ids"], golden["greedy"])
                self.assertEqual(report["text"], golden["text"])

    def test_repetition_penalty(self):
        """Each token is the largest of the logits that transformers' formula leaves, in f32."""
        golden, out = load("greedy_f32.json")[2], self.path("logits.npy")
        single = lambda value: array.array("f", [value])[0]
        penalty = single(1.3)
        flags = ["-q", "--greedy", "--repetition-penalty", 1.3, "--ignore-eos", "--max-tokens", 48]
        prompt = ["-p", golden["prompt"], "--json"]
        result = self.succeed("sinter-run", self.artifacts["f32"], *prompt, *flags)
        made = json.loads(result.stdout)["ids"]
        self.assertNotEqual(made, golden["greedy"][:48])
        ids = golden["ids"] + made
        listed = ["--token-ids", ",".join(map(str, ids)), "-q", "--logits", out]
        self.succeed("sinter-run", self.artifacts["f32"], *listed)
        _, columns, values = read_npy(out)
        for position in range(len(golden["ids"]), len(ids)):
            row = values[(position - 1) * columns : position * columns]
            for token in set(ids[:position]):
                row[token] = single(row[token] * penalty if row[token] < 0 else row[token] / penalty)
            self.assertEqual(ids[position], row.index(max(row)), f"position {position}")

    def test_broken_tokenizers_are_found_when_compiling(self):
        for name in os.listdir(MODEL):
            if name.endswith((".json", ".safetensors")):
                os.symlink(os.path.join(os.path.abspath(MODEL), name), self.path(name))
        with open(self.path("tokenizer.json"), encoding="utf-8") as file:
            right = json.load(file)
        extra = {"id": 1536, "content": "<more>", "single_word": False, "lstrip": False,
                 "rstrip": False, "normalized": False, "special": True}
        for expected, change in [
            ("tokenizer.json: ", lambda t: t.pop("model")),
            ("tokenizer.json: ", lambda t: t["model"].update(type="Unigram")),
            ("tokenizer.json: ", lambda t: t["model"]["merges"].append("\u0120zz zzz")),
            ("token id 1536 is outside config.json's vocab_size of 1536",
             lambda t: t["added_tokens"].append(extra)),
        ]:
            wrong = json.loads(json.dumps(right))
            change(wrong)
            os.remove(self.path("tokenizer.json"))
            with open(self.path("tokenizer.json"), "w", encoding="utf-8") as file:
                json.dump(wrong, file)
            with self.subTest(expected=expected, model=list(wrong)):
                out = self.path("x.sinter")
                self.check_error(expected, "sinter-compile", self.folder, "-o", out)
                self.assertFalse(os.path.exists(out))

    def test_broken_chat_templates_are_found_when_compiling(self):
        for name in os.listdir(MODEL):
            if name.endswith((".json", ".safetensors")):
                os.symlink(os.path.join(os.path.abspath(MODEL), name), self.path(name))
        for text, expected in [(b"{% for x in %}", "line 1"), (b"{% if true %}x", "is not closed"), (b" \n", "is empty"),
                               (b"\xff", "not valid UTF-8")]:
            with open(self.path("chat_template.jinja"), "wb") as file:
                file.write(text)
            with self.subTest(text=text):
                self.check_error(expected, "sinter-compile", self.folder, "-o", self.path("x.sinter"))

    def test_one_page_pool(self):
        golden = load("greedy_f32.json")[0]
        flags = ["-p", golden["prompt"], "--greedy", "--ignore-eos", "--max-context", 16, "--json", "-q"]
        report = json.loads(self.succeed("sinter-run", self.artifacts["f32"], *flags).stdout)
        self.assertEqual(report["ids"], golden["greedy"][: len(report["ids"])])
        self.assertEqual(len(report["ids"]), 16)

    def test_both_instruction_levels(self):
        # Another vector length is another schedule: close, not equal.
        golden = load("logits_short.json")
        _, _, reference = read_npy(os.path.join(GOLDEN, "logits_short_f32.npy"))
        picked, _ = self.logits("f32", golden, ["--isa", "v3"])
        self.assertLessEqual(relative_l2(picked, reference), 1e-4)

    def test_what_is_reported_is_what_runs(self):
        """An artefact with less than the processor has; one with all, held back."""
        path = self.path("v3.sinter")
        self.succeed("sinter-compile", MODEL, "-o", path, "--target", "cpu:x86-64-v3")
        reports = []
        for model, flags in ((path, []), (path, ["--target", "cpu:x86-64-v3"]), (self.artifacts["bf16"], ["--isa", "v3"])):
            output = self.succeed("sinter-run", model, "--token-ids", "1,2,3", "--max-tokens", 9, "--greedy", "--json", "-q", *flags)
            reports.append(json.loads(output.stdout))
            self.assertIn(", x86-64-v3, ", reports[-1]["device"])
        self.assertEqual(len({str(report["ids"]) for report in reports}), 1)
        # Only bf16 has kernels for pairs of bf16: another type never runs as that instruction set.
        output = self.succeed("sinter-run", self.artifacts["f32"], "--token-ids", "1", "--max-tokens", 1, "--json", "-q")
        self.assertNotIn("v4-bf16", json.loads(output.stdout)["device"])
        kernels = self.succeed("sinter-inspect", self.artifacts["bf16"], "--kernels").stdout
        self.assertIn(" v3, v4, v4-bf16 ", kernels)
        self.check_error("qwen3-0.6b: no such file or directory; a shape", "sinter-run", "qwen3-0.6b", "-p", "x")
        self.check_error("--isa: --target cpu:x86-64-v4-bf16 makes no code for x86-64-v3", "sinter-run", MODEL, "-p", "x",
                         "--isa", "v3", "--target", "cpu:x86-64-v4-bf16")

    def test_streams_from_standard_input(self):
        flags = ["--max-tokens", "40", "--seed", "3", "-q", "--ignore-eos"]
        command = [os.path.join(tools.BIN, "sinter-run"), self.artifacts["bf16"], *flags]
        piped = subprocess.run(command, input=b"JULIET:\n", capture_output=True, timeout=60)
        self.assertEqual(piped.returncode, 0, piped.stderr)
        given = self.succeed(*command, "-p", "JULIET:\n")
        self.assertEqual(piped.stdout.decode(), given.stdout)
        self.assertGreater(len(given.stdout), 20)
        bad = subprocess.run(command, input=b"ab\xffc", capture_output=True, timeout=60)
        self.assertEqual(bad.returncode, 1)
        self.assertRegex(bad.stderr.decode(), r"^sinter-run: error: prompt: .*\b2\b.*\n$")

    def test_prompt_lookup_changes_no_token(self):
        prompt = "First Citizen:\nBefore we proceed any further, hear me speak.\nAll:\nSpeak, speak.\n" * 3
        for dtype, sampling in (("f32", ["--greedy"]), ("bf16", ["--greedy"]), ("f32", ["--seed", 4])):
            base = ["sinter-run", self.artifacts[dtype], "-p", prompt, "--max-tokens", 120, "--ignore-eos", *sampling]
            plain = json.loads(self.succeed(*base, "--json", "-q").stdout)
            self.assertNotIn("prompt_lookup", plain)
            for lookup in (1, 7):
                report = json.loads(self.succeed(*base, "--json", "-q", "--prompt-lookup", lookup).stdout)
                self.assertEqual(report["ids"], plain["ids"], (dtype, sampling, lookup))
                self.assertGreater(report["prompt_lookup"]["accepted"], 0)
                self.assertGreaterEqual(report["prompt_lookup"]["guessed"], report["prompt_lookup"]["accepted"])
        closing = self.succeed(*base, "--prompt-lookup", 7).stderr
        self.assertRegex(closing, r"\d+ of \d+ guesses right\n$")
        run = ["sinter-run", self.artifacts["f32"], "-p", "a", "--prompt-lookup"]
        self.check_error("neither --logits", *run, 2, "--logits", self.path("x.npy"))
        self.check_error("--prompt-lookup: Value 8 not in range 0 to 7", *run, 8)

    def test_interrupt_ends_cleanly(self):
        flags = ["-p", "A", "--max-tokens", "1000", "--ignore-eos", "--threads", "1"]
        command = [os.path.join(tools.BIN, "sinter-run"), self.artifacts["f32"], *flags]
        # Unbuffered: communicate() does not see what a buffered read took along.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        # The first byte may be all there is, and a line end itself.
        self.assertTrue((first + out).endswith(b"\n"))
        self.assertRegex(err.decode(), r"^-- \d+ tokens, ")

    def test_compile_shows_progress_on_terminals_only(self):
        command = [os.path.join(tools.BIN, "sinter-compile"), MODEL, "-o", self.path("x.sinter")]
        self.assertEqual(self.succeed(*command).stderr, "")
        master, terminal = pty.openpty()
        for more, shown in (([], True), (["--emit=xfmr"], False)):
            flags = command[:2] + more if more else command
            subprocess.run(flags, stdout=subprocess.DEVNULL, stderr=terminal, check=True, timeout=60)
            os.write(terminal, b"end")
            seen = b""
            while not seen.endswith(b"end"):
                seen += os.read(master, 4096)
            self.assertEqual(b"[1/6] import" in seen, shown, seen)
            self.assertTrue(seen.endswith(b"\r\x1b[Kend" if shown else b"end"), seen)
        os.close(master)
        os.close(terminal)

    def test_output_is_checked_before_the_work(self):
        with open(self.path("old.sinter"), "w") as file:
            file.write("old")
        nowhere = self.path("no/such/x")
        self.check_error("cannot create: No such file", "sinter-compile", MODEL, "--timing", "-o", nowhere)
        self.check_error("is a directory", "sinter-compile", MODEL, "--timing", "-o", self.folder)
        # The graph is bad: what was there stays.
        with open(self.path("bad.mlir"), "w") as file:
            file.write("func.func @x(")
        self.check_error("bad.mlir", "sinter-compile", self.path("bad.mlir"), "-o", self.path("old.sinter"))
        with open(self.path("old.sinter")) as file:
            self.assertEqual(file.read(), "old")
        self.assertEqual(sorted(os.listdir(self.folder)), ["bad.mlir", "old.sinter"])

    def test_compiles_a_directory_on_first_use(self):
        environment = {**os.environ, "XDG_CACHE_HOME": self.folder}
        golden = load("greedy_f32.json")[1]
        flags = ["-p", golden["prompt"], "--greedy", "--ignore-eos", "--max-tokens", 64, "--dtype", "f32"]
        first = self.succeed("sinter-run", MODEL, *flags, env=environment)
        self.assertIn("on first use", first.stderr)
        second = self.succeed("sinter-run", MODEL, *flags, env=environment)
        self.assertNotIn("on first use", second.stderr)
        self.assertEqual(first.stdout.rstrip("\n"), golden["text"].rstrip("\n"))
        self.assertEqual(first.stdout, second.stdout)

    def test_not_finite_weights_are_one_line(self):
        with open(os.path.join(MODEL, "model.safetensors"), "rb") as file:
            content = bytearray(file.read())
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        run = ["sinter-run", self.artifacts["f32"], "--weights", self.folder, "-p", "ROMEO:"]
        for tensor, message in [
            ("model.norm.weight", "logits for position"),
            ("model.layers.2.mlp.down_proj.weight", "logits for position"),
            ("model.layers.1.self_attn.k_norm.weight", "holds a value that is not finite"),
        ]:
            spoiled = bytearray(content)
            at = 8 + length + header[tensor]["data_offsets"][0]
            spoiled[at : at + 2] = b"\xc0\x7f"  # a bf16 NaN
            with open(self.path("model.safetensors"), "wb") as file:
                file.write(spoiled)
            for way in (["--greedy"], ["--temperature", 1]):
                self.check_error(message, *run, *way)

    def test_how_it_starts(self):
        table = self.succeed("sinter-bench", "start", self.artifacts["bf16"], "--repeats", 3).stdout
        rate, first = re.search(r"upload/shakespeare +(\S+) GB/s .*\nfirst-token/shakespeare +(\S+) s", table).groups()
        self.assertGreater(float(rate), 0.05)
        self.assertLess(float(first), 1)

    def test_first_token_and_memory(self):
        flags = ["-p", "ROMEO:", "--max-tokens", 8, "--seed", 1, "--json", "-q"]
        start = time.monotonic()
        report = json.loads(self.succeed("sinter-run", self.artifacts["bf16"], *flags).stdout)
        self.assertLess(report["timings"]["first_token_s"], 1)
        self.assertLess(time.monotonic() - start, 5)
        memory = report["memory"]
        # Beyond weights and cache: the program with its libraries, arena and scratch. A second copy
        # of the weights would not fit.
        program = subprocess.Popen([os.path.join(tools.BIN, "sinter-run"), "--version"], stdout=subprocess.DEVNULL)
        base = os.wait4(program.pid, 0)[2].ru_maxrss * 1024
        program.returncode = 0
        scratch = 4e6
        self.assertLess(scratch + 0.2 * memory["weight_bytes"], memory["weight_bytes"])
        allowed = 1.2 * (memory["weight_bytes"] + memory["kv_bytes"]) + memory["arena_bytes"] + base + scratch
        self.assertLess(memory["peak_rss_bytes"], allowed)


if __name__ == "__main__":
    tools.main()
