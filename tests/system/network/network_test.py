#!/usr/bin/env python3
"""network_test.py --bin DIR (--group NAME | SITUATION...): bad networks under real daemons, in namespaces of their own.

Each situation runs agent, uplink, consumer and a producer, harms the way between them, heals it, and asks the oracle: all that was
there at the healing is delivered within 30 s of it, nothing is lost, doubled or out of order, and memory stays bounded.
Skipped (exit code 77) where network namespaces cannot be had.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import namespaces  # noqa: E402
from scenes import SITUATIONS, run_all  # noqa: E402
import byte_scenes  # noqa: E402, F401
import far_scenes  # noqa: E402, F401
import link_scenes  # noqa: E402, F401
import peer_scenes  # noqa: E402, F401
import proxy_scenes  # noqa: E402, F401
import storm_scenes  # noqa: E402, F401
import use_scenes  # noqa: E402, F401

SKIPPED = 77


def add_libraries(parser):
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--kill-at-commit", type=pathlib.Path, required=True, help="the library made of kill_at_commit.c")
    parser.add_argument("--wall-clock", type=pathlib.Path, required=True, help="the library made of ../wall_clock.c")


def resolve(options):
    for path in ("bin", "kill_at_commit", "wall_clock"):
        setattr(options, path, getattr(options, path).resolve())
    return options


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("situations", nargs="*", metavar="SITUATION", help=", ".join(SITUATIONS))
    add_libraries(parser)
    parser.add_argument("--group", choices=sorted({group for group, _ in SITUATIONS.values()}))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=6, help="situations at a time: they wait more than they work")
    options = parser.parse_args()
    unknown = set(options.situations) - set(SITUATIONS)
    if unknown:
        parser.error(f"there is no situation {', '.join(sorted(unknown))}")
    return resolve(options)


def main():
    options = parse()
    if reason := namespaces.missing_means():
        print(f"skipped: {reason}")
        return SKIPPED
    namespaces.enter()
    names = options.situations or [name for name, (group, _) in SITUATIONS.items() if options.group in (None, group)]
    began = time.monotonic()
    failed = run_all(names, options, options.seed)
    print(f"{len(names)} situations, seed {options.seed}, {len(failed)} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
