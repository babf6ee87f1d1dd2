"""sinter-serve with the bundled model: life cycle, answers, and a soak.

Needs sinter-compile, beside the server or named by SINTER_COMPILE, or SINTER_SERVE_ARTEFACT, the
model compiled for the device to be tested (f32 on a GPU: the soak compares greedy answers).
SINTER_SOAK_SECONDS (60) is how long the soak takes.
"""

import http.client
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import servers
import tools
from servers import MODEL

SOAK = float(os.environ.get("SINTER_SOAK_SECONDS", "60"))
CLIENTS = 64
PATIENCE = 240  # seconds; other programs may have the processors, but nothing may hang
PROMPTS = ["ROMEO:\n", "JULIET:\nO Romeo, ", "First Citizen:\nBefore we proceed any further, hear me speak.\n" * 4,
           "KING HENRY:\n", "A " * 120, "What light through yonder window breaks?\n"]


class DeathTest(unittest.TestCase):
    def test_a_dead_engine_ends_the_process(self):
        server = servers.FakeServer("--die-ms", 1500, "--step-us", 100000)
        self.addCleanup(server.close)
        port = int(server.url.rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "a" * 200, "stream": True,
                                                                  "max_tokens": 200}),
                           {"Content-Type": "application/json"})
        text = connection.getresponse().read().decode()
        died = time.monotonic()
        self.assertIn("the device is gone", text.split("\n\n")[-2])
        self.assertNotIn("[DONE]", text)
        health = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        health.request("GET", "/health")
        self.assertEqual(health.getresponse().status, 503)
        self.assertEqual(server.process.wait(20), 1)
        self.assertLess(time.monotonic() - died, 5)
        connection.close()
        health.close()


class DeadDeviceTest(tools.ToolTest):
    """sinter-serve on test/runtime/fake/cuda's driver, one of whose kernels fails in the middle of answers."""

    def test_a_dead_device_ends_the_process(self):
        made = tools.run("make-fake-model", "--cuda-text", self.folder)
        self.assertEqual(made.returncode, 0, made.stderr)
        for stream in (True, False):
            with self.subTest(stream=stream):
                self.die(stream)

    def die(self, stream):
        driver = os.path.join(tools.BIN, "fake-cuda", "libcuda.so.1")
        environment = {**os.environ, "SINTER_CUDA_DRIVER": driver, "SINTER_FAKE_CUDA": "fault=attend,fault-after=20"}
        server = servers.Serve(self.path("fake.sinter"), weights=self.folder, env=environment)
        self.addCleanup(server.close)
        server.wait_ready()
        answers = []

        def ask():
            answers.append(server.request("POST", "/v1/completions", {
                "prompt": [1, 2], "max_tokens": 50, "ignore_eos": True, "temperature": 0, "stream": stream}))

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        while server.request("GET", "/health")[0] == 200:
            time.sleep(0.01)
        died = time.monotonic()
        status, body = server.request("GET", "/health")
        self.assertEqual(status, 503)
        self.assertIn("failed on the GPU", json.loads(body)["error"]["message"])
        for client in clients:
            client.join()
        self.assertEqual(server.process.wait(20), 1)
        self.assertLess(time.monotonic() - died, 5)
        last = server.log().splitlines()[-1]
        self.assertRegex(last, r"^sinter-serve: error: .* failed on the GPU .*CUDA_ERROR_ILLEGAL_ADDRESS")
        self.assertEqual(len(answers), 3)
        # Who comes late is told, too; at least one was in the middle.
        self.assertIn(200 if stream else 500, [status for status, _ in answers])
        begun = 0
        for status, body in answers:
            self.assertIn("failed on the GPU", body.decode())
            self.assertIn(status, (200, 503) if stream else (500, 503))
            if status == 200:
                events = [json.loads(event[6:]) for event in body.decode().split("\n\n")[:-1]]
                for event in events[:-1]:
                    self.assertIn("text", event["choices"][0])
                begun += len(events) > 1
                self.assertEqual(events[-1]["error"]["code"], "generation_failed")
        if stream:
            self.assertGreater(begun, 0)


class CompileTest(unittest.TestCase):
    def test_a_compiler_ends_with_its_server(self):
        """And the next one removes what it left."""
        if not os.path.exists(os.path.join(tools.BIN, "sinter-compile")):
            self.skipTest("no compiler beside the server")
        with tempfile.TemporaryDirectory() as cache:
            command = [os.path.join(tools.BIN, "sinter-serve"), MODEL, "--port", "0", "--target", "cpu", "-q"]
            environment = {**os.environ, "XDG_CACHE_HOME": cache}
            with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as server:
                for _ in server.stderr:  # "compiling ... on first use"
                    break
                children, deadline = [], time.monotonic() + 20
                while not children and time.monotonic() < deadline:
                    children = self.children(server.pid)
                self.assertTrue(children)
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait(20), 0)
            deadline = time.monotonic() + 2  # left alone it would take longer
            while any(os.path.exists(f"/proc/{child}") for child in children) and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertFalse([child for child in children if os.path.exists(f"/proc/{child}")])
            folder = os.path.join(cache, "sinter")
            key = next(name for name in os.listdir(folder) if name.endswith(".lock"))[:-len(".lock")]
            left = os.path.join(folder, f"{key}.sinter.1.tmp")
            with open(left, "w"):
                pass
            tools.run("sinter-run", MODEL, "--target", "cpu", "-p", "ROMEO:", "--max-tokens", "1", "-q", env=environment)
            self.assertEqual([name for name in os.listdir(folder) if name.endswith(".tmp")], [])

    @staticmethod
    def children(parent):
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as file:
                    name, rest = file.read().rsplit(")", 1)
                if int(rest.split()[1]) == parent and "sinter-compile" in name:
                    found.append(int(entry))
            except OSError:
                pass
        return found


class FlagTest(tools.ToolTest):
    def test_flags_that_cannot_hold(self):
        model = self.make_fake()
        self.check_error("--max-body 0: expected a size above zero", "sinter-serve", model, "--max-body", 0)
        self.check_error("--prompt-tokens-per-step 128 is more than --tokens-per-step 64", "sinter-serve", model,
                         "--tokens-per-step", 64, "--prompt-tokens-per-step", 128)


class ThreadLimitTest(unittest.TestCase):
    def test_connections_wait_for_a_thread(self):
        server = servers.FakeServer()
        self.addCleanup(server.close)
        port = int(server.url.rsplit(":", 1)[1])

        def ask(answers):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/health", headers={"Connection": "close"})
            answers.append(connection.getresponse().status)
            connection.close()

        answers = []
        ask(answers)  # now one thread is there
        with open(f"/proc/{server.process.pid}/status") as file:
            size = next(int(line.split()[1]) for line in file if line.startswith("VmSize")) * 1024
        limit = size + (4 << 20)  # less than another thread's stack
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, (limit, limit))
        clients = [threading.Thread(target=ask, args=(answers,)) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual(answers, [200] * 9)
        self.assertIsNone(server.process.poll())


class ServeTest(servers.BundledModelTest):
    def test_answers(self):
        server = self.serve()
        greedy = server.complete(prompt="ROMEO:\n", max_tokens=20, temperature=0)
        self.assertEqual(greedy["usage"]["completion_tokens"], 20)
        again = server.complete(prompt="ROMEO:\n", max_tokens=20, temperature=0)
        self.assertEqual(greedy["choices"], again["choices"])
        run = tools.run("sinter-run", self.artefact, "--weights", MODEL, "-p", "ROMEO:\n", "--greedy", "--max-tokens",
                        20, "-q")
        self.assertEqual(run.stdout.rstrip("\n"), greedy["choices"][0]["text"].rstrip("\n"), "the same as sinter-run")
        seeded = [server.complete(prompt="O ", max_tokens=16, seed=5)["choices"] for _ in range(2)]
        self.assertEqual(*seeded)
        several = server.complete(prompt="O ", max_tokens=16, seed=5, n=4)["choices"]
        self.assertEqual(several[0]["text"], seeded[0][0]["text"])
        self.assertGreater(len({c["text"] for c in several}), 1)

    def test_a_chat_and_a_schema(self):
        server = self.serve()
        schema = {"properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer"}},
                  "required": ["name", "age"]}
        body = {"messages": [{"role": "user", "content": "Who art thou?"}], "max_tokens": 200, "seed": 1,
                "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
        status, text = server.request("POST", "/v1/chat/completions", body)
        self.assertEqual(status, 200, text)
        answer = json.loads(json.loads(text)["choices"][0]["message"]["content"])
        self.assertEqual(list(answer), ["name", "age"])
        self.assertIsInstance(answer["age"], int)
        self.assertLessEqual(len(answer["name"]), 10)

    def test_prompt_lookup_changes_no_token(self):
        server, guessing = self.serve(), self.serve("--prompt-lookup", 7)
        fields = {"prompt": PROMPTS[2], "max_tokens": 60, "temperature": 0}
        self.assertEqual(guessing.complete(**fields)["choices"], server.complete(**fields)["choices"])
        figures = guessing.figures()
        self.assertGreater(figures["sinter_accepted_guesses_total"], 0)
        self.assertGreaterEqual(figures["sinter_guessed_tokens_total"], figures["sinter_accepted_guesses_total"])
        self.assertEqual(server.figures()["sinter_guessed_tokens_total"], 0)

    def test_prefixes_are_found(self):
        server = self.serve()
        prompt = "First Citizen:\nBefore we proceed any further, hear me speak.\n" * 4
        server.complete(prompt=prompt, max_tokens=2)
        self.assertGreater(server.complete(prompt=prompt, max_tokens=2)["usage"]["prompt_tokens_details"]["cached_tokens"], 16)

    def test_term_finishes_what_runs(self):
        server = self.serve()
        answers = []
        thread = threading.Thread(target=lambda: answers.append(
            server.complete(prompt="O ", max_tokens=900, ignore_eos=True)))
        thread.start()
        while server.figures()["sinter_samples_running"] == 0:
            time.sleep(0.005)
        self.assertEqual(server.end(), 0, server.log())
        thread.join()
        self.assertEqual(answers[0]["usage"]["completion_tokens"], 900)

    def test_errors_of_the_command_line(self):
        server = self.serve()
        for arguments, expected in [(["--port", server.port], "cannot listen"), (["--max-context", 4096], "positions"),
                                    (["--host", "nowhere.invalid"], "cannot listen at nowhere.invalid: "),
                                    (["--swap-memory", "lots"], "--swap-memory"),
                                    (["--kv-memory", "1"], "--kv-memory"),
                                    (["--chat-template", "/nowhere"], "/nowhere"),
                                    (["--chat-template", os.path.join(MODEL, "config.json")], 'never reads "messages"'),
                                    (["--swap-memory", "1KB"], "--swap-memory 1KB: a page of the cache has"),
                                    (["--swap-memory", "900TB"], "--swap-memory 900TB: this machine has"),
                                    (["--api-key", "a b"], "--api-key: the key has a space")]:
            result = tools.run("sinter-serve", self.artefact, "--weights", MODEL,
                               *(arguments if "--port" in arguments else ["--port", 0, *arguments]))
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn(expected, result.stderr)
            self.assertEqual(result.stdout, "", "announced before the options were checked")
        result = tools.run("sinter-serve", self.artefact, "--weights", "/nowhere", "--port", 0)
        self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)

    def test_tools_that_the_template_drops_are_refused(self):
        server = self.serve()
        chat = {"messages": [{"role": "user", "content": "Well?"}], "max_tokens": 2}
        tools_field = [{"type": "function", "function": {"name": "f"}}]
        for fields, param in (({"tools": tools_field}, "tools"), ({"tools": tools_field, "tool_choice": "none"}, None),
                              ({"chat_template_kwargs": {"enable_thinking": False}},
                               "chat_template_kwargs.enable_thinking")):
            status, body = server.request("POST", "/v1/chat/completions", {**chat, **fields})
            self.assertEqual(status, 400 if param else 200, body)
            if param:
                self.assertEqual(json.loads(body)["error"]["param"], param)

    def test_leaving_frees_pages(self):
        server = self.serve()
        for stream in (True, False):
            client = socket.create_connection(("127.0.0.1", server.port))
            body = json.dumps({"prompt": "O ", "max_tokens": 1000, "stream": stream, "ignore_eos": True})
            client.sendall(f"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            while server.figures()["sinter_samples_running"] == 0:
                time.sleep(0.002)
            client.close()
            deadline = time.monotonic() + 2
            while server.figures()["sinter_pages_used"] > 0:
                self.assertLess(time.monotonic(), deadline)
            self.assertLess(server.figures()["sinter_generated_tokens_total"], 1500)

    def test_salts_keep_prefixes_apart(self):
        server = self.serve("-q")

        def cached(**fields):
            answer = server.complete(prompt=PROMPTS[2], max_tokens=2, temperature=0, **fields)
            return answer["usage"]["prompt_tokens_details"]["cached_tokens"]

        self.assertEqual(cached(cache_salt="a"), 0)
        self.assertGreater(cached(cache_salt="a"), 0)
        self.assertEqual(cached(cache_salt="b"), 0)
        self.assertEqual(cached(), 0)

    def test_a_lower_priority_goes_first(self):
        server, done = self.serve("-q", "--max-sequences", 1), []

        def ask(name, priority, tokens):
            server.complete(prompt="ROMEO:", max_tokens=tokens, temperature=0, ignore_eos=True, priority=priority)
            done.append(name)

        threads = []
        # Answers of some length: the threads of a client hear of short ones in any order.
        for name, priority, tokens in [("running", -9, 1000), ("later", 5, 400), ("sooner", -5, 400)]:
            threads.append(threading.Thread(target=ask, args=(name, priority, tokens)))
            threads[-1].start()
            wanted, deadline = len(threads), time.monotonic() + 20
            while time.monotonic() < deadline:
                figures = server.figures()
                if figures["sinter_requests_queued"] + figures["sinter_samples_running"] >= wanted:
                    break
        for thread in threads:
            thread.join()
        self.assertEqual(done, ["running", "sooner", "later"])

    def test_soak(self):
        """Many clients, some of them rude, and too few pages: every greedy answer is the lonely one."""
        # About 70 pages of 16 tokens for up to 32 answers: some are swapped out, some computed again.
        server = self.serve("--kv-memory", "7MB", "--swap-memory", "2MB", "--max-sequences", 32, "--max-requests", 48,
                            "--max-body", "64KiB", "-q")
        lengths = [8, 40, 90]
        alone = {(p, n): server.complete(prompt=p, max_tokens=n, temperature=0)["choices"][0]["text"]
                 for p in PROMPTS for n in lengths}
        end, problems, counts, middle = time.monotonic() + SOAK, [], {}, []
        lock = threading.Lock()

        def count(what):
            with lock:
                counts[what] = counts.get(what, 0) + 1

        def greedy(draw, stream):
            prompt, tokens = draw.choice(PROMPTS), draw.choice(lengths)
            status, body = server.request("POST", "/v1/completions", {
                "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": stream}, timeout=PATIENCE)
            if status == 429:
                time.sleep(draw.random() * 0.3)
                return count("429")
            if status != 200:
                raise AssertionError(f"{status} {body[:200]}")
            text = json.loads(body)["choices"][0]["text"] if not stream else "".join(
                json.loads(data[6:])["choices"][0]["text"] for data in body.decode().split("\n\n")
                if data.startswith("data: {"))
            if text != alone[prompt, tokens]:
                raise AssertionError(f"{prompt!r} {tokens}: {text!r} instead of {alone[prompt, tokens]!r}")
            count("greedy")

        def leave(draw):
            body = json.dumps({"prompt": draw.choice(PROMPTS), "max_tokens": 400, "n": draw.choice([1, 1, 3]),
                               "stream": draw.random() < 0.7})
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
                client.sendall(f"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
                               f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
                if draw.random() < 0.7:
                    client.recv(1 + draw.randrange(2000))
                time.sleep(draw.random() * 0.05)
            count("left")

        def rude(draw):
            body = draw.choice([b"{", b"{\"prompt\": 5}", b"\xff\xfe", b"{\"prompt\": \"" + b"a" * 100000 + b"\"}",
                                b"{\"prompt\": \"a\", \"max_tokens\": 5000}", b"[" * 2000])
            status, text = server.request("POST", "/v1/completions", body, timeout=PATIENCE)
            if not 400 <= status < 500:
                raise AssertionError(f"{status} {text[:200]} for {body[:60]}")
            count("rude")

        def client(seed):
            draw = random.Random(seed)
            while time.monotonic() < end and not problems:
                try:
                    draw.choices([lambda: greedy(draw, False), lambda: greedy(draw, True), lambda: leave(draw),
                                  lambda: rude(draw)], [4, 4, 3, 1])[0]()
                except Exception as error:  # pylint: disable=broad-except
                    problems.append(f"{type(error).__name__}: {error}")

        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(SOAK / 2)
        middle.append(server.resident())
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [], server.log())
        deadline = time.monotonic() + 5
        while server.figures()["sinter_pages_used"] > 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        figures = server.figures()
        print(f"soak: {counts}, preemptions {figures['sinter_preemptions_total']:.0f}, "
              f"swapped {figures['sinter_swapped_pages_total']:.0f}, resident "
              f"{middle[0]:.0f} -> {server.resident():.0f} MB", file=sys.stderr)
        self.assertEqual(figures["sinter_pages_used"], 0)
        self.assertEqual(figures["sinter_pages_swapped"], 0)
        self.assertEqual(figures["sinter_pages_free"] + figures["sinter_pages_cached"], figures["sinter_pages"])
        self.assertEqual(figures["sinter_samples_running"] + figures["sinter_requests_queued"], 0)
        self.assertGreater(figures["sinter_preemptions_total"], 0, "the pool was to be too small")
        self.assertGreater(figures["sinter_swapped_pages_total"], 0, "some were to be swapped")
        self.assertGreater(counts["greedy"], 50)
        if "ASAN_OPTIONS" not in os.environ:  # it keeps what was freed, and where everything was allocated
            self.assertLess(server.resident(), middle[0] + 20, "memory grows")
        self.assertEqual(server.end(), 0, server.log())


if __name__ == "__main__":
    servers.main()
