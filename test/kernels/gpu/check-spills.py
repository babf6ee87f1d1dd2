#!/usr/bin/env python3
"""Assembles every kernel of a list with ptxas for each chip; fails when one spills registers.

usage: check-spills.py GENERATOR LIST CHIP...
Without ptxas the test is skipped (exit status 77).
"""

import pathlib
import re
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
import toolkit

LINE = re.compile(r"^(\S+) registers (\d+) shared \d+ spills (\d+)$", re.M)


def main(generator, kernels, *chips):
    if not toolkit.find("ptxas"):
        print("skipped: no ptxas found")
        return toolkit.SKIPPED
    with open(kernels) as f:
        expected = sum(1 for line in f if line.strip() and not line.startswith("#"))
    runs = [(chip, subprocess.Popen([generator, "--chip=" + chip, "--report", "--list=" + kernels],
                                    stdout=subprocess.PIPE, text=True))
            for chip in chips]
    bad = 0
    for chip, run in runs:
        rows = LINE.findall(run.communicate()[0])
        for name, registers, spills in rows:
            if int(spills) or not int(registers):
                print(f"{chip}: {name}: {registers} registers, {spills} bytes spilled")
                bad += 1
        if run.returncode or len(rows) != expected:
            print(f"{chip}: {len(rows)} of {expected} kernels assembled")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
