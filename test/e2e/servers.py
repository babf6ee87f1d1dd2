"""Starting and ending the servers of end-to-end tests."""

import os
import subprocess
import sys
import unittest

import tools

SKIPPED = 77  # what ctest counts as skipped


class FakeServer:
    """test/runtime/server/serve-fake: a server whose model repeats the last message."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([os.path.join(tools.BIN, "serve-fake"), *map(str, arguments)],
                                        stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()


def main():
    """Like tools.main(); where everything was skipped, the exit status says so."""
    tools.BIN = os.path.abspath(sys.argv.pop(1))
    result = unittest.main(exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun <= len(result.skipped) else 0)
