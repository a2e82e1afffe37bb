#!/usr/bin/env python3
"""The capture dies behind each of its stores that another process, or its own next life, sees: nothing is lost, nothing doubled.

steps_test.py --bin DIR --capture FAULT_CAPTURE --steps STEP_HEADER [--server]   (--server: against a real PostgreSQL)
"""

import argparse
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from capture_world import CaptureWorld, wait_until  # noqa: E402
from sqlite_test import compare, drained  # noqa: E402
from sqlite_writers import TABLES, Writer, make  # noqa: E402

# At which passages: the first ones, and some in the middle of a batch.
PASSAGES = {"capture.intended": (1, 2, 40), "capture.put": (1, 2, 40), "capture.put_noted": (1, 2, 40), "capture.turned": (1, 2, 3),
            "capture.lane_opened": (1, 2, 3), "capture.lane_noted": (1, 2, 3), "capture.page_drafted": (1,), "capture.page_named": (1,)}  # fmt: skip
USUAL = (1, 2)


def steps_of(header):
    names = re.findall(r'^\s+"(capture\.[a-z_.]+)",', header.read_text(), re.MULTILINE)
    assert names
    return [name for name in names if not name.startswith("capture.slot_")]


class Killer:
    def __init__(self, world, program, writer, database):
        self.world = world
        self.program = str(program)
        self.writer = writer
        self.database = database
        self.kills = 0

    def start(self, step=None, passage=0):
        kill = [f"SPILLWAY_STEP_KILL={step}:{passage}"] if step else []
        self.world.capture.command = ["/usr/bin/env", *kill, self.program, "--config", str(self.world.gateway_config)]
        self.world.capture.start()

    def work(self):
        for _ in range(6):
            self.writer.one_transaction()

    def kill_at(self, step, passage):
        self.start(step, passage)
        end = time.monotonic() + 20
        while self.world.capture.alive():
            assert time.monotonic() < end, f"nobody came to {step}:{passage}\n{self.world.capture.log_tail()}"
            self.work()
            time.sleep(0.02)
        code = self.world.capture.process.returncode
        assert code == -signal.SIGKILL, f"{step}:{passage}: it ended with {code}\n{self.world.capture.log_tail()}"
        self.kills += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("bin", "capture", "steps"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    began = time.monotonic()
    world = CaptureWorld(options.bin, "sqlite:/placeholder", TABLES, 'poll_interval = "5ms"')
    with world:
        path = world.root / "shop.db"
        world.source = f"sqlite:{path}"
        world.write_capture(world.capture_keys)
        database = make(path)
        writer = Writer(path, options.seed)
        writer.run(200)
        world.agent.start()
        world.wait_ready()
        killer = Killer(world, options.capture, writer, database)
        for step in steps_of(options.steps):
            for passage in PASSAGES.get(step, USUAL):
                killer.kill_at(step, passage)
        killer.start()
        wait_until(lambda: drained(world, database), f"the outbox to be emptied\n{world.capture.log_tail()}")
        world.capture.stop()
        world.agent.stop()
        captured = compare(world, path)
        captured.transactions()
        assert captured.maybe_repeated == 0
        print(f"{killer.kills} kills at {len(steps_of(options.steps))} steps, {captured.records} records, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
