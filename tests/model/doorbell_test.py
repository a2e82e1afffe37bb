#!/usr/bin/env python3
"""Spin goes through every state of the doorbell's model (doorbell.pml): no wake-up is lost, and each way to break it is
found. Exits with 77 where spin or a C compiler is missing.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

MODEL = pathlib.Path(__file__).with_name("doorbell.pml")
DEPTH_MAX = 1_000_000
MEMORY_MIB_MAX = 1024

HOLDS = ["AS_IT_IS", "TAKES_BEFORE"]
# What is broken, and why a wake-up is lost.
BROKEN = {
    "NO_BARRIER": "a commit may stay in its buffer behind the look at the bell",
    "LOOKS_FIRST": "a record that comes between the look and the arming rings nobody",
    "FUTEX_BELL": "a futex wake between the last look and the sleep is gone",
    "TAKES_LAST": "an event that stands for a record behind the look is thrown away",
    "FORGETS_RINGS": "a ring for a record drained before the arming is taken out, and its producer rings once an arming",
    "ONE_ARMING": "a producer that rang once never rings again",
    "SILENT_DEATH": "a producer dies between its commit and its ring",
}


def explore(define, folder):
    """(errors, states, text) of the model with this definition."""
    subprocess.run(["spin", "-a", f"-D{define}", str(MODEL)], cwd=folder, check=True, capture_output=True, text=True)
    subprocess.run(["cc", "-O1", "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MIB_MAX}", "-o", "pan", "pan.c"],
                   cwd=folder, check=True)  # fmt: skip
    run = subprocess.run(["./pan", f"-m{DEPTH_MAX}"], cwd=folder, capture_output=True, text=True)
    errors = re.search(r"errors: (\d+)", run.stdout)
    states = re.search(r"(\d+) states, stored", run.stdout)
    if not errors or not states:
        sys.exit(f"pan said nothing of errors or states:\n{run.stdout}{run.stderr}")
    return int(errors[1]), int(states[1]), run.stdout


def complete(text):
    return "max search depth too small" not in text and "Search not completed" not in text


def main():
    if not shutil.which("spin") or not shutil.which("cc"):
        print("skipped: spin (Debian's package `spin`) or a C compiler is missing")
        return 77
    failed = 0
    for define in HOLDS + list(BROKEN):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="spillway-doorbell-") as folder:
            errors, states, text = explore(define, folder)
        broken = define in BROKEN
        good = errors == 1 and "assertion violated" in text if broken else errors == 0 and complete(text)
        what = f"a lost wake-up, as it must: {BROKEN[define]}" if broken and errors else "no wake-up is lost" if not errors else "A LOST WAKE-UP"
        print(f"{'ok  ' if good else 'FAIL'} {define}: {states} states, {time.monotonic() - began:.1f} s: {what}", flush=True)
        if not good:
            print(text)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
