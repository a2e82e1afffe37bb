"""quota_test.py --bin DIR [--seed S]: what a quota dropped or refused is accounted for to the last record, at both ends.

max_age: the same, for what was dropped for its age.
drop-oldest: rows of the inbox and ranges of its `gap` table together are every record that was enqueued, each once.
reject-new: lanes fill, producers are told, the count of refusals arrives, and all goes on by itself when there is room.
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from check_delivery import expected_check, read_fields  # noqa: E402
from harness import Tally, World, random_source, wait_until  # noqa: E402

ARGUMENTS = None
LATE_TOPIC = "late"  # of the one record that is no producer's
RECORD_BYTES = 1024
MAX_BYTES = 1 << 20


class QuotaWorld(World):
    when_full = "drop-oldest"

    def _write_configs(self, segment_bytes, max_bytes, sync_interval):
        super()._write_configs(segment_bytes, max_bytes, sync_interval)
        text = self.gateway_config.read_text()
        self.gateway_config.write_text(text.replace("[[uplink]]", f'when_full = "{self.when_full}"\ncompress = "never"\n[[uplink]]'))


class AgingWorld(QuotaWorld):
    when_full = 'drop-oldest"\nmax_age = "4s'


class RejectingWorld(QuotaWorld):
    when_full = "reject-new"


class Quota(unittest.TestCase):
    def open_world(self, kind):
        self.world = kind(ARGUMENTS.bin, segment_bytes="128KiB", max_bytes="1MiB", sync_interval="50ms")
        self.addCleanup(self.world.close)
        self.world.link.start()
        self.world.agent.start()
        self.world.wait_ready()
        return self.world

    def produce(self, index, count, rate=8_000, lane_bytes="16MiB", incarnation=0):
        producer = self.world.producer(index, incarnation, rate, lane_bytes, RECORD_BYTES)
        producer.command += ["--count", str(count)]
        return producer.start()

    def finish(self, *producers):
        for producer in producers:
            self.assertEqual(0, producer.process.wait(60), producer.log_tail())

    def lanes_empty(self):
        wait_until(lambda: not self.world.live_lanes(), "the last lane's end")

    def stream(self):
        return wait_until(self.world.status, "a status")["agent"]["streams"][0]

    def stop_agent(self):
        self.assertEqual(0, self.world.agent.stop(), self.world.agent.log_tail())

    def verify(self):
        result = self.world.command("verify", self.world.spill_dir, "--json")
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        return json.loads(result.stdout)["streams"][0]

    def bytes_on_disk(self):
        return sum(path.stat().st_blocks * 512 for path in (self.world.spill_dir / "telemetry").glob("*.spill"))

    def connect(self):
        self.world.consumer.start()
        self.world.uplink.start()

    def inbox(self):
        return contextlib.closing(sqlite3.connect(f"file:{self.world.inbox}?mode=ro", uri=True))

    def ranges(self):
        """(first, next, reason or None) of every row and gap, in offset order, whatever the journal."""
        with self.inbox() as inbox:
            rows = [(offset, offset + 1, None) for (offset,) in inbox.execute("SELECT record_offset FROM record")]
            gaps = inbox.execute("SELECT first_offset, next_offset, reason FROM gap").fetchall()
        return sorted(rows + gaps, key=lambda entry: entry[:2]), gaps

    def assert_every_offset_once(self, total, reasons):
        ranges, gaps = self.ranges()
        at = 0
        for first, following, _ in ranges:
            self.assertEqual(at, first, f"offset {min(at, first)} is {'doubled' if first < at else 'nowhere'}")
            at = following
        self.assertEqual(total, at)
        self.assertEqual(set(reasons), {reason for _, _, reason in gaps})
        return sum(following - first for first, following, _ in gaps)

    def sequences(self):
        """Each producer's sequence numbers in the order of offsets; altered records fail here."""
        found = {}
        with self.inbox() as inbox:
            rows = inbox.execute("SELECT payload FROM record WHERE topic != ? ORDER BY record_offset", [LATE_TOPIC])
            for (payload,) in rows:
                producer, incarnation, sequence, value = read_fields(payload)
                self.assertEqual(expected_check(producer, incarnation, sequence), value)
                found.setdefault((producer, incarnation), []).append(sequence)
        for key, numbers in found.items():
            self.assertEqual(numbers, sorted(set(numbers)), f"producer {key}: doubled or out of order")
        return found

    def tally(self, index, incarnation=0):
        return Tally(self.world.tallies / f"{index}.{incarnation}")


class DropOldest(Quota):
    def test_rows_and_gaps_are_every_record_exactly(self):
        world = self.open_world(QuotaWorld)
        counts = (3_000, 2_000)
        self.finish(*(self.produce(index, count) for index, count in enumerate(counts)))
        self.lanes_empty()
        wait_until(lambda: self.stream()["next_offset"] == sum(counts), "the status")
        stream = self.stream()
        self.assertLessEqual(self.bytes_on_disk(), MAX_BYTES)
        self.assertLessEqual(stream["held_bytes"], MAX_BYTES)
        self.assertEqual(stream["oldest_offset"], stream["dropped_records"])
        self.assertGreater(stream["dropped_records"], sum(counts) // 2)
        self.assertEqual([0, 0], [self.tally(index).rejected for index in range(2)])
        self.stop_agent()
        verified = self.verify()
        self.assertEqual(sum(counts) - stream["dropped_records"], verified["records"])
        world.agent.start()
        self.connect()
        wait_until(lambda: world.acknowledged() == sum(counts), "the drain")
        missing = self.assert_every_offset_once(sum(counts), ["quota"])
        self.assertEqual(stream["dropped_records"], missing)
        self.assertEqual(sum(counts) - missing, sum(map(len, self.sequences().values())))

    def test_with_kills_and_a_consumer_that_comes_and_goes(self):
        world = self.open_world(QuotaWorld)
        chance = random_source(ARGUMENTS.seed)
        self.connect()
        producers = [self.produce(index, 6_000, rate=3_000) for index in range(3)]
        while any(producer.alive() for producer in producers):
            victim = chance.choice((world.consumer, world.consumer, world.uplink, world.agent))
            victim.kill()
            with contextlib.suppress(Exception):
                producers[0].process.wait(chance.uniform(0.05, 0.5))  # the random instant
            victim.start()
            with contextlib.suppress(Exception):
                producers[0].process.wait(chance.uniform(0.0, 0.3))
        self.finish(*producers)
        self.lanes_empty()
        total = 18_000
        wait_until(lambda: world.control()[0] == total and world.acknowledged() == total, "the drain")
        missing = self.assert_every_offset_once(total, {reason for *_, reason in self.ranges()[1]} & {"quota"})
        self.assertEqual(total - missing, sum(map(len, self.sequences().values())))
        print(f"seed {ARGUMENTS.seed}: {missing} of {total} dropped and accounted for", flush=True)


class MaxAge(Quota):
    def test_what_was_too_old_is_in_the_far_ends_gap_table(self):
        world = self.open_world(AgingWorld)
        self.finish(self.produce(0, 300))
        self.lanes_empty()
        began = time.monotonic()
        self.assertEqual(0, self.stream()["oldest_offset"])
        wait_until(lambda: self.stream()["oldest_offset"] == 300, "the drop")
        self.assertGreater(time.monotonic() - began, 2, "it was dropped too young")
        self.assertEqual(300, self.stream()["dropped_records"])
        self.connect()
        wait_until(lambda: world.inbox.exists() and world.acknowledged() == 300, "the gap's acknowledgement")
        self.finish(self.produce(0, 200, incarnation=1))
        wait_until(lambda: world.acknowledged() == 500, "the drain")
        self.assertEqual(300, self.assert_every_offset_once(500, ["age"]))
        self.assertEqual(200, sum(map(len, self.sequences().values())))


class RejectNew(Quota):
    def fill(self):
        """More than quota and lane hold; the producer is told."""
        # More than the quota fits into the lane, however late the agent is.
        producer = self.produce(0, 4_000, lane_bytes="2MiB")
        self.finish(producer)
        refused = self.tally(0).rejected
        self.assertGreater(refused, 0)
        wait_until(lambda: self.stream()["state"] == "full", "the status to say full")
        return refused

    def test_producers_are_told_and_it_recovers_by_itself(self):
        world = self.open_world(RejectingWorld)
        refused = self.fill()
        put = world.command("put", "t", "--queue-dir", world.queue_dir, "--timeout", "0.3", "--lane-bytes", "16384",
                            "--max-record-bytes", "4096", input=("x" * 1000 + "\n") * 200)  # fmt: skip
        self.assertEqual(1, put.returncode, put.stderr)
        self.assertEqual(1, len(put.stderr.strip().splitlines()), put.stderr)
        self.assertIn("full", put.stderr)
        accepted = int(put.stdout.split()[1])
        text = world.command("status", "--config", world.gateway_config).stdout
        self.assertIn("full", text)
        self.assertLessEqual(self.bytes_on_disk(), MAX_BYTES)
        self.connect()
        self.lanes_empty()
        total = 4_000 - refused + accepted
        wait_until(lambda: world.control()[0] == total and world.acknowledged() == total, "the drain")
        self.assertEqual(0, self.assert_every_offset_once(total, []))
        with self.inbox() as inbox:
            lanes = dict(inbox.execute("SELECT topic, rejected FROM lane"))
        self.assertEqual(refused, lanes["demo/producer/0"])
        self.assertGreaterEqual(lanes["t"], 1)
        # And there is room again, with nobody's help.
        self.finish(self.produce(0, 500, incarnation=1))
        self.assertEqual(0, self.tally(0, 1).rejected)
        wait_until(lambda: world.acknowledged() == total + 500, "the records after it")
        wait_until(lambda: self.stream()["state"] == "ok", "the status to say so")

    def starts_and_takes_nothing(self):
        """One segment is kept in reserve for the new journal; records must not take it."""
        world = self.world
        world.wait_ready()
        spilled = world.control()[0]
        put = world.command("put", LATE_TOPIC, "--queue-dir", world.queue_dir, "--level", "process-safe", "--timeout", "1",
                            input="x\n")  # fmt: skip
        self.assertEqual(1, put.returncode, put.stderr)
        wait_until(lambda: self.stream()["state"] == "full", "the status to say full")
        self.assertEqual(spilled, world.control()[0])
        self.assertLessEqual(self.bytes_on_disk(), MAX_BYTES)

    def restarted_while_full(self, lose_queue):
        world = self.open_world(RejectingWorld)
        refused = self.fill()
        world.agent.kill()
        if lose_queue:
            # As at power loss: memory is gone. What the lanes held was never called safe.
            shutil.rmtree(world.queue_dir)
        world.agent.start()
        if lose_queue:
            self.starts_and_takes_nothing()
        self.connect()
        self.lanes_empty()
        wait_until(lambda: world.acknowledged() == world.control()[0], "the drain")
        total = world.control()[0]
        if not lose_queue:
            self.assertEqual(4_000 - refused, total)
        self.finish(self.produce(0, 500, incarnation=1))
        wait_until(lambda: world.acknowledged() == total + 500, "the records after it")
        self.assertEqual(0, self.assert_every_offset_once(total + 500, []))
        self.sequences()

    def test_an_agent_killed_while_full_goes_on(self):
        self.restarted_while_full(lose_queue=False)

    def test_power_lost_while_full_goes_on(self):
        self.restarted_while_full(lose_queue=True)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--seed", type=int, default=1)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
