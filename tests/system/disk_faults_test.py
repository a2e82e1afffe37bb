"""disk_faults_test.py --bin DIR --failing-disk FILE: the disk fails under a running agent, and works again.

The agent is never restarted; what it says of the disk while the fault lasts, and counts of it after, is read as a person and
as a metrics collector would; what reaches the consumer is judged from outside.
"""

import os
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fault_world import EIO, GATEWAY_NAME, FaultTest, main  # noqa: E402
from harness import wait_until  # noqa: E402


class FailingCallsTest(FaultTest):
    def setUp(self):
        self.open_world()
        self.calls = self.fail_calls()
        self.start()

    def fails_and_recovers(self, word, **fault):
        first = self.produce(4_000, rate=1_000)  # longer than the status takes to tell
        wait_until(lambda: self.stream()["next_offset"] > 0, "the first records")
        self.calls.set(**fault)
        self.wait_stream(lambda stream: stream["state"] == "failed", "the status to say so")
        self.assertIn(word, self.stream()["fault"])
        self.assertIn("FAULT", self.text())
        self.assertEqual(1, self.metric("spillway_stream_failed", stream="telemetry"))
        self.assertEqual(1, self.put("power-safe"), "told power-safe while nothing can be")
        second = self.produce(2_000, index=1)
        self.finish(first)
        self.finish(second)
        self.wait_spill("waiting")  # it has let go of its files; records stay in their lanes
        self.assertIn("NOT OPEN", self.text())
        self.assertEqual(0, self.metric("spillway_spill_open"))
        self.assertGreater(self.calls.failed(), 0)
        self.calls.set()
        self.wait_spill("open")
        self.wait_stream(lambda stream: stream["state"] == "ok", "the status to say that it works")
        self.assertEqual(0, self.put("power-safe", "10"))
        self.wait_delivered()
        self.assertNotIn("FAULT", self.text())
        self.assertEqual(1, self.metric("spillway_spill_releases_total"))
        self.same_agent()

    def test_metrics_say_who_it_is(self):
        self.assertEqual(1, self.metric("spillway_gateway_info", name=GATEWAY_NAME))
        self.assertEqual(1, self.metric("spillway_agent_up"))

    def test_syncs_fail(self):
        self.fails_and_recovers("sync failed", sync=EIO)
        self.assertGreater(self.metric("spillway_stream_sync_failures_total", stream="telemetry"), 0)
        self.assertEqual([], self.gaps())

    def test_writes_fail(self):
        self.fails_and_recovers("Input/output error", write=EIO)
        self.assertGreater(self.metric("spillway_stream_write_failures_total", stream="telemetry"), 0)
        self.assertEqual([], self.gaps())

    def test_one_sync_fails(self):
        """What was not synced is written again at once, with nobody's help and no file let go of."""
        producer = self.produce(4_000, rate=1_000)
        wait_until(lambda: self.stream()["next_offset"] > 0, "the first records")
        self.calls.set(sync=EIO)
        self.wait_stream(lambda stream: stream["faults"]["sync_failures"] > 0, "a sync to fail")
        self.calls.set()
        self.wait_stream(lambda stream: stream["state"] == "ok" and stream["faults"]["rewrites"] > 0, "the records to be written again")
        self.finish(producer)
        self.assertEqual(0, self.put("power-safe", "10"))
        self.wait_delivered()
        self.assertEqual(0, self.metric("spillway_spill_releases_total"))
        self.assertEqual([], self.gaps())
        self.same_agent()


class DiskFull(FaultTest):
    def fill(self):
        """Another process' file takes all the room there is."""
        with open(self.world.spill_dir / "somebody-elses", "wb", buffering=0) as file:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    def fills_up(self, when_full):
        # Without a link nothing is freed by acknowledgement; the quota is far away.
        self.open_world(disk_bytes=16 << 20, stream=f'when_full = "{when_full}"')
        self.start(linked=False)
        self.finish(self.produce(2_000))
        self.wait_stream(lambda stream: stream["next_offset"] >= 2_000, "the first records")
        self.fill()
        producer = self.produce(8_000, index=1, rate=8_000)
        self.wait_stream(lambda stream: stream["disk_full"], "the status to say that the disk is full")
        self.finish(producer)
        return producer

    def freed(self):
        os.remove(self.world.spill_dir / "somebody-elses")
        self.wait_stream(lambda stream: stream["state"] == "ok" and not stream["disk_full"], "the room to be seen")
        self.world.uplink.start()
        self.assertEqual(0, self.put("power-safe", "10"))
        self.assertEqual(0, self.metric("spillway_stream_disk_full", stream="telemetry"))
        self.assertGreater(self.metric("spillway_stream_disk_full_events_total", stream="telemetry"), 0)
        self.same_agent()

    def test_reject_new_waits_in_the_lanes(self):
        self.fills_up("reject-new")
        self.wait_stream(lambda stream: stream["state"] == "full", "full")
        self.assertIn("no room", self.text())
        self.assertEqual(1, self.metric("spillway_stream_full", stream="telemetry"))
        self.assertEqual(1, self.metric("spillway_stream_disk_full", stream="telemetry"))
        log = self.world.agent.log_path.read_text()
        self.assertLess(log.count("No space left"), 20, "a flood in the log")
        self.freed()
        self.wait_delivered()
        self.assertEqual([], self.gaps())

    def test_drop_oldest_gives_up_the_oldest_exactly(self):
        self.fills_up("drop-oldest")
        self.wait_stream(lambda stream: stream["next_offset"] >= 10_000 and stream["dropped_records"] > 0, "the drop")
        self.freed()
        wait_until(lambda: sum(map(len, self.missing().values())) == sum(b - a for a, b, _ in self.gaps()) > 0, "the drain", 30, 0.1)
        self.assertEqual({"quota"}, {reason for *_, reason in self.gaps()})


class DeadDisk(FaultTest):
    """Every call fails, or every write does, until the card is unmounted, checked and mounted again."""

    def dies(self, die):
        self.open_world()
        self.start()
        self.finish(self.produce(2_000))
        self.wait_delivered()
        die(self)
        producer = self.produce(2_000, index=1)
        self.wait_stream(lambda stream: stream["state"] in ("failed", "none"), "the status to say so")
        self.wait_spill("waiting")
        self.finish(producer)

    def comes_back(self):
        self.disk.unmount(lazily=True)
        wait_until(lambda: not self.disk.in_use(), "agent and uplink to let go of the card", 20)
        wait_until(lambda: "no longer mounted" in self.text(), "the status to say what is missing")
        self.assertFalse((self.world.spill_dir / "telemetry").exists(), "records below the mount point")
        self.disk.check()
        self.disk.mount()
        self.wait_spill("open")
        self.assertEqual(0, self.put("power-safe", "10"))
        wait_until(lambda: sum(map(len, self.missing().values())) <= sum(b - a for a, b, _ in self.gaps()), "the drain", 30, 0.1)
        self.assertEqual(0, len(self.missing()[0, 0]))
        self.same_agent()

    def test_it_becomes_read_only(self):
        self.dies(lambda test: test.disk.meet_an_error())
        self.assertEqual(1, self.metric("spillway_spill_read_only"))
        self.assertIn("takes no writes", self.text())
        self.comes_back()
        self.assertEqual(0, self.metric("spillway_spill_read_only"))

    def test_it_answers_nothing(self):
        self.dies(lambda test: test.disk.lose_power())
        self.comes_back()


ASIDE = """[[stream]]
name = "aside"
topics = ["other"]
sync_interval = "50ms"
max_bytes = "8MiB"

"""


class OneStreamFails(FaultTest):
    """A fault that befalls one of two streams on a good disk: the other drains, and is delivered, as if nothing were."""

    def setUp(self):
        self.open_world()
        config = self.world.gateway_config
        text = config.read_text().replace('[[stream]]\nname = "telemetry"', ASIDE + '[[stream]]\nname = "telemetry"')
        config.write_text(text.replace('streams = ["telemetry"]', 'streams = ["aside", "telemetry"]'))
        self.aside = self.world.spill_dir / "aside"
        self.others = 0

    def named(self, name):
        return next((stream for stream in self.agent()["streams"] if stream["name"] == name), None)

    def wait_aside(self, state):
        wait_until(lambda: (self.named("aside") or {}).get("state") == state, f"the one stream to be {state}; {self.named('aside')}", 30)

    def put_aside(self, expected, seconds="10"):
        self.others += 1
        self.assertEqual(expected, self.put("power-safe", seconds))

    def wait_others(self):
        def count():
            with self.inbox() as inbox:
                return inbox.execute("SELECT count(*) FROM record WHERE topic = 'other'").fetchone()[0]

        wait_until(lambda: count() == self.others, f"{self.others} records of the one stream, not {count()}", 30, 0.1)

    def break_it(self):
        self.aside.rename(self.aside.with_name("elsewhere"))
        self.aside.write_text("no directory")

    def mend_it(self):
        self.aside.unlink()
        self.aside.with_name("elsewhere").rename(self.aside)

    def test_its_directory_is_none_any_more(self):
        self.start()
        producer = self.produce(8_000, rate=1_000)
        self.put_aside(0)
        self.wait_others()
        journal = self.named("telemetry")["journal"]
        self.break_it()
        self.wait_aside("failed")
        before = self.named("telemetry")["next_offset"]
        self.put_aside(1, "1")
        wait_until(lambda: self.named("telemetry")["next_offset"] > before + 500, "the other stream to drain on", 5)
        self.assertEqual("open", self.agent()["spill"]["state"])
        self.assertIn("aside: it is not open", self.text())
        self.assertEqual(1, self.metric("spillway_stream_failed", stream="aside"))
        self.assertEqual(0, self.metric("spillway_stream_failed", stream="telemetry"))
        self.finish(producer)
        self.wait_delivered()  # while the one stream is away
        self.finish(self.produce(1_000, index=1))
        self.wait_delivered()
        self.mend_it()
        self.wait_aside("ok")
        self.put_aside(0)
        self.wait_others()
        self.assertEqual([], self.gaps())
        self.assertEqual(journal, self.named("telemetry")["journal"])
        self.assertEqual(1, self.metric("spillway_spill_releases_total"))
        self.same_agent()

    def test_it_does_not_open_at_the_start(self):
        self.start()
        self.put_aside(0)
        self.wait_others()
        self.assertEqual(0, self.world.agent.stop(), self.world.agent.log_tail())
        self.break_it()
        self.world.agent.start()
        self.wait_aside("failed")
        self.finish(self.produce(1_000))
        self.wait_delivered()
        self.mend_it()
        self.put_aside(0)
        self.wait_others()
        self.assertEqual([], self.gaps())

    def test_its_directory_is_removed(self):
        self.start()
        producer = self.produce(4_000, rate=1_000)
        self.put_aside(0)
        self.wait_others()
        journal = self.named("telemetry")["journal"]
        shutil.rmtree(self.aside)
        wait_until(lambda: self.agent()["spill"]["releases"] == 1, "the loss to be seen")
        self.wait_aside("ok")
        self.assertEqual(1, self.named("aside")["faults"]["journals"]["wiped"])
        self.put_aside(0)
        self.finish(producer)
        self.wait_delivered()
        self.wait_others()
        self.assertEqual(journal, self.named("telemetry")["journal"])
        self.same_agent()


class LostPage(FaultTest):
    def test_a_mapped_page_is_cut_off(self):
        """SIGBUS at the next store into it, were it not contained."""
        self.open_world()
        self.start()
        self.finish(self.produce(500))
        self.wait_delivered()
        os.truncate(self.world.spill_dir / "telemetry" / "control", 0)
        self.finish(self.produce(2_000, index=1))
        self.wait_delivered()
        wait_until(lambda: self.agent()["spill"]["releases"] == 1, "the page to be made anew")
        self.finish(self.produce(500, index=2))
        self.wait_delivered()
        self.assertEqual(4096, (self.world.spill_dir / "telemetry" / "control").stat().st_size)
        self.assertEqual([], self.gaps())
        self.same_agent()


if __name__ == "__main__":
    main()
