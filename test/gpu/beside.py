"""A batch-invariant artefact behind sinter-serve: every answer must be the one computed alone, whatever
runs beside it: chunks, prefixes in the cache, pages taken away and computed again."""
import http.client
import json
import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

COPIES = 3
WAYS = {
    "beside others": ["--kv-memory", "256MB", "--no-prefix-cache"],
    "small steps, prefix hits": ["--kv-memory", "256MB", "--tokens-per-step", "40"],
    "pages taken away": ["--kv-memory", "6MB", "--swap-memory", "0", "--tokens-per-step", "100"],
}


class Server:
    def __init__(self, binaries, path, weights, *options):
        self.process = subprocess.Popen(
            [os.path.join(binaries, "sinter-serve"), path, "--weights", weights, "--port", "0",
             "--max-context", "512", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(self.process.stderr.read().strip())
        self.port = int(line.rsplit(":", 1)[1])
        deadline = time.monotonic() + 60
        while self.request("GET", "/health")[0] != 200:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("not ready")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answer(self, body):
        status, text = self.request("POST", "/v1/completions", body)
        return json.dumps(json.loads(text)["choices"]) if status == 200 else f"{status} {text}"

    def figure(self, name):
        text = self.request("GET", "/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def requests_of(prompts):
    """Greedy from the argmax head, with log-probabilities from logits, and drawn on the GPU."""
    kinds = [{"temperature": 0}, {"temperature": 0, "logprobs": 4}, {"temperature": 0.9, "top_k": 40, "top_p": 0.95}]
    for i, prompt in enumerate(prompts):
        for kind in kinds:
            yield {"prompt": prompt * (1 + i % 3), "max_tokens": 32 + i, "ignore_eos": True, "seed": i, **kind}


def check(runner, path, weights, prompts):
    wanted = list(requests_of(prompts))
    name = os.path.basename(path)
    with Server(runner.arguments.bin, path, weights, *WAYS["beside others"]) as server:
        alone = [server.answer(body) for body in wanted]
        sequential = server.figure("sinter_steps_total")
    problem = next((text for text in alone if not text.startswith("[")), None)
    runner.expect(problem is None, f"{name}: {problem}")
    # Answers that are all alike would show nothing.
    runner.expect(len(set(alone)) > len(alone) // 2, f"{name}: only {len(set(alone))} different answers")
    for way, options in WAYS.items():
        order = COPIES * list(range(len(wanted)))
        random.Random(1).shuffle(order)
        if "kv_e" in name:  # of bytes twice as many tokens fit
            options = [{"6MB": "3MB"}.get(option, option) for option in options]
        with Server(runner.arguments.bin, path, weights, *options) as server, ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda i: server.answer(wanted[i]), order))
            preempted, hits, taken = (server.figure(f"sinter_{figure}_total")
                                      for figure in ("preemptions", "prefix_hit_tokens", "steps"))
        other = sum(answer != alone[i] for i, answer in zip(order, answers))
        runner.expect(other == 0, f"{name} {way}: {other} of {len(order)} answers are others than alone")
        runner.expect(taken < COPIES * sequential, f"{name} {way}: {taken:.0f} steps, nothing ran beside others")
        if way == "pages taken away":
            runner.expect(preempted > 0, f"{name} {way}: nothing was taken away")
        if "prefix hits" in way:
            runner.expect(hits > 0, f"{name} {way}: no prefix was found")
