"""Starting and ending the servers of end-to-end tests."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import tools

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../models/shakespeare")
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


def compiler():
    return os.environ.get("SINTER_COMPILE") or shutil.which("sinter-compile", path=tools.BIN)


class Serve:
    """A running sinter-serve."""

    def __init__(self, artefact, *arguments, weights=MODEL, env=None):
        self.errors = tempfile.TemporaryFile("w+")
        command = [os.path.join(tools.BIN, "sinter-serve"), artefact, "--weights", weights, "--port", "0",
                   *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=env)
        line = self.process.stdout.readline().strip()
        self.url = line.rsplit(" ", 1)[-1]
        self.port = int(line.rsplit(":", 1)[1]) if line else 0

    def request(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            if isinstance(body, dict):
                body = json.dumps(body)
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def complete(self, **fields):
        status, body = self.request("POST", "/v1/completions", fields)
        if status != 200:
            raise AssertionError(f"{status} {body}")
        return json.loads(body)

    def wait_ready(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.request("GET", "/health")[0] == 200:
                return
            time.sleep(0.05)
        raise AssertionError("not ready: " + self.log())

    def figures(self):
        text = self.request("GET", "/metrics")[1].decode()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")}

    def figures_after(self, requests):
        """Once so many have finished: answers reach clients before the step that ended them is counted."""
        deadline = time.monotonic() + 10
        while (figures := self.figures())["sinter_requests_finished_total"] < requests and time.monotonic() < deadline:
            time.sleep(0.02)
        return figures

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(60)
        finally:
            self.process.stdout.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


class BundledModelTest(unittest.TestCase):
    """Servers of the bundled model, compiled here or named by SINTER_SERVE_ARTEFACT."""

    @classmethod
    def setUpClass(cls):
        cls.artefact = os.environ.get("SINTER_SERVE_ARTEFACT")
        if cls.artefact:
            return
        if not compiler():
            raise unittest.SkipTest("no sinter-compile")
        folder = tempfile.TemporaryDirectory(prefix="sinter-serve-")
        cls.addClassCleanup(folder.cleanup)
        cls.artefact = os.path.join(folder.name, "shakespeare.sinter")
        subprocess.run([compiler(), MODEL, "-o", cls.artefact, "--batch-invariant"], check=True, capture_output=True)

    def serve(self, *arguments):
        server = Serve(self.artefact, *arguments)
        self.addCleanup(server.close)
        server.wait_ready()
        return server


def main():
    """Like tools.main(); where everything was skipped, the exit status says so."""
    tools.BIN = os.path.abspath(sys.argv.pop(1))
    result = unittest.main(exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun <= len(result.skipped) else 0)
