"""What the end-to-end tests share: running tools and the fake model (test/runtime/fake)."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

BIN = ""

# Instrumented objects poison LLVM's arenas, which libMLIR.so fills without instrumentation.
os.environ.setdefault("ASAN_OPTIONS", "allow_user_poisoning=0")


def main():
    """Runs the tests of the calling module against the programs in the folder named by argv[1]."""
    sys.modules["tools"].BIN = os.path.abspath(sys.argv.pop(1))
    unittest.main()


def run(name, *arguments, **options):
    """Runs a tool to its end."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("timeout", 120)
    program = name if os.path.isabs(name) else os.path.join(BIN, name)
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


class ToolTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sinter-e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_fake(self, patch=None):
        """The path of a fake model's artefact; `patch` changes its metadata."""
        made = run("make-fake-model", self.folder, *([json.dumps(patch)] if patch else []))
        self.assertEqual(made.returncode, 0, made.stderr)
        return self.path("fake.sinter")

    def succeed(self, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def check_error(self, expected, *arguments, **options):
        """The tool ends with status 1 and exactly one line that holds `expected`."""
        result = run(*arguments, **options)
        name = os.path.basename(arguments[0])
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertTrue(result.stderr.startswith(name + ": error: "), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn(expected, result.stderr)
