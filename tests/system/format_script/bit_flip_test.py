"""bit_flip_test.py --bin DIR: `spillway verify` takes a segment that a script wrote from docs/format.md, and refuses it
with any single bit of its data block flipped, each bit in turn."""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
DATA_BLOCK_AT = 0x1300
DATA_BLOCK_BYTES = 64 + 96
ACCEPTED, REFUSED = 0, 1


def verify(binary, folder):
    return subprocess.run([binary, "verify", folder], capture_output=True, text=True, timeout=60, check=False)


def verify_flipped(binary, segment, bits):
    """The bits of `bits` that verify does not refuse when they are flipped."""
    missed = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "telemetry"
        folder.mkdir()
        copy = folder / segment.name
        shutil.copy(segment, copy)
        with open(copy, "r+b", buffering=0) as file:
            for bit in bits:
                at, mask = DATA_BLOCK_AT + bit // 8, 1 << bit % 8
                byte = os.pread(file.fileno(), 1, at)[0]
                os.pwrite(file.fileno(), bytes([byte ^ mask]), at)
                result = verify(binary, folder)
                if result.returncode != REFUSED:
                    missed.append((bit, result.returncode, result.stdout + result.stderr))
                os.pwrite(file.fileno(), bytes([byte]), at)
        # The file is as it was: so each refusal was the flipped bit's doing.
        assert verify(binary, folder).returncode == ACCEPTED, "the restored segment is not accepted"
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    binary = pathlib.Path(parser.parse_args().bin) / "spillway"
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "telemetry"
        folder.mkdir()
        subprocess.run([sys.executable, HERE / "make_segment.py", folder], check=True)
        (segment,) = folder.glob("*.spill")
        whole = verify(binary, folder)
        assert whole.returncode == ACCEPTED, f"the script's segment is refused: {whole.stdout}{whole.stderr}"
        bits = range(DATA_BLOCK_BYTES * 8)
        workers = os.cpu_count() or 1
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            parts = pool.map(lambda part: verify_flipped(binary, segment, bits[part::workers]), range(workers))
            missed = [miss for part in parts for miss in part]
    for bit, code, text in missed[:10]:
        print(f"bit {bit} (byte {bit // 8} of the block) flipped: exit code {code}\n{text}", file=sys.stderr)
    print(f"{len(bits)} single-bit flips, {len(bits) - len(missed)} refused")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
