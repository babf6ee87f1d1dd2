"""sinter-run and sinter-inspect on the fake model: outputs, errors, equality of all ways to run."""

import json
import os
import signal
import subprocess
import time

import tools
from tools import ToolTest

PROMPT = ",".join(str((i * 17 + i * i) % 40) for i in range(40))


class RunTest(ToolTest):
    def test_text_and_json_agree(self):
        model = self.make_fake()
        flags = [model, "--token-ids", PROMPT, "--max-tokens", 12, "--ignore-eos"]
        plain = self.succeed("sinter-run", *flags)
        report = json.loads(self.succeed("sinter-run", *flags, "--json", "-q").stdout)
        self.assertEqual([int(x) for x in plain.stdout.split()], report["ids"])
        self.assertEqual(len(report["ids"]), 12)
        self.assertEqual(report["finish"], "length")
        self.assertEqual(report["prompt_tokens"], 40)
        self.assertGreater(report["timings"]["first_token_s"], report["timings"]["load_s"])
        self.assertRegex(
            plain.stderr,
            r"^-- 12 tokens, \S+ tok/s, first token \d+ ms"
            r"(, \d+ % of read bandwidth \(\S+ of \S+ GB/s\)"
            r"|, too busy a machine to measure its read bandwidth)\n$",
        )

    def test_signals_end_what_follows_the_text(self):
        model = self.make_fake()
        flags = ["--token-ids", "1", "--max-tokens", "9", "--ignore-eos"]
        command = [os.path.join(tools.BIN, "sinter-run"), model, *flags]
        for number in (signal.SIGTERM, signal.SIGINT):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual(len(process.stdout.readline().split()), 9)
            process.send_signal(number)
            sent = time.monotonic()
            errors = process.communicate(timeout=60)[1]
            self.assertLess(time.monotonic() - sent, 2)
            # Killed, as a shell's 128 + number; a signal before the handlers are gone says the same.
            self.assertIn(process.returncode, (-number, 128 + number), errors)

    def test_stops_at_end_tokens(self):
        model = self.make_fake()
        flags = ["--token-ids", "1,2,3", "--json", "-q"]
        report = json.loads(self.succeed("sinter-run", model, *flags).stdout)
        self.assertEqual(report["finish"], "eos")
        self.assertLess(len(report["ids"]), 61)

    def test_every_way_to_run_gives_the_same_bits(self):
        model = self.make_fake()
        flags = ["--token-ids", PROMPT, "--max-tokens", 20, "--ignore-eos", "-q"]
        ways = [
            [],
            ["--threads", 1],
            ["--threads", 3],
            ["--isa", "v3"],
            ["--prefill-chunk", 1],
            ["--prefill-chunk", 7],
            ["--debug", "poison"],
            ["--debug", "poison,shuffle-pages=3,share-pages", "--prefill-chunk", 8],
            ["--debug", "shuffle-pages=5", "--max-context", 64],
            ["--kv-memory", "8KB"],
        ]
        seen = set()
        for number, way in enumerate(ways):
            logits = self.path(f"{number}.npy")
            text = self.succeed("sinter-run", model, *flags, *way, "--logits", logits).stdout
            with open(logits, "rb") as file:
                seen.add((text, file.read()))
        self.assertEqual(len(seen), 1)
        text, array = seen.pop()
        self.assertEqual(len(text.split()), 20)
        self.assertIn(b"(40, 40)", array[:128])
        other = self.path("other.npy")
        flags = ["--token-ids", PROMPT + ",1", "-q", "--logits", other]
        self.succeed("sinter-run", model, *flags)
        with open(other, "rb") as file:
            self.assertNotEqual(file.read(), array)

    def test_seeds(self):
        model = self.make_fake()
        flags = ["--token-ids", "5", "--max-tokens", 30, "--ignore-eos", "-q", "--temperature", 2]
        base = ["sinter-run", model, *flags]
        texts = [self.succeed(*base, "--seed", seed).stdout for seed in (1, 1, 2)]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])
        self.assertNotEqual(self.succeed(*base).stdout, self.succeed(*base).stdout)

    def test_generation_defaults_come_from_the_model(self):
        defaults = {"do_sample": True, "temperature": 0.5, "top_k": 3}
        model = self.make_fake({"model": {"generation": defaults}})
        flags = ["--token-ids", "5", "--json", "-q", "--top-k", 2, "--max-tokens", 3]
        sampling = json.loads(self.succeed("sinter-run", model, *flags).stdout)["sampling"]
        self.assertEqual(sampling["temperature"], 0.5)
        self.assertEqual(sampling["top_k"], 2)
        self.assertFalse(sampling["greedy"])

    def test_loose_numbers_and_lists_are_refused(self):
        run = ["sinter-run", self.make_fake(), "-q", "--token-ids"]
        for ids in ["1,,2", "1,2,,", ",1"]:
            self.check_error("a comma with no token id beside it", *run, ids)
        self.succeed(*run, "[1, 2]", "--max-tokens", 1)
        seed = "18446744073709551616"
        self.check_error(f'not too large, got "{seed}"', *run, "1", "--seed", seed)

    def test_a_pipe_is_no_model(self):
        os.mkfifo(self.path("pipe"))
        for tool in [["sinter-run", self.path("pipe"), "-p", "x"], ["sinter-inspect", self.path("pipe")]]:
            self.check_error("not a regular file", *tool)

    def test_profile_counts_every_launch(self):
        model = self.make_fake()
        flags = ["--token-ids", "1,2,3", "--max-tokens", 11, "--ignore-eos", "--profile"]
        table = self.succeed("sinter-run", model, *flags).stderr
        self.assertIn("step_m1_argmax, 10 steps", table)
        self.assertIn("step_argmax, 1 step\n", table)
        self.assertRegex(table, r"attention attn +10 +\d")

    def test_random_weights_need_no_checkpoint(self):
        model = self.make_fake()
        os.remove(self.path("model.safetensors"))
        self.check_error("model.safetensors", "sinter-run", model, "--token-ids", "1")
        flags = ["--token-ids", "1,2", "--max-tokens", 9, "--ignore-eos", "-q", "--weights"]
        base = ["sinter-run", model, *flags]
        one, other = (self.succeed(*base, "random:1").stdout for _ in range(2))
        self.assertEqual(one, other)
        self.check_error("random:SEED", *base, "random:x")

    def test_weights_from_another_folder(self):
        model = self.make_fake()
        os.mkdir(self.path("moved"))
        os.rename(self.path("model.safetensors"), self.path("moved/model.safetensors"))
        self.check_error("model.safetensors", "sinter-run", model, "--token-ids", "1")
        self.succeed("sinter-run", model, "--token-ids", "1", "-q", "--weights", self.path("moved"))

    def test_a_prompt_comes_through_a_pipe(self):
        model = self.make_fake()
        program = os.path.join(tools.BIN, "sinter-run")
        command = f'"{program}" "{model}" -q --max-tokens 2 --prompt-file <(printf "\\xff")'
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        self.assertIn("has no tokenizer", result.stderr)  # and not: not a regular file

    def test_a_closed_pipe_is_no_error(self):
        model = self.make_fake()
        flags = ["--token-ids", "1", "--ignore-eos", "--max-tokens", "60"]
        command = [os.path.join(tools.BIN, "sinter-run"), model, *flags]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), 0)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()

    def test_lost_output_is_an_error(self):
        model = self.make_fake()
        for arguments in [
            ["sinter-run", model, "--token-ids", "1", "--ignore-eos"],
            ["sinter-run", model, "--token-ids", "1", "--json"],
            ["sinter-inspect", model],
            ["sinter-inspect", model, "--meta"],
            ["sinter-bench", "decode", model, "--tokens", 2, "--context", 4],
            ["sinter-run", "--help"],
        ]:
            with self.subTest(arguments=arguments), open("/dev/full", "w") as full:
                command = [os.path.join(tools.BIN, arguments[0]), *map(str, arguments[1:])]
                result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(result.returncode, 1, result.stderr)
                expected = arguments[0] + ": error: standard output: cannot write"
                self.assertIn(expected, result.stderr.splitlines()[-1])

    def test_a_closed_standard_output_is_an_error(self):
        command = [os.path.join(tools.BIN, "sinter-inspect"), self.make_fake()]
        result = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"standard output: cannot write: Bad file descriptor", result.stderr)

    def test_devices_are_written_not_replaced(self):
        flags = ["--token-ids", "1", "-q", "--logits", "/dev/null"]
        self.succeed("sinter-run", self.make_fake(), *flags)
        self.assertFalse(os.path.isfile("/dev/null"))

    def test_echo_of_token_ids(self):
        flags = ["--token-ids", "3,1", "--echo", "-q", "--max-tokens", 0]
        self.assertEqual(self.succeed("sinter-run", self.make_fake(), *flags).stdout, "3 1 \n")

    def test_repetition_penalty(self):
        flags = ["--token-ids", "1,2", "-q", "--max-tokens", 30, "--ignore-eos", "--json"]

        def report(generation, *more):
            model = self.make_fake({"model": {"generation": generation}})
            return json.loads(self.succeed("sinter-run", model, *flags, *more).stdout)

        plain = report({})
        self.assertEqual(plain["sampling"], {"greedy": True, "repetition_penalty": 1})
        penalised = report({"repetition_penalty": 1.5})
        self.assertEqual(penalised["sampling"]["repetition_penalty"], 1.5)
        self.assertNotEqual(penalised["ids"], plain["ids"])
        self.assertGreater(len(set(penalised["ids"])), len(set(plain["ids"])))
        self.assertEqual(report({}, "--repetition-penalty", 1.5, "--greedy")["ids"], penalised["ids"])
        off = report({"repetition_penalty": 1.5}, "--repetition-penalty", 1)
        self.assertEqual(off["ids"], plain["ids"])

    def test_lengths_come_from_the_model(self):
        def count(generation, *flags):
            model = self.make_fake({"model": {"generation": generation}})
            base = ["sinter-run", model, "--token-ids", "1,2", "-q", "--ignore-eos", "--json"]
            return len(json.loads(self.succeed(*base, *flags).stdout)["ids"])

        self.assertEqual(count({"max_new_tokens": 5}), 5)
        self.assertEqual(count({"max_length": 12}), 10)
        self.assertEqual(count({"max_new_tokens": 5, "max_length": 30}), 5)
        self.assertEqual(count({"max_new_tokens": 5}, "--max-tokens", 7), 7)
        # As many as there is room for: the last token is not run itself.
        self.assertEqual(count({"max_new_tokens": 5000}, "--max-context", 40), 39)
        model = self.make_fake({"model": {"generation": {"max_length": 2}}})
        run = ["sinter-run", model, "--token-ids", "1,2"]
        self.check_error("max_length is 2: give --max-tokens", *run)
        self.succeed(*run, "-q", "--max-tokens", 1)

    def test_bench_checks_its_file_before_measuring(self):
        bench = ["sinter-bench", "decode", self.make_fake(), "--json"]
        with open(self.path("records.json"), "w") as file:
            file.write("{}")
        self.check_error("expected an array", *bench, self.path("records.json"))
        self.check_error("cannot create", *bench, self.path("no/such/folder"))

    def test_links_no_compiler(self):
        for tool in ("sinter-run", "sinter-inspect", "sinter-bench"):
            command = ["ldd", os.path.join(tools.BIN, tool)]
            libraries = subprocess.run(command, capture_output=True, text=True).stdout
            self.assertIn("libc.so", libraries)
            self.assertNotRegex(libraries, "MLIR|LLVM")


class RunErrorTest(ToolTest):
    def test_flags(self):
        model = self.make_fake()
        base = ["sinter-run", model]
        ids = [*base, "--token-ids", "1"]
        for expected, arguments in [
            ("MODEL is required", ["sinter-run"]),
            ('not expected: "--bogus"', [*ids, "--bogus", 3]),
            ("--max-tokens: expected a whole number, not negative and not too large, got", [*ids, "--max-tokens", -5]),
            ('--max-tokens: expected a decimal number without leading zeros, got "010"', [*ids, "--max-tokens", "010"]),
            ('--top-k: expected a decimal number without leading zeros, got "0x1"', [*ids, "--top-k", "0x1"]),
            ('--temperature: expected a number, got "hot"', [*ids, "--temperature", "hot"]),
            ("--greedy takes no value", [*ids, "--greedy=no"]),
            ("--max-tokens: the value is missing", [*ids, "--max-tokens"]),
            ("--max-tokens: given more than once", [*ids, "--max-tokens", 1, "--max-tokens", 2]),
            ("has no tokenizer", [*base, "-p", "text"]),
            ("excludes", [*ids, "-p", "text"]),
            ('expected token ids, got "x" at byte 2', [*base, "--token-ids", "1,x"]),
            ("token id 40 is outside the vocabulary of 40", [*base, "--token-ids", "40"]),
            ("the prompt is empty", [*base, "--token-ids", ","]),
            ("no-such-file", [*base, "--token-ids", "@/no-such-file"]),
            ("more than the model's 64 positions", [*base, "--token-ids", "1," * 70]),
            ("--max-tokens 65 after a prompt of 1 tokens", [*ids, "--max-tokens", 65]),
            ("--max-context 65: expected 1 to", [*ids, "--max-context", 65]),
            ("expected a size such as", [*ids, "--kv-memory", "lots"]),
            ("0 positions of --kv-memory 10", [*ids, "--kv-memory", 10]),
            ("--dtype bf16", [*ids, "--dtype", "bf16"]),
            ("--kv-cache-dtype fp8_e4m3", [*ids, "--kv-cache-dtype", "fp8_e4m3"]),
            ("--target cuda", [*ids, "--target", "cuda"]),
            ("--no-cache is for model directories", [*ids, "--no-cache"]),
            ("--top-p: expected", [*ids, "--top-p", 1.5]),
            ("--repetition-penalty: expected", [*ids, "--repetition-penalty", 0]),
            ("exclude each other", [*ids, "--greedy", "--top-k", 3]),
            ("--seed: decoding is greedy", [*ids, "--seed", 3]),
            ('--seed: expected a whole number, not negative and not too large, got "-1"',
             [*ids, "--temperature", 1, "--seed", "-1"]),
            ("--temperature 0 and sampling options", [*ids, "--temperature", 0, "--top-k", 3]),
            ("--threads", [*ids, "--threads", 0]),
            ("--logits: the value is empty", [*ids, "--logits", ""]),
            ("--token-ids: the value is empty", [*base, "--token-ids", ""]),
            ("excludes", [*ids, "--echo", "--json"]),
            (": is a directory", [*ids, "--logits", self.folder]),
            ("/dev/full: cannot write: No space left", [*ids, "--logits", "/dev/full", "-q"]),
            ("--debug bogus", [*ids, "--debug", "bogus"]),
            ("no such file", ["sinter-run", self.path("none.sinter"), "--token-ids", "1"]),
            (
                "refuses to start at its last position",
                [*base, "--token-ids", "1," * 63, "--max-tokens", 2, "--ignore-eos"],
            ),
        ]:
            with self.subTest(expected=expected):
                self.check_error(expected, *arguments)

    def test_damaged_and_foreign_files(self):
        model = self.make_fake()
        with open(model, "rb") as file:
            content = bytearray(file.read())
        content[len(content) // 2] ^= 1
        with open(model, "wb") as file:
            file.write(content)
        for tool in (["sinter-run", model, "--token-ids", "1"], ["sinter-inspect", model]):
            self.check_error("SHA-256 is not the recorded one", *tool)
        program = os.path.join(tools.BIN, "sinter-run")
        self.check_error("not a compiled model", "sinter-inspect", program)
        self.check_error("not an ELF file", "sinter-inspect", __file__)


class InspectTest(ToolTest):
    def test_views(self):
        model = self.make_fake()

        def view(*flags):
            return self.succeed("sinter-inspect", model, *flags).stdout

        self.assertIn("x86-64-v3", view())
        self.assertLessEqual(view().count("\n"), 24)
        self.assertEqual(json.loads(view("--meta"))["abi"], 4)
        self.assertIn("model.embed_tokens.weight[0:40]", view("--weights"))
        self.assertIn("arena 2048 bytes", view("--buffers"))
        self.assertIn("5 kernels", view("--kernels"))
        self.assertEqual(view("--schedule"), "embed\nwrite\nattend\nhead\n")
        self.check_error("has no tokenizer", "sinter-inspect", model, "--tokenizer")
        self.check_error("at most 1", "sinter-inspect", model, "--meta", "--weights")

    def test_other_targets_and_versions(self):
        model = self.make_fake({"target": "cuda:sm_90a", "isas": []})
        self.assertIn("cuda:sm_90a", self.succeed("sinter-inspect", model).stdout)
        run = ["sinter-run", model, "--token-ids", "1"]
        self.check_error('compiled for target "cuda:sm_90a"', *run)
        self.make_fake({"abi": 9})
        self.check_error("ABI version 9", *run)


class BenchTest(ToolTest):
    KEYS = "name value unit floor peer peer_value bar hardware commit date".split()

    def read(self, path):
        with open(path) as file:
            return {record["name"]: record for record in json.load(file)}

    def test_records_are_merged_by_name(self):
        model = self.make_fake()
        kept = self.path("bench.json")
        with open(kept, "w") as file:
            old = {"name": "decode/fake/b1/c8", "value": 1e9, "peer": "other", "peer_value": 3}
            json.dump([{"name": "by-hand", "value": 5}, old], file)
        table = self.succeed(
            "sinter-bench", "decode", model, "--batch", "1,2", "--context", 8, "--json", kept,
            "--tokens", 20,
        ).stdout
        self.assertRegex(table, r"decode/fake/b2/c8 +\d")
        profiled = self.succeed("sinter-bench", "prefill", model, "--length", 40, "--json", kept, "--profile")
        self.assertRegex(profiled.stderr, r"(?s)^prefill/fake/t40: step_\w+, 6 steps\nop +calls .* attn +\d+ +\d.*the whole step")
        records = self.read(kept)
        self.assertEqual(records["by-hand"], {"name": "by-hand", "value": 5})
        for name in ("decode/fake/b1/c8", "decode/fake/b2/c8", "prefill/fake/t40"):
            self.assertEqual(list(records[name]), self.KEYS)
            self.assertEqual(records[name]["unit"], "ms")
            self.assertGreater(records[name]["value"], records[name]["floor"])
        self.assertLess(records["decode/fake/b1/c8"]["value"], 1e9)
        self.assertEqual(records["decode/fake/b1/c8"]["peer"], "other")
        self.assertGreater(records["machine/read-bandwidth"]["value"], 0.5)

    def test_throughput(self):
        model = self.make_fake()
        kept = self.path("bench.json")
        table = self.succeed(
            "sinter-bench", "throughput", model, "--sequences", "1,12", "--min-length", 3,
            "--max-length", 30, "--prefill-chunk", 16, "--json", kept,
        ).stdout
        self.assertRegex(table, r"throughput/fake/n12: \d")
        self.assertRegex(table, r"12 together: \d")
        records = self.read(kept)
        rate = records["throughput/fake/n12"]
        self.assertEqual(list(rate), self.KEYS)
        self.assertEqual(rate["unit"], "tok/s")
        self.assertGreater(rate["floor"], rate["value"])
        for name in ("first-token-p50", "first-token-p99", "inter-token-p50", "inter-token-p99"):
            self.assertEqual(records["throughput/fake/n12/" + name]["unit"], "ms")
        again = self.succeed(
            "sinter-bench", "throughput", model, "--sequences", 3, "--min-length", 5,
            "--max-length", 9, "--temperature", 0.7, "--max-sequences", 2,
        ).stdout
        self.assertRegex(again, r"throughput/fake/n3/sampled: \d")
        self.assertRegex(again, r"first token +p50 \d")
        short = self.succeed(
            "sinter-bench", "throughput", model, "--sequences", "2,5", "--prompt-length", 3,
            "--min-length", 7, "--max-length", 7, "--json", kept, "--no-data-parallel",
        ).stdout
        self.assertRegex(short, r"throughput/fake/n5/p3/o7: \S+ tok/s \(35 tokens after prompts of 15 in")
        self.assertRegex(short, r"5 together: \S+ times the tokens per second of 2\n")
        records = self.read(kept)
        rates = [records[f"throughput/fake/n{n}/p3/o7"]["value"] for n in (5, 2)]
        over = records["throughput/fake/n5/p3/o7/over-n2"]
        self.assertAlmostEqual(over["value"], rates[0] / rates[1])
        self.assertEqual(over["unit"], "x")
        guessing = self.succeed(
            "sinter-bench", "throughput", model, "--sequences", 2, "--min-length", 20,
            "--max-length", 30, "--prompt-lookup", 4,
        ).stdout
        self.assertRegex(guessing, r"prompt lookup +\d+ of \d+ guesses right")
        self.check_error("--min-length is more", "sinter-bench", "throughput", model, "--min-length",
                         9, "--max-length", 5)
        self.check_error("120 positions are more than the model's 64", "sinter-bench", "throughput",
                         model, "--min-length", 60, "--max-length", 60, "--sequences", 2)

    def test_arrivals(self):
        model = self.make_fake()
        kept = self.path("bench.json")
        flags = ["throughput", model, "--sequences", 6, "--min-length", 3, "--max-length", 20, "--json", kept]
        table = self.succeed("sinter-bench", *flags, "--rate", 200).stdout
        self.assertRegex(table, r"throughput/fake/n6/rate200: \d")
        self.assertRegex(table, r"arrivals +200 requests/s")
        self.assertNotIn("n6:", table)
        table = self.succeed("sinter-bench", *flags, "--load", 0.5).stdout
        self.assertRegex(table, r"throughput/fake/n6: \d[^*]*throughput/fake/n6/load0.5: \d")
        records = self.read(kept)
        for name in ("n6/rate200", "n6/load0.5"):
            for row in ("first-token-p50", "first-token-p95", "first-token-p99", "inter-token-p95"):
                self.assertGreater(records[f"throughput/fake/{name}/{row}"]["value"], 0)
            spread = records[f"throughput/fake/{name}/inter-token-spread"]
            ends = [records[f"throughput/fake/{name}/inter-token-p{q}"]["value"] for q in (99, 50)]
            self.assertAlmostEqual(spread["value"], ends[0] / ends[1])
            self.assertEqual((spread["unit"], spread["bar"]), ("x", 3))
        self.assertNotIn("throughput/fake/n6/inter-token-spread", records)
        self.check_error("--rate excludes --load", "sinter-bench", *flags, "--rate", 2, "--load", 1)
        for flag in ("--load", "--rate", "--temperature", "--top-p"):
            self.check_error(f"{flag}: nan is not a number from", "sinter-bench", *flags, flag, "nan")

    def test_a_long_prompt_among_answers(self):
        model = self.make_fake()
        kept = self.path("bench.json")
        flags = ["intrude", model, "--sequences", 3, "--min-length", 4, "--tokens", 5, "--prefill-chunk", 16]
        table = self.succeed("sinter-bench", *flags, "--prompt", 40, "--json", kept).stdout
        self.assertRegex(table, r"intrude/fake/n3/t40: first token of the long prompt after \d")
        records = self.read(kept)
        for row in ("before-p99", "during-p50", "during-p95", "during-p99", "first-token"):
            self.assertGreater(records["intrude/fake/n3/t40/" + row]["value"], 0)
        rise = records["intrude/fake/n3/t40/p99-rise"]
        self.assertEqual((rise["unit"], rise["bar"]), ("chunks", 1))
        self.assertRegex(table, r"p99 rises by +\S+ chunks of 16 tokens, at most \d")
        self.check_error("more than the model's 64", "sinter-bench", *flags, "--prompt", 64)

    def test_guesses(self):
        model = self.make_fake()
        kept, text = self.path("bench.json"), self.path("text.txt")
        flags = ["lookup", model, "--min-length", 20, "--tokens", 12]
        table = self.succeed("sinter-bench", *flags, "--sequences", "2,5", "--json", kept).stdout
        self.assertRegex(table, r"prompt-lookup/fake/n5: \d.* guesses right\n  other answers +0 of 5, 0.000 in 1000")
        records = self.read(kept)
        self.assertEqual(records["prompt-lookup/fake/n5"]["peer"], "without guesses")
        self.assertGreater(records["prompt-lookup/fake/n5"]["peer_value"], 0)
        self.assertEqual(records["prompt-lookup/fake/n2/divergence"]["value"], 0)
        with open(text, "w") as file:
            file.write("one two " * 40)
        self.check_error("has no tokenizer", "sinter-bench", *flags, "--prompt-file", text)
        self.check_error("none.txt", "sinter-bench", *flags, "--prompt-file", self.path("none.txt"))
        self.check_error("--prompt-lookup", "sinter-bench", *flags, "--prompt-lookup", 8)
        self.check_error("more than the model's 64", "sinter-bench", "lookup", model, "--min-length", 60, "--tokens", 12)

    def test_errors(self):
        model = self.make_fake()
        self.check_error("expected decode, prefill, throughput, attention, intrude, lookup", "sinter-bench")
        self.check_error('got "deocde"', "sinter-bench", "deocde")
        self.check_error("more than the model's 64", "sinter-bench", "decode", model)
        self.check_error("no such file", "sinter-bench", "decode", self.path("none.sinter"))
        self.check_error("--batch", "sinter-bench", "decode", model, "--batch", "0")
        kept = self.path("bench.json")
        with open(kept, "w") as file:
            file.write("{")
        flags = ["prefill", model, "--length", 8, "--json", kept]
        self.check_error("bench.json", "sinter-bench", *flags)


class HelpTest(ToolTest):
    def test_help_and_version(self):
        for tool in ("sinter-run", "sinter-inspect", "sinter-bench"):
            self.assertIn("examples:", self.succeed(tool, "--help").stdout)
            version = self.succeed(tool, "--version").stdout
            self.assertRegex(version, rf"^{tool} \d+\.\d+\.\d+ \(artefact ABI 4\)\n$")


if __name__ == "__main__":
    tools.main()
