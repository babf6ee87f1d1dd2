#!/usr/bin/env python3
"""Compiles the hand-written CUDA kernels with clang-22 alone and checks the PTX.

  check_ptx.py --sm sm_90a          every kernel for one SM; ptxas too where there is one
  check_ptx.py --sm sm_90a --nvcc   with nvcc: no warning, the same kernels; with --assemble ptxas
                                    takes them, too
  check_ptx.py --self-test          the checks notice PTX that is broken on purpose

Exit status 77, which ctest counts as skipped, when clang-22 or its NVPTX target is missing, or nvcc.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
import toolkit

ROOT = HERE.parents[2]
KERNELS = ROOT / "runtime/kernels"


def units():
    """(source, group) of every module, the list that run.sh builds as well."""
    text = (HERE / "run.sh").read_text()
    names = re.search(r"^UNITS=\((.*?)\)", text, re.M | re.S).group(1).split()
    return [tuple(name.split(":")) for name in names]


def expected_names():
    """Kernels that the .def files promise."""
    names = set()
    for path in sorted(KERNELS.glob("*.def")):
        text = path.read_text()
        sizes = re.findall(r"##(_d\d+),", text)
        for call, first in re.findall(r"^(SINTER_\w+)\((\w+)", text, re.M):
            names.update([first + s for s in sizes] if call.endswith("_SIZES") else [first])
    return names


def entries(ptx):
    """name -> body of every kernel."""
    found = {}
    for m in re.finditer(r"^\.visible \.entry (\w+)\(.*?^\}", ptx, re.M | re.S):
        found[m.group(1)] = m.group(0)
    return found


# Gammas are constants; with `early` folded in, work list and old positions lie behind a full edge.
READS_EARLY = ("sinter_qkv", "sinter_decode_qwen3_06b")


def element_types(name):
    m = re.match(r"sinter_(decode|prefill)_(?:window_)?(bf16|f16|f32)_(\w+?)_d", name)
    return m.groups() if m else (None, None, None)


def problems(name, body, sm):
    """What is wrong with one kernel."""
    if "__local_depot" in body or re.search(r"\b(ld|st)\.local", body):
        yield "uses local memory"
    if "ld.global.nc" in body:
        yield "reads activations through ld.global.nc"
    if re.search(r"^\s*call", body, re.M):
        yield "calls a function"
    if sm.startswith("sm_90"):
        trigger = body.find("griddepcontrol.launch_dependents")
        wait = body.find("griddepcontrol.wait")
        if wait < 0:
            yield "never waits for its predecessors"
        elif not 0 <= trigger < wait:
            yield "does not trigger its dependents before it waits"
        elif re.search(r"^\s*(@%\w+ ret|ret);", body[:wait], re.M):
            yield "has a path without the wait"
        early = re.findall(r"ld\.global\S*", body[:max(wait, 0)])
        if early and not name.startswith(READS_EARLY):
            yield f"reads {early[0]} before the wait"
    elif "griddepcontrol" in body:
        yield "uses griddepcontrol before sm_90"
    if "wgmma" in name and not re.search(r"wgmma\.mma_async\.sync\.aligned\.m64n128k16", body):
        yield "has no warpgroup instructions"
    kind, query, cache = element_types(name)
    if kind is None:
        return
    if not re.search(r"cp\.async\.cg\.shared\.global\S* \S+, \S+ 16", body.replace("[", "").replace("]", "")):
        yield "has no 16-byte asynchronous copies"
    fma = query == "f32" or cache == "f32" or (query, cache) == ("f16", "bf16")
    multiplied = query if kind == "prefill" else cache
    forms = set(re.findall(r"mma\.sync\.aligned\.(m16n8k16)\.row\.col\.f32\.(bf16|f16)\.", body))
    wanted = set() if fma else {("m16n8k16", "bf16" if multiplied == "bf16" else "f16")}
    if forms != wanted:
        yield f"matrix instructions {sorted(forms)} instead of {sorted(wanted)}"
    if cache == "e4m3" and sm != "sm_80" and "cvt.rn.f16x2.e4m3x2" not in body:
        yield "widens e4m3 without the instruction for it"


def compile_unit(nvcc, source, group, sm, folder):
    """PTX of a module, by clang-22 or by this nvcc."""
    out, path = folder / f"{source}{group}.ptx", KERNELS / f"{source}.cu"
    arch = sm.replace("sm_", "compute_")
    command = [HERE / "ptx.sh", path, group, sm, out] if not nvcc else [
        nvcc, "-std=c++17", "-Werror", "all-warnings", "-diag-suppress", "128",  # a loop that no variant enters
        "-ptx", f"-gencode=arch={arch},code={arch}",
        f"-DSINTER_GROUP={group}", f"-I{ROOT / 'include'}", path, "-o", out]
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"check_ptx: {source} group {group}: {(r.stdout + r.stderr).strip()[:2000]}")
    return out


def assemble(ptxas, path, sm, spills=True):
    """Findings of ptxas: errors and, if asked for, spills."""
    r = subprocess.run([ptxas, f"-arch={sm}", "-v", path, "-o", os.devnull], capture_output=True,
                       text=True)
    if r.returncode:
        yield f"{path.name}: ptxas: {r.stderr.strip().splitlines()[0]}"
    name = "?"
    for line in r.stderr.splitlines():
        m = re.search(r"entry function '(\w+)'", line)
        name = m.group(1) if m else name
        m = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", line)
        if spills and m and m.groups() != ("0", "0"):
            yield f"{name}: {m.group(0)}"


def check(sm, ptxas, nvcc):
    findings, names = [], set()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(compile_unit, nvcc, source, group, sm, pathlib.Path(folder)) for source, group in units()]
        for path in (job.result() for job in jobs):
            kernels = entries(path.read_text())
            names.update(kernels)
            if not nvcc:  # its instructions and registers are not those of what the compiler embeds
                findings += [f"{name}: {what}" for name, body in kernels.items() for what in problems(name, body, sm)]
            if ptxas:
                findings += assemble(ptxas, path, sm, spills=not nvcc)
    findings += [f"{name}: missing" for name in sorted(expected_names() - names)]
    for line in findings:
        print(line)
    print(f"{sm}: {len(names)} kernels, {len(findings)} findings, ptxas "
          f"{'accepts them' if ptxas and not findings else 'not used' if not ptxas else 'used'}")
    return 1 if findings else 0


def self_test():
    """Each edit of a good kernel must lead to a finding."""
    good = """.visible .entry sinter_decode_bf16_bf16_d128(
{
  griddepcontrol.launch_dependents;
  griddepcontrol.wait;
  ld.global.b32 %r1, [%rd1];
  cp.async.cg.shared.global.L2::128B [%r1], [%rd2], 16, %r3;
  mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {};
  ret;
}"""
    edits = [("  ret;", "  ld.local.b32 %r1, [%rd1];\n  ret;"), ("ld.global.b32", "ld.global.nc.b32"),
             ("  ret;", "  call.uni f;\n  ret;"), ("  griddepcontrol.wait;\n", ""),
             ("  griddepcontrol.launch_dependents;\n", ""), (", 16, %r3", ", 4, %r3"),
             ("f32.bf16.bf16", "f32.f16.f16"),
             ("  griddepcontrol.wait;", "  @%p1 ret;\n  griddepcontrol.wait;"),
             ("  griddepcontrol.wait;", "  ld.global.b32 %r1, [%rd1];\n  griddepcontrol.wait;")]
    name, = entries(good)
    failed = list(problems(name, good, "sm_90a"))
    for old, new in edits:
        assert old in good
        if not list(problems(name, good.replace(old, new), "sm_90a")):
            failed.append(f"not noticed: {old.strip()} -> {new.strip()}")
    if not list(problems(name, good, "sm_80")):
        failed.append("not noticed: griddepcontrol on sm_80")
    for line in failed:
        print(line)
    return 1 if failed else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--sm")
    p.add_argument("--nvcc", action="store_true")
    p.add_argument("--assemble", action="store_true", help="nvcc's code, too: as long again as compiling")
    p.add_argument("--self-test", action="store_true")
    args = p.parse_args()
    if args.self_test:
        sys.exit(self_test())
    if not args.sm:
        p.error("--sm or --self-test")
    ptxas, nvcc = toolkit.find("ptxas"), toolkit.find("nvcc") if args.nvcc else None
    if args.assemble and not args.nvcc:
        p.error("--assemble: only with --nvcc")
    if args.nvcc and not (nvcc and (ptxas or not args.assemble)):
        print("skipped: no nvcc" + " and ptxas" * args.assemble)
        sys.exit(toolkit.SKIPPED)
    if args.nvcc and not args.assemble:
        ptxas = None
    clang = os.environ.get("SINTER_CLANG", "clang-22")
    if not nvcc and not shutil.which(clang):
        print(f"skipped: no {clang}")
        sys.exit(toolkit.SKIPPED)
    if not nvcc and "nvptx64" not in subprocess.run([clang, "--print-targets"], capture_output=True, text=True).stdout:
        print(f"skipped: {clang} has no NVPTX target")
        sys.exit(toolkit.SKIPPED)
    sys.exit(check(args.sm, ptxas, nvcc))


if __name__ == "__main__":
    main()
