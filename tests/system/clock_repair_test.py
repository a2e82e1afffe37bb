"""clock_repair_test.py --bin DIR --wall-clock LIBRARY: a gateway that starts in 1970, with real daemons.

Its records get their true UTC at the consumer once its clock has been set, whether they were shipped before that or after.
"""

import argparse
import contextlib
import pathlib
import sqlite3
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None
RECORDS = 300
NS = 1_000_000_000
SLACK_NS = 50_000_000  # the anchors' and the clocks' readings are taken one after the other


class ClockRepair(unittest.TestCase):
    def setUp(self):
        self.world = World(ARGUMENTS.bin, sync_interval="50ms")
        self.addCleanup(self.world.close)
        self.clock = self.world.root / "wall-clock"
        self.set_clock(60 * NS - time.time_ns())
        agent = self.world.agent
        agent.command = ["env", f"LD_PRELOAD={ARGUMENTS.wall_clock}", f"WALL_CLOCK={self.clock}", *agent.command]
        self.world.link.start()
        agent.start()
        self.world.wait_ready()
        self.times = []  # of each batch: before it, after it

    def set_clock(self, off_by_ns):
        # In place: the agent has it mapped.
        with open(self.clock, "r+b" if self.clock.exists() else "w+b") as file:
            file.write(struct.pack("<q", off_by_ns))

    def produce(self, incarnation):
        producer = self.world.producer(0, incarnation, 2_000, "1MiB", 100)
        producer.command += ["--count", str(RECORDS)]
        began = time.time_ns()
        self.assertEqual(0, producer.start().process.wait(60), producer.log_tail())
        self.times.append((began, time.time_ns()))
        wait_until(lambda: not self.world.live_lanes(), "the lane's end")

    def connect(self):
        self.world.consumer.start()
        self.world.uplink.start()

    def rows(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.world.inbox}?mode=ro", uri=True)) as inbox:
            return [row for (row,) in inbox.execute("SELECT produced_at_ns FROM record ORDER BY record_offset")]

    def shipped(self, count):
        return self.world.inbox.exists() and self.world.acknowledged() == count

    def expect_true_times(self):
        rows = self.rows()
        self.assertEqual(len(rows), RECORDS * len(self.times))
        self.assertEqual(rows, sorted(rows), "a lane's times run backwards")
        for batch, (began, ended) in enumerate(self.times):
            of_batch = rows[batch * RECORDS : (batch + 1) * RECORDS]
            self.assertGreaterEqual(of_batch[0], began - SLACK_NS)
            self.assertLessEqual(of_batch[-1], ended + SLACK_NS)

    def test_what_was_shipped_before_the_clock_was_set_is_corrected(self):
        self.connect()
        self.produce(0)
        wait_until(lambda: self.shipped(RECORDS), "the drain")
        self.assertEqual([None] * RECORDS, self.rows(), "nothing is made up")
        self.set_clock(0)
        wait_until(lambda: None not in self.rows(), "the correction")
        self.produce(1)
        wait_until(lambda: self.shipped(2 * RECORDS), "the drain")
        self.expect_true_times()

    def test_what_was_spilled_before_the_clock_was_set_has_its_true_time(self):
        self.produce(0)
        self.set_clock(0)
        self.produce(1)
        self.connect()
        wait_until(lambda: self.shipped(2 * RECORDS) and None not in self.rows(), "the drain")
        self.expect_true_times()

    def test_an_agent_killed_in_between_changes_nothing(self):
        self.connect()
        self.produce(0)
        wait_until(lambda: self.shipped(RECORDS), "the drain")
        self.world.agent.kill()
        self.set_clock(0)
        self.world.agent.start()
        self.produce(1)
        wait_until(lambda: self.shipped(2 * RECORDS) and None not in self.rows(), "the drain and the correction")
        self.expect_true_times()


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--wall-clock", type=pathlib.Path, required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
