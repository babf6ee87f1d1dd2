#!/usr/bin/env python3
"""What ./dev check does: format, layering, file sizes, clang-tidy, generated docs.

Every finding is one line 'file:line: what'; the exit status is 1 when there is any.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CXX = {".h", ".cpp", ".c"}
MAX_LINES = 700

# Who may include whom: folder -> prefixes its files may include with quotes or from sinter/.
# Folders are matched by longest prefix. "llvm" and "mlir" stand for those projects' headers.
LAYERS = {
    "include/sinter/Abi": [],
    "include/sinter/Support": ["sinter/Abi", "sinter/Support"],
    "lib/Support": ["sinter/Support"],
    "include/sinter/Dialect": ["sinter/Dialect", "mlir", "llvm"],
    "lib/Dialect": ["sinter/Dialect", "mlir", "llvm"],
    "models": ["models", "sinter/Dialect", "sinter/Support", "mlir", "llvm"],
    "include/sinter/Transforms": ["sinter/Dialect", "sinter/Transforms", "mlir", "llvm"],
    "lib/Transforms": ["sinter/Dialect", "sinter/Transforms", "mlir", "llvm"],
    "include/sinter/Conversion": ["sinter/Abi", "sinter/Support/CpuIsa.h", "sinter/Support/DType.h", "sinter/Support/Status.h", "sinter/Dialect", "sinter/Conversion", "mlir", "llvm"],
    "lib/Conversion": ["sinter/Abi", "sinter/Support", "sinter/Dialect", "sinter/Transforms", "sinter/Conversion",
                       "lib/Codegen", "mlir", "llvm"],
    "lib/Codegen": ["sinter/Abi", "sinter/Support", "sinter/Dialect", "sinter/Conversion", "lib/Codegen",
                    "runtime/kernels", "mlir", "llvm"],  # the kernels' contracts, plain C++
    "lib/Interpreter": ["sinter/Dialect", "sinter/Support", "sinter/Interpreter", "mlir", "llvm"],
    "include/sinter/Interpreter": ["sinter/Dialect", "sinter/Support", "sinter/Interpreter", "mlir", "llvm"],
    "runtime/text": ["sinter/Support", "runtime/text"],
    "runtime/model": ["sinter/Abi", "sinter/Support", "runtime/abi", "runtime/model", "runtime/device"],
    "runtime/device": ["sinter/Abi", "sinter/Support", "runtime/abi", "runtime/device", "runtime/model"],
    "runtime/engine": ["sinter/Abi", "sinter/Support", "runtime/abi", "runtime/engine", "runtime/model",
                       "runtime/device/Device.h"],
    "runtime/server": ["sinter/Support", "runtime/engine", "runtime/model", "runtime/server", "runtime/text"],
    "runtime": ["sinter/Abi", "sinter/Support", "runtime"],
    # A compiler may know the runner's parsers: what it embeds, it checks with the code that will read it.
    "tools/sinter-compile": ["sinter", "models", "runtime/text/ChatTemplate.h", "runtime/text/Tokenizer.h",
                             "runtime/cli/ToolMain.h", "runtime/cli/CacheFolder.h", "mlir", "llvm"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<((?:mlir|llvm|llvm-c|mlir-c|lld)/[^>]+)>)')


def tracked():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return [ROOT / p for p in out.split() if (ROOT / p).is_file()]


def check_sizes(files):
    for f in files:
        if f.suffix in CXX | {".td", ".py"} or (f.suffix == ".mlir" and "models" not in f.parts):
            n = sum(1 for _ in open(f, errors="replace"))
            if n > MAX_LINES:
                yield f"{f.relative_to(ROOT)}:{n}: longer than {MAX_LINES} lines"


def check_layering(files):
    for f in files:
        rel = f.relative_to(ROOT).as_posix()
        if f.suffix not in CXX:
            continue
        layer = max((k for k in LAYERS if rel.startswith(k + "/")), key=len, default=None)
        if layer is None:
            continue
        for number, line in enumerate(open(f, errors="replace"), 1):
            m = INCLUDE.match(line)
            if not m:
                continue
            header = m.group(1) or m.group(2)
            if "/" not in header:
                continue  # a neighbour in the same folder
            if not any(header.startswith(p) for p in LAYERS[layer]):
                yield f"{rel}:{number}: {layer} may not include {header}"


def check_runner_links(build):
    for tool in ("sinter-run", "sinter-serve", "sinter-bench", "sinter-inspect"):
        binary = build / "bin" / tool
        if not binary.exists():
            continue
        out = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
        for lib in ("libMLIR", "libLLVM", "libclang"):
            if lib in out:
                yield f"{tool}: links {lib}"


def check_format(files):
    sources = [str(f) for f in files if f.suffix in CXX]
    out = subprocess.run(["clang-format-22", "--dry-run", "-Werror", *sources], capture_output=True,
                         text=True).stderr
    seen = set()
    for m in re.finditer(r"^(\S+?):(\d+):\d+: error", out, re.M):
        path = os.path.relpath(m.group(1), ROOT)
        if path not in seen:
            seen.add(path)
            yield f"{path}:{m.group(2)}: not formatted (clang-format-22 -i {path})"


def check_tidy(files, build):
    """clang-tidy on what links no MLIR: its headers make a run over the rest take too long."""
    folders = ("lib/Support/", "runtime/", "models/")
    sources = [f for f in files
               if f.suffix == ".cpp" and f.relative_to(ROOT).as_posix().startswith(folders)
               and "mlir/" not in f.read_text()]

    def run(source):
        r = subprocess.run(["clang-tidy-22", "--quiet", "-p", str(build), str(source)],
                           capture_output=True, text=True)
        return [l for l in r.stdout.splitlines() if ": error:" in l or ": warning:" in l]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for lines in pool.map(run, sources):
            for line in lines:
                yield line.replace(str(ROOT) + "/", "")


DOCS = [  # generated file, tablegen flags, source
    ("xfmr.md", ["-gen-dialect-doc", "-dialect=xfmr"], "include/sinter/Dialect/Xfmr.td"),
    ("passes.md", ["-gen-pass-doc"], "include/sinter/Transforms/Passes.td"),
]


def generate_docs(folder):
    for name, flags, source in DOCS:
        out = subprocess.run(
            ["/usr/lib/llvm-22/bin/mlir-tblgen", *flags, "-I", str(ROOT / "include"), "-I",
             "/usr/lib/llvm-22/include", str(ROOT / source), "-o", str(folder / name)],
            capture_output=True, text=True)
        if out.returncode:
            sys.exit(f"check: {source}: {out.stderr.strip()}")


def check_docs():
    with tempfile.TemporaryDirectory() as d:
        generate_docs(pathlib.Path(d))
        for name, _, source in DOCS:
            kept = ROOT / "docs/generated" / name
            if not kept.exists() or kept.read_text() != (pathlib.Path(d) / name).read_text():
                yield f"docs/generated/{name}:1: out of date with {source} (./dev docs)"
    if (ROOT / "README.md").read_text() != readme_with_table():
        yield "README.md:1: the table of figures is out of date with docs/benchmarks (./dev docs)"


BENCH_BEGIN, BENCH_END = "<!-- bench:begin -->", "<!-- bench:end -->"


def bench_table():
    """README's table: docs/benchmarks/*.json as sinter-bench wrote it, without the spread of a row."""
    rows = ["| what | measured | floor | of floor | bar | peer | times as fast | hardware | commit |",
            "|---|---|---|---|---|---|---|---|---|"]
    for path in sorted((ROOT / "docs/benchmarks").glob("*.json")):
        for r in json.loads(path.read_text()):
            if re.search(r"/(graph|host-gap|p99)$|-p(50|90|95|99)$|^fused/", r["name"]):
                continue
            floor, bar, peer = r.get("floor"), r.get("bar"), r.get("peer_value")
            better = lambda other: other / r["value"] if r["unit"] in ("s", "ms", "us") else r["value"] / other
            ratio = "" if not peer else f"{better(peer):.2f}"
            share = "" if not floor else f"{100 * better(floor):.0f} %"
            cell = lambda v: "" if v is None else f"{v:.3g} {r['unit']}" if isinstance(v, (int, float)) else str(v)
            rows.append(f"| `{r['name']}` | {cell(r['value'])} | {cell(floor)} | {share} | {cell(bar)} | {cell(peer)} | {ratio} | {r['hardware']} | {r['commit'][:9]} |")
    return "\n".join(rows)


def fusion_table():
    """One line per fusion and model: fused / apart / cuBLAS's GEMM alone, microseconds, by tokens."""
    fusions, tokens = {}, set()
    for path in sorted((ROOT / "docs/benchmarks").glob("*.json")):
        for r in json.loads(path.read_text()):
            m = re.fullmatch(r"(fused/.*)/m(\d+)", r["name"])
            if m:
                tokens.add(int(m.group(2)))
                fusions.setdefault(m.group(1), {})[int(m.group(2))] = r
    if not fusions:
        return ""
    cell = lambda v: "-" if v is None else f"{v:.2f}"
    text = lambda r: "" if r is None else " / ".join(
        cell(r.get(key)) for key in ("value", "peer_value", "second_peer_value"))
    columns = sorted(tokens)
    rows = ["", "Fusions, us: fused / our kernels apart / cuBLAS's GEMM alone, by tokens.", "",
            "| what | " + " | ".join(f"m{t}" for t in columns) + " |",
            "|---" * (len(columns) + 1) + "|"]
    for name, by_tokens in sorted(fusions.items()):
        rows.append(f"| `{name}` | " + " | ".join(text(by_tokens.get(t)) for t in columns) + " |")
    return "\n".join(rows) + "\n"


def readme_with_table():
    text = (ROOT / "README.md").read_text()
    head, rest = text.split(BENCH_BEGIN, 1)
    tables = bench_table() + "\n" + fusion_table()
    return head + BENCH_BEGIN + "\n" + tables + BENCH_END + rest.split(BENCH_END, 1)[1]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", default="build", help="build folder with compile_commands.json")
    p.add_argument("--write-docs", action="store_true", help="write docs/generated and stop")
    p.add_argument("--no-tidy", action="store_true", help="skip clang-tidy")
    args = p.parse_args()
    if args.write_docs:
        (ROOT / "docs/generated").mkdir(exist_ok=True)
        generate_docs(ROOT / "docs/generated")
        (ROOT / "README.md").write_text(readme_with_table())
        return 0
    build = (ROOT / args.build).resolve()
    files = tracked()
    checks = [("file sizes", lambda: check_sizes(files)), ("layering", lambda: check_layering(files)),
              ("links", lambda: check_runner_links(build)), ("format", lambda: check_format(files)),
              ("docs", check_docs)]
    if not args.no_tidy:
        checks.append(("tidy", lambda: check_tidy(files, build)))
    bad = 0
    for name, run in checks:
        findings = list(run())
        bad += len(findings)
        print(f"{name:12} {'ok' if not findings else f'{len(findings)} findings'}", flush=True)
        for f in findings:
            print("  " + f)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
