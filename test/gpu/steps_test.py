"""What of the GPU tests needs no GPU: the scripts of steps.py, and model-steps on a CPU against goldens.

  steps_test.py BIN   programs are in BIN
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../e2e")]
import layers
import steps
from npy import read_npy, relative_l2

GOLDEN = os.path.join(HERE, "../models/golden/gqa4_d128")
BUDGET = 64
BIN = ""


def tensors(path):
    """A safetensors file's matrices as rows of bytes."""
    with open(path, "rb") as file:
        content = file.read()
    size, = struct.unpack_from("<Q", content)
    found = {}
    for name, entry in json.loads(content[8:8 + size]).items():
        if name != "__metadata__" and len(entry["shape"]) == 2:
            begin, end = (8 + size + at for at in entry["data_offsets"])
            stride = (end - begin) // entry["shape"][0]
            found[name] = [content[at:at + stride] for at in range(begin, end, stride)]
    return found


def run(name, *arguments):
    return subprocess.run([os.path.join(BIN, name), *map(str, arguments)], capture_output=True, text=True, timeout=600)


class ScriptTest(unittest.TestCase):
    def check(self, script, budget):
        """Every token once, in steps that an artefact with `budget` tokens a step takes; returns the widest step."""
        done, rows, widest = [0] * len(script.lengths), [], 0
        for step in script.json([[0] * max(script.lengths)] * len(script.lengths))["steps"]:
            for _ in range(step["times"]):
                self.assertEqual(len({sequence for sequence, _, _ in step["items"]}), len(step["items"]))
                tokens = sum(count for _, count, _ in step["items"])
                self.assertLessEqual(tokens, budget)
                kept = 0
                for sequence, count, which in step["items"]:
                    begin, done[sequence] = done[sequence], done[sequence] + count
                    wanted = range(begin, done[sequence]) if which == "all" else [done[sequence] - 1]
                    kept += len(wanted)
                    rows += [(sequence, at) for at in wanted] if step["keep"] else []
                self.assertLessEqual(kept, steps.PROMPT_ROWS)
                widest = max(widest, len(step["items"]))
        self.assertEqual(done, script.lengths)
        self.assertEqual(rows, script.rows)
        return widest

    def test_small_and_large_scripts(self):
        for scripts, budget in [(steps.small_scripts(60, 64), 64), (steps.small_scripts(60, 32), 32),
                                (steps.large_scripts(4096, 2048), 2048)]:
            widest = [self.check(script, budget) for script in scripts]
            self.assertEqual([1, 3, 8, 64][:4 if budget >= 64 else 3],
                             [n for script, n in zip(scripts, widest) if script.name.startswith("decode of")])
            for script, n in zip(scripts, widest):
                self.assertGreater(len(script.rows), 0)
                if script.name.startswith(steps.MIXED):
                    self.assertGreater(n, 2)
                    # A prompt's chunk beside decodes.
                    self.assertTrue(any(max(item[1] for item in step["items"]) > 8 and len(step["items"]) > 2
                                        for step in script.steps))
        self.assertEqual(max(max(script.lengths) for script in steps.large_scripts(4096, 2048)), 4096)


class ModelStepsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="sinter-steps-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.model = os.path.join(cls.folder, "model.sinter")
        made = run("sinter-compile", GOLDEN, "--dtype", "f32", "--max-tokens-per-step", BUDGET, "-o", cls.model)
        if made.returncode:
            raise AssertionError(made.stderr)
        with open(os.path.join(GOLDEN, "golden.json")) as file:
            cls.ids = json.load(file)["ids"]
        cls.columns, cls.golden = read_npy(os.path.join(GOLDEN, "logits_f32.npy"))[1:]

    def steps(self, script, pool, model=None, *options):
        written, out = os.path.join(self.folder, "script.json"), os.path.join(self.folder, "logits.npy")
        if os.path.exists(out):
            os.remove(out)
        with open(written, "w") as file:
            file.write(script if isinstance(script, str) else json.dumps(script.json(pool)))
        return run("model-steps", model or self.model, "--weights", GOLDEN, "--script", written, "--logits", out, *options), out

    def error(self, script, pool):
        done, out = self.steps(script, pool)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows, columns, values = read_npy(out)
        self.assertEqual((rows, columns), (len(script.rows), self.columns))
        expected = self.golden[:0]
        for _, at in script.rows:
            expected.extend(self.golden[at * columns:(at + 1) * columns])
        return relative_l2(values, expected)

    def test_every_script_gives_the_goldens_rows(self):
        pool = [self.ids] * 64  # beginnings of one prompt: the rows of each are known
        for script in steps.small_scripts(len(self.ids), BUDGET):
            with self.subTest(script.name):
                self.assertLess(self.error(script, pool), 1e-4)

    def test_another_sequence_is_noticed(self):
        pool = [self.ids] * 7 + [[self.ids[0] ^ 1, *self.ids[1:]]]
        self.assertGreater(self.error(steps.mixed([len(self.ids)] * 8, BUDGET, 1), pool), 1e-2)

    def test_activations_are_those_of_their_tokens(self):
        model, kept = os.path.join(self.folder, "apart.sinter"), os.path.join(self.folder, "kept.safetensors")
        made = run("sinter-compile", GOLDEN, "--dtype", "f32", "--max-tokens-per-step", BUDGET, "--no-reuse", "-o", model)
        self.assertEqual(made.returncode, 0, made.stderr)
        pool, seen = [self.ids] * 4, {}
        table = tensors(os.path.join(GOLDEN, "model.safetensors"))["model.embed_tokens.weight"]
        for script in (steps.chunks([20, 9], BUDGET), steps.mixed([20, 18, 17, 9], BUDGET, 1), steps.guesses([20, 11], BUDGET, 1)):
            done, _ = self.steps(script, pool, model, "--activations", kept)
            self.assertEqual(done.returncode, 0, done.stderr)
            values = tensors(kept)
            for number, order in enumerate(layers.tokens_of(script)):
                rows = values[f"{number}/embed"]
                self.assertEqual(len(rows), len(order))
                for row, (_, at) in zip(rows, order):  # f32 whose upper halves are the table's bf16
                    self.assertEqual(row, b"".join(b"\0\0" + table[self.ids[at]][i:i + 2] for i in range(0, len(row) // 2, 2)))
                for name in ("layers.0.attn.qkv", "layers.1.mlp.down"):  # on a CPU the same in any step
                    for row, (_, at) in zip(values[f"{number}/{name}"], order):
                        self.assertEqual(seen.setdefault((name, at), row), row, (name, at))
        self.assertEqual(len(seen), 2 * 20)
        self.assertEqual(len({row for (name, _), row in seen.items() if "down" in name}), 20)
        done, _ = self.steps(steps.chunks([5], BUDGET), pool, None, "--activations", kept)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, '^model-steps: error: activations share memory in this model: ".*" and ".*"; compile it with --no-reuse\n$')

    def test_errors(self):
        item = '{"items": [[0, 2, "last"]], "times": 1, "keep": true}'
        for script, message in [
            ("{", "not valid JSON"),
            ("{}", "key 'sequences' not found"),
            ('{"sequences": [[1, 2, 3]], "steps": [' + item + "]}", "leaves tokens that no step computes"),
            ('{"sequences": [[1, 2]], "steps": [{"items": [[1, 2, "last"]], "times": 1, "keep": true}]}', "script.json: "),
            ('{"sequences": [[1, 2]], "steps": [' + item + ", " + item + "]}", "asks for tokens that its sequence"),
        ]:
            done, out = self.steps(script, None)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
            self.assertIn(message, done.stderr)
            self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    BIN = os.path.abspath(sys.argv.pop(1))
    unittest.main()
