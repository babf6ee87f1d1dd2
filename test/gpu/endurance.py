"""What only many steps or a second look show, on a GPU: 10^4 steps of decode give the same tokens in
every way of running them, and compute-sanitizer (where it is installed) finds nothing in a tiny model.
"""
import json
import os
import shutil
import subprocess

CASE = "endurance"
MODEL = "qwen3-0.6b"
STEPS = 10000
WAYS = [("graph", []), ("graph again", []), ("no graph", ["--no-graph"]), ("no pdl", ["--no-pdl"])]
# What each prints where it has found nothing.
TOOLS = {"memcheck": "ERROR SUMMARY: 0 errors", "racecheck": "RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"}


def artefact(folder):
    return os.path.join(folder, f"{CASE}.sinter")


def tiny(folder):
    return os.path.join(folder, f"{CASE}-tiny.sinter")


def build(folder, compiler, target, tiny_model):
    subprocess.run([compiler, MODEL, f"--target={target}", "-o", artefact(folder)], check=True)
    subprocess.run([compiler, tiny_model, f"--target={target}", "--max-tokens-per-step", "16", "-o", tiny(folder)],
                   check=True)


def check_steps(runner, folder):
    """Drawn from all tokens: a greedy walk may end in a loop, which a small error does not leave."""
    first = None
    for way, options in WAYS:
        done = runner.sinter_run(artefact(folder), "--token-ids", "1,2,3", "--max-tokens", str(STEPS), "--temperature", "1",
                                 "--top-k", "64", "--seed", "3", "--ignore-eos", "--json", *options, weights="random:1")
        ids = json.loads(done.stdout)["ids"] if done.returncode == 0 else []
        runner.expect(len(ids) == STEPS, f"{CASE} {way}: {len(ids)} of {STEPS} tokens {done.stderr.strip()[-200:]}")
        runner.expect(len(set(ids)) > STEPS // 100, f"{CASE} {way}: only {len(set(ids))} different tokens")
        first = first or ids
        differ = next((i for i, (a, b) in enumerate(zip(ids, first)) if a != b), None)
        runner.expect(differ is None, f"{CASE} {way}: token {differ} differs")


def check_sanitizer(runner, folder, weights):
    sanitizer = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if not sanitizer:
        runner.skip(f"{CASE} {', '.join(TOOLS)}", "compute-sanitizer is not installed")
        return
    for tool, clean in TOOLS.items():
        done = runner.program(
            [sanitizer, "--tool", tool, "--report-api-errors", "no", "--error-exitcode", "9",
             os.path.join(runner.arguments.bin, "sinter-run"), tiny(folder), "--weights", weights, "-q", "--no-graph",
             "--token-ids", "1,2,3,4,5,6,7,8,9,10", "--max-tokens", "4", "--greedy", "--ignore-eos", "--json"], timeout=300)
        said = (done.stdout + done.stderr).strip()
        runner.expect(done.returncode == 0, f"{CASE} {tool}: {said[-400:]}")
        # A tool that never saw the program, or a program that ran nothing, finds nothing, too.
        runner.expect(clean in said and '"finish": "length"' in said, f"{CASE} {tool}: no summary or no tokens: {said[-400:]}")
