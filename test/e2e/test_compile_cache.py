"""Compiling on first use: a stand-in compiler beside a copy of sinter-run counts its calls."""

import os
import shutil
import stat
import subprocess

import tools
from tools import ToolTest, run

COMPILER = """#!/bin/sh
if [ "$1" = --version ]; then echo "sinter-compile stand-in"; exit 0; fi
echo "$@" >> "{folder}/log"
if [ -e "{folder}/fail" ]; then
  echo "sinter-compile: error: config.json: \\"hidden_act\\": unknown" >&2
  exit 1
fi
while [ "$1" != -o ]; do shift; done
case "$2" in *.tmp) if [ -e "{folder}/full" ]; then
  echo "sinter-compile: error: $2: cannot write: No space left on device" >&2
  exit 1
fi;; esac
sleep 0.2
cp "{folder}/model/fake.sinter" "$2"
"""


class CompileCacheTest(ToolTest):
    def setUp(self):
        super().setUp()
        for name in ("bin", "model", "cache"):
            os.mkdir(self.path(name))
        real = os.path.join(tools.BIN, "sinter-run")
        self.program = shutil.copy(real, self.path("bin/sinter-run"))
        self.write("bin/sinter-compile", COMPILER.format(folder=self.folder))
        os.chmod(self.path("bin/sinter-compile"), 0o755)
        self.assertEqual(run("make-fake-model", self.path("model")).returncode, 0)
        self.write("model/config.json", "{}")
        self.environment = {**os.environ, "XDG_CACHE_HOME": self.path("cache")}

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def compiles(self):
        if not os.path.exists(self.path("log")):
            return 0
        with open(self.path("log")) as file:
            return len(file.readlines())

    def start(self, *flags):
        arguments = [self.path("model"), "--token-ids", "1,2", "--max-tokens", 4, "--ignore-eos"]
        return run(self.program, *arguments, *flags, env=self.environment)

    def check_run(self, *flags):
        result = self.start(*flags)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(result.stdout)
        return result.stderr

    def test_a_full_cache_is_done_without(self):
        self.write("full", "")
        self.assertIn("cannot write: No space left", self.check_run())
        self.assertEqual([name for name in os.listdir(self.path("cache/sinter")) if ".tmp" in name], [])

    def test_compiles_once(self):
        said = self.check_run()
        self.assertIn("on first use", said)
        self.assertIn("compiled " + self.path("model"), said)
        self.assertIn("kept for the next time in", said)
        self.assertNotIn("compil", self.check_run())
        self.assertEqual(self.compiles(), 1)
        folder = self.path("cache/sinter")
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        self.assertFalse([name for name in os.listdir(folder) if name.endswith(".tmp")])

    def test_whatever_matters_is_in_the_key(self):
        self.check_run()
        self.check_run("--dtype", "f32")
        self.assertEqual(self.compiles(), 2)
        self.write("model/config.json", '{"changed": 1}')
        self.check_run()
        self.assertEqual(self.compiles(), 3)
        self.write("model/generation_config.json", "{}")
        self.check_run()
        self.assertEqual(self.compiles(), 4)
        os.utime(self.path("bin/sinter-compile"), (1, 1))
        self.check_run()
        self.assertEqual(self.compiles(), 5)
        self.check_run()
        self.assertEqual(self.compiles(), 5)

    def test_no_cache(self):
        self.assertNotIn("kept", self.check_run("--no-cache"))
        self.assertEqual(os.listdir(self.path("cache")), [])

    def test_goes_on_without_a_private_folder(self):
        folder = self.path("cache/sinter")
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        self.assertIn("not cached: " + folder + " is not private", self.check_run())
        self.assertEqual(os.listdir(folder), [])
        os.rmdir(folder)
        os.symlink(self.path("bin"), folder)
        self.assertIn("is not a folder", self.check_run())
        self.environment["XDG_CACHE_HOME"] = "/proc/nowhere"
        self.assertIn("not cached: cannot create", self.check_run())

    def test_a_damaged_entry_is_made_again(self):
        self.check_run()
        folder = self.path("cache/sinter")
        (name,) = [name for name in os.listdir(folder) if name.endswith(".sinter")]
        os.truncate(os.path.join(folder, name), 1000)
        self.assertIn("compiling again", self.check_run())
        self.assertEqual(self.compiles(), 2)

    def test_many_at_once_compile_once(self):
        flags = ["--token-ids", "1", "--max-tokens", "2", "-q"]
        command = [self.program, self.path("model"), *flags]
        processes = [
            subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)
            for _ in range(4)
        ]
        self.assertEqual([process.wait(timeout=60) for process in processes], [0] * 4)
        self.assertEqual(self.compiles(), 1)

    def test_flags_are_checked_first(self):
        def refuse(expected, tool, *flags):
            shutil.copy(os.path.join(tools.BIN, tool), self.path("bin"))
            self.check_error(expected, self.path("bin/" + tool), *flags, env=self.environment)
            self.assertEqual(self.compiles(), 0, flags)

        model, none = self.path("model"), self.path("none")
        for expected, *flags in [("temperature", "--temperature", -1), ("top-p", "--top-p", 2, "-p", "x"),
                                 ("exclude each other", "--greedy", "--top-k", 5), ("none", "--prompt-file", none),
                                 ("expected token ids", "--token-ids", "1,x"), ("none", "--token-ids", "@" + none),
                                 ("random:SEED", "--weights", "random:x"), ("none", "--chat", "--chat-template", none)]:
            refuse(expected, "sinter-run", model, *flags)
        for expected, *flags in [("none", "--chat-template", none), ("random:SEED", "--weights", "random:x"),
                                 ("none", "--api-key-file", none), ("--swap-memory", "--swap-memory", "much")]:
            refuse(expected, "sinter-serve", model, "--port", 0, *flags)
        refuse("random:SEED", "sinter-bench", "decode", model, "--weights", "random:x")
        refuse("--min-length is more", "sinter-bench", "throughput", model, "--min-length", 9, "--max-length", 5)

    def test_errors_are_one_line(self):
        self.write("fail", "")
        result = self.start("-q")
        self.assertEqual(result.returncode, 1)
        expected = 'sinter-run: error: config.json: "hidden_act": unknown\n'
        self.assertEqual(result.stderr, expected)
        left = os.listdir(self.path("cache/sinter"))
        self.assertFalse([name for name in left if not name.endswith(".lock")])
        arguments = [self.program, self.path("model"), "--token-ids", "1"]
        os.remove(self.path("bin/sinter-compile"))
        self.check_error("no sinter-compile beside this", *arguments, env=self.environment)
        os.remove(self.path("model/config.json"))
        self.check_error("not a model directory", *arguments, env=self.environment)


if __name__ == "__main__":
    tools.main()
