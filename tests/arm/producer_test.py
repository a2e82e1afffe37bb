"""producer_test.py --bin DIR --feed PROGRAM: a producer feeds an agent.

PROGRAM is tests/arm/feed.c, built for this machine, or for another and wrapped (toolchains/emulated_programs.sh).
What arrived is read from the spill by the rules of docs/format.md, with no code of the product.
"""

import argparse
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "system"), str(HERE.parent / "system/format_script")]
from harness import World, wait_until  # noqa: E402
from read_segments import lanes, records  # noqa: E402

COUNT = 5000
TOPIC = "sensor/arm/feed"


def expected(number):
    size = 1 + number % 300
    digits = str(number).encode()
    return (digits + bytes([ord("a") + number % 26]) * size)[:size] if len(digits) < size else digits[:size]


def feed(options, world):
    command = [options.feed, str(world.queue_dir), TOPIC, str(COUNT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert result.returncode == 0, f"the producer failed ({result.returncode}): {result.stderr}{world.agent.log_tail()}"
    assert f"accepted {COUNT} process-safe" in result.stdout, result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--feed", required=True)
    options = parser.parse_args()
    with World(options.bin, segment_bytes="96KiB", max_bytes="4MiB") as world:
        world.agent.start()
        world.wait_ready()
        feed(options, world)
        wait_until(lambda: not world.live_lanes(), "the agent to remove the finished lane")
        world.agent.stop()
        stream = world.spill_dir / "telemetry"
        found = list(records(stream))
        assert [offset for offset, _, _ in found] == list(range(COUNT)), f"{len(found)} offsets, not 0 to {COUNT - 1}"
        for offset, _, record in found:
            assert record == expected(offset), f"record {offset} is {record!r}"
        assert set(lanes(stream).values()) == {TOPIC}, lanes(stream)
        verified = world.command("verify", stream)
        assert verified.returncode == 0, f"spillway verify: {verified.returncode}: {verified.stdout}{verified.stderr}"
    print(f"{COUNT} records of {TOPIC} arrived whole and in order")


if __name__ == "__main__":
    main()
