"""sinter-run --chat with the bundled model, from a file and on a terminal.

Needs sinter-compile, beside sinter-run or named by SINTER_COMPILE.
"""

import os
import pty
import select
import signal
import subprocess
import tempfile
import time
import unittest

import servers
import tools
from servers import MODEL, compiler


class ChatTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not compiler():
            raise unittest.SkipTest("no sinter-compile")
        folder = tempfile.TemporaryDirectory(prefix="sinter-chat-")
        cls.addClassCleanup(folder.cleanup)
        cls.artefact = os.path.join(folder.name, "shakespeare.sinter")
        subprocess.run([compiler(), MODEL, "-o", cls.artefact], check=True, capture_output=True)

    def chat(self, lines, *arguments):
        with tempfile.TemporaryFile("w+") as file:
            file.write(lines)
            file.seek(0)
            return tools.run("sinter-run", self.artefact, "--weights", MODEL, "--chat", *arguments, stdin=file)

    def test_the_conversation_is_remembered_until_reset(self):
        result = self.chat("Hello\nHello\n/reset\nHello\n/quit\nHello\n", "--greedy", "--max-tokens", 12)
        self.assertEqual(result.returncode, 0, result.stderr)
        contexts = [int(line.split("context ")[1].split()[0]) for line in result.stderr.splitlines()
                    if "context" in line]
        self.assertEqual(len(contexts), 3)
        self.assertGreater(contexts[1], contexts[0])
        self.assertEqual(contexts[2], contexts[0])

    def test_a_full_context_forgets(self):
        result = self.chat("To be or not to be\n" * 6, "--greedy", "--max-tokens", 20, "--max-context", 80)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("forgetting", result.stderr)
        self.assertEqual(result.stderr.count("20 tokens"), 6, result.stderr)
        result = self.chat("word " * 200 + "\nshort\n", "--max-context", 80, "--max-tokens", 4)
        self.assertEqual(result.returncode, 1)
        self.assertIn("too much for a context of 80", result.stderr)
        self.assertIn("4 tokens", result.stderr)

    def test_the_context_is_not_whole_pages(self):
        result = self.chat("Hi there my friend\n", "--max-context", 40, "--max-tokens", 35, "--greedy", "--ignore-eos")
        self.assertIn("context 40 of 40", result.stderr)

    def test_failures_on_a_pipe(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as file:
            file.write("{{ messages and raise_exception('no way') }}")
            file.flush()
            result = self.chat("Hi\n", "--chat-template", file.name)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no way", result.stderr)

    def test_what_is_no_template(self):
        path = os.path.join(servers.MODEL, "config.json")
        result = self.chat("Hi\n", "--chat-template", path)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f'{path}: the chat template never reads "messages"', result.stderr)

    def test_commands(self):
        result = self.chat("/help\n/what\n\nHello\\\nagain\n", "-q", "--max-tokens", 3)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("/reset", result.stderr)
        self.assertIn("unknown command /what", result.stderr)

    def test_flags(self):
        for arguments in (["-p", "x"], ["--json"], ["--debug", "poison"], ["--chat-template", "/nowhere"],
                          ["--no-thinking"]):
            result = self.chat("", *arguments)
            self.assertEqual(result.returncode, 1, arguments)
        result = tools.run("sinter-run", self.artefact, "--weights", MODEL, "--system", "x", "-p", "x")
        self.assertEqual(result.returncode, 1)

    def test_ctrl_c_stops_the_answer_only(self):
        self.seen = ""
        child, terminal = pty.fork()
        if child == 0:
            program = os.path.join(tools.BIN, "sinter-run")
            os.execv(program, [program, self.artefact, "--weights", MODEL, "--chat", "--ignore-eos", "--threads", "1"])
        try:
            self.expect(terminal, "> ")
            os.write(terminal, b"\x03")
            self.expect(terminal, "/quit or Ctrl-D ends")
            os.write(terminal, b"Speak\n")
            self.expect(terminal, "JULIET", "ROMEO", "\n\n", ".\r\n")
            os.write(terminal, b"\x03")
            self.expect(terminal, "stopped")
            self.expect(terminal, "> ")
            os.write(terminal, b"/quit\n")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                self.drain(terminal)
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    child = 0
                    self.assertEqual(os.waitstatus_to_exitcode(status), 0)
                    return
                time.sleep(0.05)
            self.fail("it does not end")
        finally:
            if child:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            os.close(terminal)

    def drain(self, terminal):
        try:
            while select.select([terminal], [], [], 0)[0] and os.read(terminal, 4096):
                pass
        except OSError:  # the other side has gone
            pass

    def expect(self, terminal, *texts):
        """Reads until one of the texts has come; what follows it is left for the next call."""
        deadline = time.monotonic() + 30
        while not any(text in self.seen for text in texts):
            self.assertLess(time.monotonic(), deadline, f"no {texts} in {self.seen!r}")
            if select.select([terminal], [], [], 0.2)[0]:
                self.seen += os.read(terminal, 4096).decode(errors="replace")
        self.seen = min((self.seen.partition(text)[2] for text in texts if text in self.seen), key=len)


if __name__ == "__main__":
    servers.main()
