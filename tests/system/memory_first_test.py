"""memory_first_test.py --bin DIR: a stream that stands in memory writes nothing to the flash, and loses nothing.

The spill lives on an ext4 file system of its own, so that its device counts what reaches it; queue directory (tmpfs) and
inbox are elsewhere. Judged by the kernel's counters, by the files that stand where, and by the oracle of check_delivery.py.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from check_delivery import broken_promises, check  # noqa: E402
from harness import World, wait_until  # noqa: E402
from loop_disk import Disk, missing_means  # noqa: E402

ARGUMENTS = None
SEGMENT_BYTES, MEMORY_BYTES = 256 << 10, 1 << 20
SECTOR_BYTES = 512
STREAM_KEYS = f'placement = "memory-first"\nmemory_bytes = "{MEMORY_BYTES}"\ncompress = "never"'
MOVES_KILLED = 4


def written_bytes(daemon):
    """What the kernel says this process has caused to be written to any block device."""
    text = pathlib.Path(f"/proc/{daemon.process.pid}/io").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("write_bytes"))


def device_of(mount_point):
    lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    device = next(line.split()[0] for line in lines if line.split()[1] == str(mount_point))
    return pathlib.Path(device).name


def device_bytes(device):
    return int(pathlib.Path(f"/sys/block/{device}/stat").read_text().split()[6]) * SECTOR_BYTES


class MemoryFirst(unittest.TestCase):
    def setUp(self):
        if reason := missing_means():
            self.skipTest(reason)
        if not os.access("/dev/shm", os.W_OK):
            self.skipTest("needs a tmpfs at /dev/shm")
        folder = tempfile.TemporaryDirectory(prefix="spillway-flash-", dir="/dev/shm")
        self.addCleanup(folder.cleanup)
        self.world = World(ARGUMENTS.bin, segment_bytes=SEGMENT_BYTES, max_bytes="32MiB", stream_keys=STREAM_KEYS)
        self.addCleanup(self.world.close)
        try:
            self.disk = Disk(f"{folder.name}/disk.img", self.world.spill_dir)
        except OSError as error:
            self.skipTest(f"no loop-mounted ext4 here: {error}")
        self.addCleanup(self.disk.close)
        self.addCleanup(self.kill_all)
        self.world.consumer.start()

    def kill_all(self):
        for daemon in (*self.world.producers, self.world.agent, self.world.uplink):
            daemon.kill()

    def start_gateway(self):
        self.world.agent.start()
        self.world.wait_ready()
        self.world.uplink.start()

    def start_producers(self, *rates, record_bytes=256):
        return [self.world.producer(index, 0, rate, record_bytes=record_bytes).start() for index, rate in enumerate(rates)]

    def stop_producers(self):
        wait_until(lambda: all((self.world.tallies / p.name.removeprefix("producer-")).exists() for p in self.world.producers),
                   "the producers' start")  # fmt: skip
        for producer in self.world.producers:
            if producer.alive():
                self.assertEqual(0, producer.stop(), producer.log_tail())

    def stream(self):
        return wait_until(lambda: (self.world.status() or {}).get("agent"), "a status")["streams"][0]

    def wait_for_place(self, place):
        wait_until(lambda: self.stream()["place"] == place, f"the stream in {place}")

    def segments(self, place):
        return sorted(place.glob("*-*.spill"))

    def in_memory(self):
        places = self.world.places()
        return self.segments(places[1]) if len(places) == 2 else []

    def on_disk(self):
        return self.segments(self.world.places()[0])

    def counters(self):
        return (written_bytes(self.world.agent), written_bytes(self.world.uplink), device_bytes(self.device))

    def settle(self):
        """The file system has written what is left of the start: its counter has stood still for a commit interval."""
        device = device_bytes(self.device)
        since = time.monotonic()

        def stands_still():
            nonlocal device, since
            if device_bytes(self.device) != device:
                device, since = device_bytes(self.device), time.monotonic()
            return time.monotonic() - since > 6

        wait_until(stands_still, "the file system to come to rest", pause_s=0.2)

    def judge_all_delivered(self):
        self.stop_producers()
        wait_until(self.world.drained, "the drain")
        report = check(self.world.inbox, self.world.tallies, {})
        self.assertEqual([], broken_promises(report), json.dumps(report))
        self.assertGreater(report["delivered"], 0)
        return report

    def test_while_the_link_keeps_up_not_one_byte_goes_to_the_flash(self):
        self.world.link.start()
        self.start_gateway()
        self.start_producers(1_000, 2_000)
        wait_until(lambda: self.world.acknowledged() > 1_000, "the first acknowledgements")
        self.wait_for_place("memory")
        self.device = device_of(self.world.spill_dir)
        self.settle()
        before, first, newest = self.counters(), self.world.acknowledged(), self.in_memory()[-1].name
        time.sleep(ARGUMENTS.seconds)  # under load; what is measured is that nothing happens
        after, last = self.counters(), self.world.acknowledged()
        self.assertEqual(before, after, "bytes written by the agent, by the uplink, and to the device")
        self.assertGreater(last - first, 1_000 * ARGUMENTS.seconds, "records were delivered meanwhile")
        self.assertGreater(self.in_memory()[-1].name, newest, "segments came and went meanwhile")
        self.assertEqual([], self.on_disk())
        stream = self.stream()
        self.assertEqual(("memory-first", "memory"), (stream["placement"], stream["place"]))
        self.assertLessEqual(stream["memory_bytes"], MEMORY_BYTES)
        verified = self.world.command("verify", self.world.spill_dir, "--json")
        self.assertEqual(0, verified.returncode, verified.stdout + verified.stderr)
        shown = self.world.command("tail", "telemetry", "--count", 1, "--json", "--config", self.world.gateway_config)
        self.assertEqual(0, shown.returncode, shown.stderr)
        self.assertIn("offset", shown.stdout)
        self.judge_all_delivered()
        print(f"{last - first} records delivered in {ARGUMENTS.seconds} s: 0 bytes written by agent, uplink and device")

    def test_a_backlog_moves_to_the_flash_and_the_stream_comes_back_when_it_is_delivered(self):
        self.world.link.start()
        self.start_gateway()
        self.start_producers(2_000)
        wait_until(lambda: self.world.acknowledged() > 500, "the first acknowledgements")
        for _ in range(2):
            self.wait_for_place("memory")
            self.world.link.kill()
            self.wait_for_place("disk")
            self.assertEqual([], self.in_memory())
            self.assertNotEqual([], self.on_disk())
            wait_until(lambda: self.world.control()[1] > 0, "power-safe records")
            self.world.link.start()
            self.wait_for_place("memory")
            wait_until(lambda: not self.on_disk(), "the flash without segments")
        self.judge_all_delivered()

    def test_a_clean_stop_moves_everything_to_the_flash(self):
        self.start_gateway()
        self.start_producers(2_000)
        wait_until(lambda: self.world.control()[0] > 1_000, "records in the spill")
        self.stop_producers()
        wait_until(lambda: not self.world.live_lanes(), "the lanes' end")
        self.assertEqual([], self.on_disk())
        total = self.world.control()[0]
        self.assertEqual(0, self.world.agent.stop(), self.world.agent.log_tail())
        self.world.uplink.stop()
        self.assertEqual([], self.in_memory())
        verified = json.loads(self.world.command("verify", self.world.spill_dir, "--json").stdout)
        self.assertTrue(verified["ok"])
        self.assertEqual(total, verified["streams"][0]["records"])
        # The power goes, and the memory with it.
        self.disk.lose_power()
        self.disk.unmount()
        shutil.rmtree(self.world.queue_dir)
        self.disk.mount()
        self.start_gateway()
        self.world.link.start()
        self.judge_all_delivered()

    def test_a_card_that_fails_every_call_does_not_stop_the_delivery(self):
        self.world.link.start()
        self.start_gateway()
        self.start_producers(1_000)
        self.wait_for_place("memory")
        wait_until(lambda: self.world.acknowledged() > 500, "the first acknowledgements")
        wait_until(lambda: not self.on_disk(), "the flash without segments")
        memory = self.world.places()[1]

        def acknowledged():
            return World._cursor_in(memory)[1]

        def goes_on(records):
            first, newest = acknowledged(), self.segments(memory)[-1].name
            wait_until(lambda: acknowledged() > first + records, f"{records} more from {first}; {self.stream()}\n"
                       f"{self.world.agent.log_tail()}\n{self.world.uplink.log_tail()}", 30)  # fmt: skip
            return newest

        self.disk.lose_power()
        newest = goes_on(4_000)  # more than memory_bytes
        self.assertGreater(self.segments(memory)[-1].name, newest, "segments came and went meanwhile")
        self.assertLessEqual(self.stream()["memory_bytes"], MEMORY_BYTES)
        self.world.link.kill()
        wait_until(lambda: self.world.backlog_of(memory) > 200, "a backlog")
        self.world.link.start()  # a new session, on the dead card
        goes_on(2_000)
        status = self.world.status()["agent"]
        self.assertEqual(("open", 0), (status["spill"]["state"], status["spill"]["releases"]))
        self.disk.unmount(lazily=True)
        wait_until(lambda: not self.disk.in_use(), "agent and uplink to let go of the card", 30)
        self.disk.check()
        self.disk.mount()
        wait_until(lambda: self.world.status()["agent"]["spill"]["state"] == "open", "the spill", 30)
        goes_on(1_000)
        self.judge_all_delivered()

    def test_an_agent_killed_in_mid_move_leaves_nothing_out(self):
        self.start_gateway()
        # What is under way to the far end is less than half of memory_bytes: only then is there a way back.
        self.start_producers(1_000, record_bytes=1_000)
        moves = 0
        while moves < MOVES_KILLED:
            self.wait_for_place("memory")
            draft = self.world.spill_dir / "telemetry" / "move.spill"
            # Whatever step of a move it meets: a draft, a copy beside what is still in memory, the new segment.
            wait_until(lambda: draft.exists() or self.on_disk(), "a move", pause_s=0.0005)
            time.sleep(0.002 * moves)
            self.world.agent.kill()
            moves += 1
            self.world.agent.start()
            wait_until(lambda: self.stream()["place"] == "disk", "the move after the kill")
            self.assertEqual([], self.in_memory())
            self.world.link.start()
            wait_until(lambda: self.stream()["place"] == "memory" and not self.on_disk(), "the way back")
            self.world.link.kill()
        self.world.link.start()
        self.judge_all_delivered()


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--seconds", type=int, default=8, help="how long nothing is to be written")
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
