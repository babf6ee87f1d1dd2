"""Scripts for model-steps: which sequences compute how many of their tokens in which step."""
import random

PROMPT_ROWS = 64  # most rows of a step in which a sequence has more than 8 tokens
GUESSED = 8       # most tokens of a sequence that decodes
MIXED = "prompts among decodes"


class Script:
    """Steps under way. `rows` are (sequence, position) of the logits that model-steps will write."""

    def __init__(self, name, lengths):
        self.name, self.lengths = name, lengths
        self.done = [0] * len(lengths)
        self.steps, self.rows = [], []

    def step(self, items, keep):
        """Items are (sequence, tokens, "none", "last" or "all")."""
        for sequence, tokens, rows in items:
            begin, end = self.done[sequence], self.done[sequence] + tokens
            assert tokens > 0 and end <= self.lengths[sequence]
            self.done[sequence] = end
            if keep and rows != "none":
                self.rows += [(sequence, at) for at in (range(begin, end) if rows == "all" else [end - 1])]
        items = [list(item) for item in items]
        last = self.steps[-1] if self.steps else None
        if last and not keep and not last["keep"] and last["items"] == items:
            last["times"] += 1
        else:
            self.steps.append({"items": items, "times": 1, "keep": keep})

    def prompt(self, sequence, until, chunk):
        """A prompt alone, in chunks; the last row of each is kept."""
        while self.done[sequence] < until:
            self.step([(sequence, min(chunk, until - self.done[sequence]), "last")], keep=True)

    def json(self, pool):
        assert self.done == self.lengths and self.rows
        return {"sequences": [pool[i][:length] for i, length in enumerate(self.lengths)], "steps": self.steps}


def chunks(lengths, size):
    """One sequence after the other, `size` tokens at a time."""
    script = Script(f"chunks of {size}", lengths)
    for sequence, length in enumerate(lengths):
        script.prompt(sequence, length, size)
    return script


def decode(batch, start, end, budget, keep):
    """Prompts, then all together a token a step, `keep` of these steps evenly spread; contexts differ."""
    lag = [min(3 * i % 17, start - 1) for i in range(batch)]
    script = Script(f"decode of {batch} to {end}", [end - late for late in lag])
    for sequence in range(batch):
        script.prompt(sequence, start - lag[sequence], budget)
    count = end - start
    kept = {count - 1 - i * count // keep for i in range(min(keep, count))}
    for step in range(count):
        script.step([(sequence, 1, "last") for sequence in range(batch)], step in kept)
    return script


def mixed(lengths, budget, seed, keep=1.0):
    """Prompts come one after the other, in chunks of any size beside the decodes of those before."""
    rng = random.Random(seed)
    script = Script(f"{MIXED}, {seed}", lengths)
    prompts = [rng.randint(max(1, length // 3), max(1, length - 2)) for length in lengths]
    coming = 0
    while script.done != lengths:
        items = [(i, 1, "last") for i in range(coming) if script.done[i] < lengths[i]]
        items = items[:min(budget, PROMPT_ROWS) - 1]
        if coming < len(lengths) and (room := budget - len(items)) > 0:
            tokens = min(rng.randint(1, room), prompts[coming] - script.done[coming])
            items.append((coming, tokens, "last"))
        rng.shuffle(items)
        script.step(items, rng.random() < keep)
        coming += coming < len(lengths) and script.done[coming] == prompts[coming]
    return script


def guesses(lengths, budget, seed, keep=1.0):
    """Any of the sequences, with 1 to 8 tokens each, all of which have a row."""
    rng = random.Random(seed)
    script = Script(f"one to eight tokens each, {seed}", lengths)
    while script.done != lengths:
        items, room = [], budget
        for sequence in rng.sample(range(len(lengths)), len(lengths)):
            left = min(lengths[sequence] - script.done[sequence], GUESSED, room)
            if left > 0 and rng.random() < 0.7:
                items.append((sequence, rng.randint(1, left), "all"))
                room -= items[-1][1]
        if items:
            script.step(items, rng.random() < keep)
    return script


def small_scripts(length, budget):
    """For a tiny model with room for `length` tokens and steps of up to `budget`."""
    ends = [length - 5 * i % 13 for i in range(8)]
    return [chunks(ends[:3], budget), chunks(ends[:3], 7),
            *(decode(batch, length // 3, length, budget, 8) for batch in (1, 3, 8, 64) if batch <= budget),
            *(mixed(ends, budget, seed) for seed in (1, 2)), *(guesses(ends, budget, seed) for seed in (1, 2))]


def large_scripts(context, budget):
    """For a model whose logits are large: few of many rows are kept."""
    lengths = [context // 2 - 131 * i for i in range(12)]
    return [chunks([context, 700, 65], budget), chunks([1500, 333], 100),
            decode(1, 64, context, budget, 64), decode(3, context // 2, context, budget, 48),
            decode(8, context // 2, context, budget, 24), decode(64, context * 3 // 4, context, budget, 4),
            mixed(lengths, 600, 1, 0.02), mixed(lengths, budget, 2, 0.02), guesses(lengths, PROMPT_ROWS, 3, 0.01)]
