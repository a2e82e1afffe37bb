"""What a bench is run in: its folders in memory and on disk, its end, and its words to the person who waits."""

import contextlib
import pathlib
import shutil
import signal
import sys
import tempfile

from report.programs import BenchError


def say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def scratch(name, out):
    """A folder in memory and one below `out`, which go with the block, also at SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out.mkdir(parents=True, exist_ok=True)
    memory = tempfile.mkdtemp(prefix=f"spillway-{name}-", dir="/dev/shm")
    disk = tempfile.mkdtemp(prefix=f"{name}-", dir=out)
    try:
        yield pathlib.Path(memory), pathlib.Path(disk)
    finally:
        shutil.rmtree(memory, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)


def run(main):
    """Ends the process with what `main` returns, or with why it could not go on."""
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: stopped")
