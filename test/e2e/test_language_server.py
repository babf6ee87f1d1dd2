"""sinter-lsp-server, spoken to as an editor does: the verifier's errors while typing, and hovers."""

import json
import os
import queue
import subprocess
import threading

import tools
from tools import ToolTest

URI = "file:///norm.mlir"
GOOD = """func.func @norm(%x: tensor<1x8xbf16>, %gamma: tensor<8xf32>) -> tensor<1x8xbf16> {
  %y = xfmr.rms_norm %x, %gamma {eps = 1.0e-06 : f32} : (tensor<1x8xbf16>, tensor<8xf32>) -> tensor<1x8xbf16>
  return %y : tensor<1x8xbf16>
}
"""


class Editor:
    """The client's side of one language server."""

    def __init__(self):
        program = os.path.join(tools.BIN, "sinter-lsp-server")
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.messages = queue.Queue()
        self.ids = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while line := self.process.stdout.readline():
            length = 0
            while line.strip():
                name, value = line.split(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                line = self.process.stdout.readline()
            self.messages.put(json.loads(self.process.stdout.read(length)))

    def send(self, method, params, **fields):
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **fields}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def wait(self, wanted):
        while True:
            message = self.messages.get(timeout=60)
            if wanted(message):
                return message

    def ask(self, method, params):
        self.ids += 1
        number = self.ids
        self.send(method, params, id=number)
        return self.wait(lambda message: message.get("id") == number)["result"]

    def diagnostics(self):
        method = "textDocument/publishDiagnostics"
        return self.wait(lambda message: message.get("method") == method)["params"]["diagnostics"]

    def end(self):
        self.ask("shutdown", None)
        self.send("exit", None)
        self.process.stdin.close()
        status = self.process.wait(timeout=60)
        self.process.stdout.close()
        return status


class LanguageServerTest(ToolTest):
    def test_diagnoses_and_explains_xfmr(self):
        editor = Editor()
        self.addCleanup(editor.process.kill)
        editor.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        editor.send("initialized", {})
        document = {"uri": URI, "languageId": "mlir", "version": 1, "text": GOOD}
        editor.send("textDocument/didOpen", {"textDocument": document})
        self.assertEqual(editor.diagnostics(), [])
        place = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 10}}
        self.assertIn("xfmr.rms_norm", editor.ask("textDocument/hover", place)["contents"]["value"])
        change = {"textDocument": {"uri": URI, "version": 2},
                  "contentChanges": [{"text": GOOD.replace("tensor<8xf32>", "tensor<7xf32>")}]}
        editor.send("textDocument/didChange", change)
        (problem,) = editor.diagnostics()
        self.assertIn("gamma", problem["message"])
        self.assertEqual(problem["range"]["start"]["line"], 1)
        self.assertEqual(editor.end(), 0)


if __name__ == "__main__":
    tools.main()
