"""sinter-bench throughput --server: many requests through a running server."""

import json
import os
import subprocess
import tempfile
import time

import servers
import tools


class LoadTest(servers.BundledModelTest, tools.ToolTest):
    FLAGS = ["throughput", "--sequences", 6, "--min-length", 10, "--max-length", 60]

    def bench(self, server, *flags):
        return tools.run("sinter-bench", *self.FLAGS, "--server", server.url, *flags)

    def test_all_at_once_and_arrivals(self):
        server, kept = self.serve("-q", "--name", "qwen3-toy"), self.path("bench.json")
        result = self.bench(server, "--load", 0.7, "--json", kept, "--temperature", 0.8, "--top-k", 20)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"throughput-http/toy/n6/sampled: \d[^*]*throughput-http/toy/n6/sampled/load0.7: \d")
        self.assertRegex(result.stdout, r"steps +\d+, host \d")
        with open(kept) as file:
            records = {record["name"]: record for record in json.load(file)}
        for run in ("n6/sampled", "n6/sampled/load0.7"):
            self.assertEqual(records[f"throughput-http/toy/{run}"]["unit"], "tok/s")
            for row in ("first-token-p50", "first-token-p99", "inter-token-p50", "inter-token-p99"):
                row = records[f"throughput-http/toy/{run}/{row}"]
                self.assertGreater(row["value"], 0)
                self.assertIn("threads", row["hardware"])
        self.assertEqual(records["throughput-http/toy/n6/sampled/load0.7/inter-token-spread"]["bar"], 3)
        # The same requests as without a server, and no prompt of the first run found by the second.
        alone = tools.run("sinter-bench", *self.FLAGS, self.artefact, "--weights", servers.MODEL).stdout
        tokens = alone.split("(")[1].split(" in ")[0]
        self.assertEqual(result.stdout.count(tokens), 2, (alone, result.stdout))
        figures = server.figures_after(12)
        self.assertEqual(figures["sinter_generated_tokens_total"], 2 * int(tokens.split()[0]))
        self.assertEqual(figures["sinter_prompt_tokens_total"], 2 * int(tokens.split()[-1]))

    def test_a_full_queue_is_asked_again(self):
        server = self.serve("-q", "--max-requests", 5)
        result = self.bench(server)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"queue full +\d+ times")
        self.assertEqual(server.figures_after(6)["sinter_requests_finished_total"], 6)

    def test_keys(self):
        key = self.path("key")
        with open(key, "w") as file:
            file.write("secret\n")
        server = servers.Serve(self.artefact, "-q", "--api-key-file", key)
        self.addCleanup(server.close)
        server.wait_ready()
        self.assertEqual(self.bench(server, "--api-key-file", key).returncode, 0)
        flags = [*self.FLAGS, "--server", server.url]
        self.check_error("/v1/models: status 401: the API key is missing or wrong", "sinter-bench", *flags)
        self.check_error("no-key", "sinter-bench", *flags, "--api-key-file", self.path("no-key"))

    def test_servers_that_fail(self):
        server = self.serve("-q")
        flags = [*self.FLAGS, "--server", server.url]
        self.check_error("temperature", "sinter-bench", *flags, "--temperature", 9)
        self.check_error("1024: shorten --prompt-length or --max-length", "sinter-bench", "throughput", "--server", server.url,
                         "--min-length", 800)
        command = [os.path.join(tools.BIN, "sinter-bench"), *map(str, flags), "--rate", "0.1"]
        with tempfile.TemporaryFile("w+") as errors:
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as bench:
                while server.figures()["sinter_samples_running"] == 0:
                    time.sleep(0.002)
                server.close()
                self.assertEqual(bench.wait(30), 1)  # requests to come are not waited for
            errors.seek(0)
            self.assertRegex(errors.read(), rf"^sinter-bench: error: {server.url}[^\n]*\n$")
        self.check_error(f"{server.url}: cannot connect", "sinter-bench", *flags)

    def test_command_lines(self):
        for arguments, expected in [(["--server", "127.0.0.1:80"], "expected http://HOST:PORT"),
                                    (["--server", "https://127.0.0.1"], "expected http://HOST:PORT"),
                                    (["--server", "http://127.0.0.1/v1"], "expected http://HOST:PORT"),
                                    ([], "MODEL is required"), (["--api-key-file", "x"], "--server"),
                                    (["--server", "http://127.0.0.1:1", "x.sinter"], "MODEL excludes --server"),
                                    (["--server", "http://127.0.0.1:1", "--profile"], "--profile excludes --server")]:
            self.check_error(expected, "sinter-bench", "throughput", *arguments)


if __name__ == "__main__":
    servers.main()
