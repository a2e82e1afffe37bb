"""What the suites of the engines share: how a suite says that an engine is not there.

A suite whose engine cannot be had says so in a frame nobody overlooks and ends with ctest's code for 'skipped'. Where
SPILLWAY_ENGINES_REQUIRED=1 stands in the environment, as in continuous integration, that is a failure.
"""

import os
import sys
import unittest

SKIPPED = 77


class EngineMissing(Exception):
    """The engine cannot be started on this machine; the text says why."""


def did_not_run(suite, why):
    """The exit code of a suite whose engine is not there, after it has said so."""
    frame = "#" * 100
    print(f"{frame}\n##\n##  {suite} DID NOT RUN\n##\n##  {why}\n##\n{frame}", file=sys.stderr, flush=True)
    if os.environ.get("SPILLWAY_ENGINES_REQUIRED") == "1":
        print(f"{suite}: SPILLWAY_ENGINES_REQUIRED=1 makes this a failure", file=sys.stderr, flush=True)
        return 1
    return SKIPPED


def main(suite, arguments, prepare=None):
    """Runs the unit tests of the calling script; `prepare` raises EngineMissing where its engine is not to be had."""
    try:
        if prepare is not None:
            prepare()
    except EngineMissing as missing:
        sys.exit(did_not_run(suite, str(missing)))
    unittest.main(argv=[sys.argv[0], *arguments], verbosity=2, failfast=False)
