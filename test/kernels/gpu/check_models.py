#!/usr/bin/env python3
"""Compiles whole models for GPUs and checks what ptxas made of every kernel.

  check_models.py spills BIN CACHE CHIP...   no kernel may spill registers
  check_models.py order BIN CACHE            sm_90a's machine code must keep the order that the PTX has: loads of
                                             constants (weights) < launch_dependents < wait < everything else
  check_models.py --self-test                the checks notice machine code that is broken on purpose

Programs are in BIN, compiled kernels are kept under CACHE. Exit status 77, which ctest counts as skipped,
without ptxas; `order` needs nvdisasm, too.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
import toolkit

MODELS = ["qwen3-0.6b", "qwen3-4b", "qwen3-8b"]
ORDERED = "sm_90a"

# What may run before the predecessors have ended, in PTX and in machine code.
PTX_CONSTANT = re.compile(r"\bld\.global\.nc|\bcp\.async\.(?:bulk|c[ag])")
SASS_CONSTANT = re.compile(r"\b(?:LDG\.\S*CONSTANT|LDGSTS|UTMALDG|UBLKCP)")
# What may not, unless the PTX has it there as well.
PTX_PLAIN = re.compile(r"\b(?:ld|st|red|atom)\.(?:\w+\.)*global(?!\.nc)")
SASS_PLAIN = re.compile(r"\b(?:LDG|STG|REDG?|ATOMG?)\.(?!\S*CONSTANT)")


def section(elf, wanted):
    """The bytes of a section of a 64-bit ELF file."""
    table, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    for header in headers:
        start = headers[names][4] + header[0]
        if elf[start:elf.index(b"\0", start)].decode() == wanted:
            return elf[header[4]:header[4] + header[5]]
    raise ValueError(f"no section {wanted}")


def split(text, mark):
    """What comes before and after the first `mark`; all is before where there is none."""
    at = re.search(mark, text)
    return (text[:at.start()], text[at.end():]) if at else (text, "")


def announces_last(ptx):
    """A long grid announces at its end. Nothing keeps ptxas from moving its loads behind the wait, and it
    does: see docs/rationale.md."""
    before, after = split(ptx, r"griddepcontrol\.launch_dependents")
    return not PTX_CONSTANT.search(after) and len(before) > len(split(ptx, r"griddepcontrol\.wait")[0])


def loads_early(ptx):
    """Whether there is an order of loads to compare."""
    return not announces_last(ptx) and bool(PTX_CONSTANT.search(split(ptx, r"griddepcontrol\.wait")[0]))


def problems(ptx, sass):
    """What of the order in a kernel's PTX is not in its machine code."""
    if "griddepcontrol.wait" not in ptx:
        yield "does not wait"
        return
    if "ACQBULK" not in sass or "PREEXIT" not in sass:
        yield "does not wait or does not announce in machine code"
        return
    announces, waits = split(ptx, r"griddepcontrol\.launch_dependents"), split(ptx, r"griddepcontrol\.wait")
    if not announces_last(ptx):
        for what, mark, before in [("launch_dependents", "PREEXIT", announces[0]), ("wait", "ACQBULK", waits[0])]:
            had = len(PTX_CONSTANT.findall(before))
            has = len(SASS_CONSTANT.findall(split(sass, mark)[0]))
            if has < had:
                yield f"{has} loads of constants before {what}, {had} in PTX"
    had = len(PTX_PLAIN.findall(waits[0]))
    has = len(SASS_PLAIN.findall(split(sass, "ACQBULK")[0]))
    if has > had:
        yield f"{has} other accesses to memory before wait, {had} in PTX"


def order_findings(model, artefact, meta, disassembler):
    with open(artefact, "rb") as file:
        elf = file.read()
    ptx, cubin = section(elf, ".sinter.ptx"), section(elf, ".sinter.cubin")

    def check(number):
        module = meta["modules"][number]
        name = next(kernel["name"] for kernel in meta["kernels"] if kernel["module"] == number)
        text = ptx[module["ptx"][0]:sum(module["ptx"])].decode()
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(cubin[module["cubin"][0]:sum(module["cubin"])])
            file.flush()
            sass = subprocess.run([disassembler, "-c", file.name], capture_output=True, text=True, check=True).stdout
        body = text[text.index(".entry"):]
        return loads_early(body), [f"{model}: {name}: {what}" for what in problems(body, sass)]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = list(pool.map(check, range(len(meta["modules"]))))
    findings = sum((found for _, found in checked), [])
    early = sum(compared for compared, _ in checked)
    if 2 * early < len(checked):  # most kernels of a model read weights
        findings.append(f"{model}: only {early} of {len(checked)} kernels load constants before they wait")
    return findings


def spill_findings(model, chip, meta):
    return [f"{model}, {chip}: {kernel['name']}: {kernel['registers']} registers, {kernel['spill_bytes']} bytes spilled"
            for kernel in meta["kernels"] if kernel["spill_bytes"] or not kernel["registers"]]


def check_model(model, chip, programs, environment, disassembler):
    """Findings, and the number of kernels looked at."""
    with tempfile.TemporaryDirectory() as folder:
        artefact = os.path.join(folder, "model.sinter")
        made = subprocess.run([os.path.join(programs, "sinter-compile"), model, "--target=cuda:" + chip,
                               "-o", artefact], capture_output=True, text=True, env=environment)
        if made.returncode:
            return [f"{model}, {chip}: {made.stderr.strip()}"], 0
        shown = subprocess.run([os.path.join(programs, "sinter-inspect"), artefact, "--meta"],
                               capture_output=True, text=True, check=True)
        meta = json.loads(shown.stdout)
        findings = (order_findings(model, artefact, meta, disassembler) if disassembler
                    else spill_findings(model, chip, meta))
        return findings, len(meta["kernels"])


def check(what, programs, cache, *chips):
    needed = ["ptxas", "nvdisasm"] if what == "order" else ["ptxas"]
    found = {name: toolkit.find(name) for name in needed}
    for name in needed:
        if not found[name]:
            print(f"skipped: no {name} found")
            return toolkit.SKIPPED
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    findings, kernels = [], 0
    for model in MODELS:
        for chip in chips or [ORDERED]:
            wrong, count = check_model(model, chip, programs, environment, found.get("nvdisasm"))
            findings += wrong
            kernels += count
    if not kernels:
        findings.append("no kernels")
    for line in findings:
        print(line)
    print(f"{what}: {kernels} kernels, {len(findings)} findings")
    return 1 if findings else 0


def self_test():
    """Each edit of good machine code must lead to a finding."""
    ptx = """.entry k(
ld.global.nc.v4.b32 {%r1}, [%rd1];
cp.async.bulk.tensor.2d [%r1], [%rd2];
griddepcontrol.launch_dependents;
griddepcontrol.wait;
ld.global.v4.b32 {%r2}, [%rd3];
st.global.b32 [%rd4], %r3;
"""
    good = ["LDG.E.128.CONSTANT R4, desc[UR6][R2.64] ;", "UTMALDG.2D [UR4], [UR10] ;", "PREEXIT ;", "ACQBULK ;",
            "LDG.E.128 R8, desc[UR6][R2.64] ;", "STG.E desc[UR6][R2.64], R8 ;"]
    late = ptx.replace("griddepcontrol.launch_dependents;\n", "") + "griddepcontrol.launch_dependents;\n"
    failed = [f"good: {what}" for what in problems(ptx, "\n".join(good))]
    failed += [f"late: {what}" for what in problems(late, "\n".join(good[3:] + good[:3]))]
    # (from, to): a line moves; None: it goes.
    for line, to in [(0, 2), (0, 3), (1, 3), (4, 0), (5, 3), (2, None), (3, None), (3, 0)]:
        edited = good[:line] + good[line + 1:]
        if to is not None:
            edited.insert(to, good[line])
        if not list(problems(ptx, "\n".join(edited))):
            failed.append(f"not noticed: {good[line]} at {to}")
    if not list(problems(late, "\n".join([good[4], *good[3:]]))):
        failed.append("not noticed: an early load of a kernel that announces last")
    if not list(problems(ptx.replace("griddepcontrol.wait;", ""), "\n".join(good))):
        failed.append("not noticed: PTX without a wait")
    for line in failed:
        print(line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(self_test() if sys.argv[1:] == ["--self-test"] else check(*sys.argv[1:]))
