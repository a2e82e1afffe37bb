#!/usr/bin/env python3
"""./run soak network [MINUTES] [SEED]: every situation of the network suite once, then storms by seed for the rest of the time.

A storm draws harms to the link and to the daemons from its seed; one that failed is drawn again by
`network_test.py storm --seed N`.
"""

import argparse
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import namespaces  # noqa: E402
from network_test import add_libraries, resolve  # noqa: E402
from scenes import SITUATIONS, TOTALS, run_all  # noqa: E402

JOBS = 4
PATIENT_JOBS = 1  # what measures the link itself wants the machine for itself


def parse():
    parser = argparse.ArgumentParser(prog="./run soak network", description=__doc__.splitlines()[0])
    parser.add_argument("minutes", nargs="?", type=float, default=15)
    parser.add_argument("seed", nargs="?", type=int, default=1 + int.from_bytes(os.urandom(2), "little"))
    add_libraries(parser)
    options = parser.parse_args()
    if options.minutes <= 0 or options.seed < 1:
        parser.error("MINUTES is more than 0, and SEED at least 1")
    return resolve(options)


def main():
    options = parse()
    if reason := namespaces.missing_means():
        sys.exit(f"soak network: {reason}")
    namespaces.enter()
    began = time.monotonic()
    end = began + 60 * options.minutes
    measures = [name for name, (group, function) in SITUATIONS.items() if function.__module__ == "use_scenes"]
    others = [name for name in SITUATIONS if name not in measures and name != "storm"]
    print(f"soak network, seed {options.seed}: {len(SITUATIONS) - 1} situations, then storms for the rest of {options.minutes:g} minutes", flush=True)
    options.jobs = PATIENT_JOBS
    failed = run_all(measures, options, options.seed)
    options.jobs = JOBS
    failed += run_all(others, options, options.seed)
    seed, storms = options.seed, 0
    while time.monotonic() < end and not failed:
        failed += run_all(["storm"] * JOBS, options, seed)
        seed, storms = seed + JOBS, storms + JOBS
    print(f"\n== soak network, seed {options.seed}, {(time.monotonic() - began) / 60:.1f} minutes: {len(measures) + len(others)} situations, "
          f"{storms} storms (seeds {options.seed} to {options.seed + max(0, storms - 1)})")  # fmt: skip
    for name, count in sorted(TOTALS.items()):
        print(f"{count:>14,} {name.replace('_', ' ')}")
    print(f"{len(failed):>14} failures {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
