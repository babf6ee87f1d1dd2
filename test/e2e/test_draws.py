"""Drawn tokens of the bundled model: the same for the same seed, whatever else the server does.

Other requests beside it, their order, prefixes found or not, prompts cut into chunks: none of it
may show. Needs sinter-compile, see test_serve.py; on a GPU an artefact compiled --batch-invariant.
"""

import random
import threading

import servers

TOKENS = 24
SPEECH = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n"
REQUESTS = [{"prompt": prompt, "seed": seed, "max_tokens": TOKENS, "ignore_eos": True, **how}
            for seed, (prompt, how) in enumerate(
                (prompt, how)
                for prompt in ["ROMEO:\n", "O ", SPEECH * 3, SPEECH * 3 + "ROMEO:\nIs the day", "JULIET:\nAy me!\n" * 9]
                for how in [{"temperature": 0.8}, {"temperature": 1.3, "top_p": 0.9},
                             {"temperature": 1, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.2}])]


class DrawTest(servers.BundledModelTest):
    def answers(self, server, requests, together):
        """The texts of requests, of which so many are under way at a time."""
        texts, lock, rest = {}, threading.Lock(), list(requests)

        def client():
            while True:
                with lock:
                    if not rest:
                        return
                    number = rest.pop()
                fields = REQUESTS[number % len(REQUESTS)]
                text = server.complete(**fields)["choices"][0]["text"]
                with lock:
                    texts.setdefault(number % len(REQUESTS), set()).add(text)

        clients = [threading.Thread(target=client) for _ in range(together)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        return texts

    def test_nothing_else_shows(self):
        alone = self.serve("-q", "--no-prefix-cache", "--max-sequences", 1)
        expected = self.answers(alone, range(len(REQUESTS)), 1)
        self.assertEqual({len(texts) for texts in expected.values()}, {1})
        self.assertGreater(len({min(texts) for texts in expected.values()}), len(REQUESTS) // 2, "they draw")
        draw = random.Random(5)
        for flags, numbers in [((), (1, 7, 64)),
                               (("--no-prefix-cache", "--tokens-per-step", 70, "--prompt-tokens-per-step", 17), (64,)),
                               (("--kv-memory", "1500KB", "--swap-memory", "1MB", "--prompt-lookup", 3), (64,))]:
            server = self.serve("-q", "--max-sequences", 64, *flags)
            for together in numbers:
                order = list(range(len(REQUESTS) if together == 1 else max(together, len(REQUESTS))))
                draw.shuffle(order)
                with self.subTest(flags=flags, together=together):
                    self.assertEqual(self.answers(server, order, together), expected)
            figures = server.figures()
            if not flags:
                self.assertGreater(figures["sinter_prefix_hit_tokens_total"], 0)
            if "--kv-memory" in flags:
                self.assertGreater(figures["sinter_preemptions_total"], 0, "the pool was to be too small")
            server.close()


if __name__ == "__main__":
    servers.main()
