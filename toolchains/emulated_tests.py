#!/usr/bin/env python3
"""emulated_tests.py --build DIR [--partial] [ctest options]: a cross build's tests under qemu-user, and a count of them.

Runs every test that qemu-user-exclusions.txt does not name, then says how many ran and names those that were left out, each
with its reason. A line of that file that fits no test is an error: it would hide nothing today and something tomorrow. With
--partial (a build without the daemons) it may.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

EXCLUSIONS = pathlib.Path(__file__).with_name("qemu-user-exclusions.txt")


def exclusions():
    """[(expression, reason)]"""
    lines = [line.partition("#") for line in EXCLUSIONS.read_text().splitlines()]
    return [(expression.strip(), reason.strip()) for expression, _, reason in lines if expression.strip()]


def names_of(build):
    listing = subprocess.run(["ctest", "--test-dir", build, "-N"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^ *Test +#\d+: (.+)$", listing, re.MULTILINE)


def counts_of(report):
    """(passed, failed, skipped by themselves) by ctest's JUnit report"""
    cases = list(xml.etree.ElementTree.parse(report).getroot().iter("testcase"))
    states = [case.get("status") for case in cases]
    return states.count("run"), states.count("fail"), [case.get("name") for case in cases if case.get("status") in ("notrun", "disabled")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--partial", action="store_true")
    options, ctest_options = parser.parse_known_args()
    names = names_of(options.build)
    left_out, stale = {}, []
    for expression, reason in exclusions():
        fitting = [name for name in names if re.search(expression, name)]
        left_out.update((name, reason) for name in fitting if name not in left_out)
        if not fitting:
            stale.append(expression)
    if stale and not options.partial:
        sys.exit(f"{EXCLUSIONS}: these lines fit no test of {options.build}: {stale}")
    # Without parentheses of their own: CMake knows nine in an expression, and says nothing of a tenth.
    excluding = ["-E", "|".join(expression for expression, _ in exclusions())] if left_out else []
    with tempfile.TemporaryDirectory() as scratch:
        report = pathlib.Path(scratch) / "report.xml"
        code = subprocess.run(["ctest", "--test-dir", options.build, "--output-on-failure", "--output-junit", report, *excluding,
                               *ctest_options], check=False).returncode  # fmt: skip
        passed, failed, by_themselves = counts_of(report)
    print(f"\n{options.build.name}: {passed + failed} of {len(names)} tests were run, {failed} failed; "
          f"{len(left_out)} left out by name, {len(by_themselves)} skipped by themselves")  # fmt: skip
    for name, reason in left_out.items():
        print(f"  left out: {name}: {reason}")
    for name in by_themselves:
        print(f"  skipped itself: {name}")
    sys.exit(code)


if __name__ == "__main__":
    main()
