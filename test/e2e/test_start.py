"""sinter-bench start: how fast weights load, and how long sinter-run takes to its first token."""

import json
import os
import shutil
import signal
import subprocess
import time

import tools
from tools import ToolTest

KEYS = "name value unit floor peer peer_value bar hardware commit date".split()
WITHOUT_CHECKPOINT = {"source": {"directory": "", "files": []}}


class StartTest(ToolTest):
    def read(self, path):
        with open(path) as file:
            return {record["name"]: record for record in json.load(file)}

    def beside(self, script):
        """sinter-bench in a folder of its own, beside a sinter-run that is this script."""
        folder = self.path("programs")
        os.makedirs(folder, exist_ok=True)
        bench, run = os.path.join(folder, "sinter-bench"), os.path.join(folder, "sinter-run")
        shutil.copy(os.path.join(tools.BIN, "sinter-bench"), bench)
        with open(run, "w") as file:
            file.write("#!/bin/sh\n" + script)
        os.chmod(run, 0o755)
        return bench

    def leftovers(self):
        return [name for name in os.listdir(self.folder) if name.startswith("sinter-weights")]

    def test_both_rows(self):
        kept = self.path("bench.json")
        here = {**os.environ, "TMPDIR": self.folder}
        for patch, way in [(None, []), (None, ["--weights", self.folder]), (WITHOUT_CHECKPOINT, [])]:
            model = self.make_fake(patch)
            table = self.succeed("sinter-bench", "start", model, "--repeats", 2, "--json", kept, *way, env=here).stdout
            self.assertRegex(table, r"of weights\nupload/fake +\d.* GB/s .*\nfirst-token/fake +\d.* s +\d")
            records = self.read(kept)
            for name, unit in [("upload/fake", "GB/s"), ("first-token/fake", "s")]:
                self.assertEqual(list(records[name]), KEYS)
                self.assertEqual(records[name]["unit"], unit)
                self.assertGreater(records[name]["value"], 0)
            self.assertEqual(self.leftovers(), [])
        # Until its first output, not its end.
        bench = self.beside("sleep 0.3; echo '{\"ids\": [1]}'; sleep 1")
        self.succeed(bench, "start", model, "--repeats", 1, "--json", kept, env=here)
        self.assertGreater(self.read(kept)["first-token/fake"]["value"], 0.3)
        self.assertLess(self.read(kept)["first-token/fake"]["value"], 1)

    def test_errors(self):
        model = self.make_fake(WITHOUT_CHECKPOINT)
        here = {**os.environ, "TMPDIR": self.folder}
        os.remove(self.path("model.safetensors"))
        start = ["sinter-bench", "start", model]
        self.check_error("random:1: what is made on the host", *start, "--weights", "random:1")
        self.check_error("no *.safetensors in it", *start, "--weights", self.folder)
        self.check_error("not a regular file", "sinter-bench", "start", self.folder)
        self.check_error("expected an array", *start, "--json", self.written("{}"))
        self.check_error("temporary files (TMPDIR): No such file", *start, env={**os.environ, "TMPDIR": "/nowhere"})
        for script, message in [
            ("echo sinter-run: error: no luck >&2; exit 3", "failed (exit status 3): sinter-run: error: no luck"),
            ("echo '{\"ids\": []}'", "its report has not one token"),
            ("echo hello", "not valid JSON"),
        ]:
            self.check_error(message, self.beside(script), *start[1:], "--repeats", 1, env=here)
            self.assertEqual(self.leftovers(), [])
        os.remove(self.path("programs/sinter-run"))
        self.check_error("no sinter-run beside this program", self.path("programs/sinter-bench"), *start[1:])

    def test_an_interrupted_one_leaves_nothing(self):
        model = self.make_fake(WITHOUT_CHECKPOINT)
        bench = self.beside(f"touch {self.path('begun')}; exec sleep 60")
        for number in (signal.SIGINT, signal.SIGTERM):
            running = subprocess.Popen([bench, "start", model], env={**os.environ, "TMPDIR": self.folder},
                                       stdout=subprocess.DEVNULL)
            deadline = time.monotonic() + 60
            while not os.path.exists(self.path("begun")) and time.monotonic() < deadline:
                time.sleep(0.01)
            os.remove(self.path("begun"))
            self.assertEqual(len(self.leftovers()), 1)
            running.send_signal(number)
            self.assertEqual(running.wait(60), -number)
            self.assertEqual(self.leftovers(), [])

    def written(self, text):
        with open(self.path("records.json"), "w") as file:
            file.write(text)
        return self.path("records.json")

    def test_on_a_gpu(self):
        made = tools.run("make-fake-model", "--cuda", self.folder, json.dumps(WITHOUT_CHECKPOINT))
        self.assertEqual(made.returncode, 0, made.stderr)
        gpu = {**os.environ, "SINTER_CUDA_DRIVER": os.path.join(tools.BIN, "fake-cuda/libcuda.so.1")}
        start = ["sinter-bench", "start", self.path("fake.sinter"), "--repeats", 1, "--json", self.path("bench.json")]
        self.assertIn("fake: f32, Fake GPU, sm_90, ", self.succeed(*start, env=gpu).stdout)
        records = self.read(self.path("bench.json"))
        self.assertEqual(sorted(records), ["first-token/fake", "upload/fake"])
        self.assertEqual(records["upload/fake"]["hardware"], "Fake GPU, sm_90")
        self.check_error("no NVIDIA driver", *start, env={**gpu, "SINTER_CUDA_DRIVER": "/nowhere/libcuda.so.1"})
        self.check_error("--device 3: this machine has 1 GPU", *start, "--device", 3, env=gpu)


if __name__ == "__main__":
    tools.main()
