#!/usr/bin/env python3
"""Enqueue makes no system call: a program that puts 1,000 records and one that puts 800,000 make the same calls, before
any agent has run and while one is awake. After one was killed in its sleep, its bell stays armed: then one more.

Usage: no_syscall_test.py PUT_MANY. Exit code 77 (skipped) only where strace may not trace.
"""

import os
import re
import struct
import subprocess
import sys
import tempfile

FEW, MANY = 1_000, 800_000  # 80 bytes each: 800,000 fill 61 of 64 MiB


def calls_of(program, queue, count):
    trace = os.path.join(queue, "trace")
    done = subprocess.run(["strace", "-f", "-c", "-o", trace, program, queue, str(count)],
                          capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"put_many {count} ended with {done.returncode}: {done.stderr}")
    calls = {}
    for line in open(trace, encoding="utf-8"):
        # % time, seconds, usecs/call, calls, [errors], name
        match = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*$", line)
        if match and match.group(2) != "total":
            calls[match.group(2)] = int(match.group(1))
    return calls


def main():
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        print(f"skipped: strace may not trace here: {probe.stderr.strip()}")
        sys.exit(77)
    for agent, armed in (("absent", None), ("awake", 0)):
        few, many = (count_calls(count, armed) for count in (FEW, MANY))
        if not {"mmap", "linkat"} & few.keys():
            sys.exit(f"the trace shows no open of a lane, so it proves nothing: {few}")
        if few != many:
            sys.exit(f"agent {agent}: {MANY - FEW} more records made other system calls:\n  {few}\n  {many}")
        print(f"agent {agent}: {MANY - FEW} more records made not one more call ({sum(many.values())} in all)")
    # pwrite64 is x86's and arm64's name for it.
    rings = count_calls(MANY, armed=1).get("pwrite64", 0)
    if rings != 1:
        sys.exit(f"agent killed in its sleep: {rings} rings, wanted 1")
    print(f"agent killed in its sleep: {rings} ring for {MANY} records")


def count_calls(count, armed):
    """The calls of one run, in a queue whose doorbell has this word; without a control page if it is None."""
    with tempfile.TemporaryDirectory() as queue:
        os.mkdir(os.path.join(queue, "lanes"))
        if armed is not None:
            page = struct.pack("<8sII", b"SPILLBEL", 1, 4_000_000).ljust(128, b"\0") + struct.pack("<I", armed)
            with open(os.path.join(queue, "control"), "wb") as control:
                control.write(page.ljust(4096, b"\0"))
        return calls_of(sys.argv[1], queue, count)


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(f"{error}; install strace")
