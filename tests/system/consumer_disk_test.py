"""consumer_disk_test.py --bin DIR: the inbox's disk is full, while the consumer runs and when it starts.

The consumer stays up, uplinks are asked to come back, and everything goes on by itself when there is room: nothing is lost,
nothing comes twice.
"""

import argparse
import contextlib
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None
RECORDS = 12_000
SMALL, LARGE = "3m", "64m"


class InboxDisk(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillway-inbox-")
        self.addCleanup(folder.cleanup)
        self.disk = pathlib.Path(folder.name) / "disk"
        self.disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", self.disk], capture_output=True).returncode != 0:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=False)
        self.world = World(ARGUMENTS.bin, segment_bytes="1MiB")
        self.addCleanup(self.world.close)
        self.inbox = self.disk / "inbox.db"
        text = self.world.consumer_config.read_text()
        self.world.consumer_config.write_text(text.replace(str(self.world.inbox), str(self.inbox)))

    def start(self):
        for daemon in (self.world.link, self.world.consumer, self.world.agent):
            daemon.start()
        self.world.wait_ready()
        self.world.uplink.start()
        producer = self.world.producer(0, 0, 50_000, "8MiB", 256)
        producer.command += ["--count", str(RECORDS)]
        self.assertEqual(0, producer.start().process.wait(60), producer.log_tail())

    def grow(self):
        subprocess.run(["mount", "-o", f"remount,size={LARGE}", self.disk], check=True)

    def rows(self):
        with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(self.inbox)) as inbox:
            return inbox.execute("SELECT count(*), min(record_offset), max(record_offset) FROM record").fetchone()
        return None

    def wait_told(self, text):
        wait_until(lambda: text in self.world.consumer.log_tail(1000), f"the consumer to say: {text}")
        said = lambda: [u["error"] for u in (self.world.status() or {}).get("uplinks", [])]  # noqa: E731
        wait_until(lambda: any("come back later" in error for error in said()), "the uplink to hear it")
        self.assertTrue(self.world.consumer.alive(), self.world.consumer.log_tail())

    def expect_everything(self):
        try:
            wait_until(lambda: self.rows() == (RECORDS, 0, RECORDS - 1), "all records, once each")
        except TimeoutError:
            self.fail(f"{self.rows()}\n{self.world.consumer.log_tail()}\n{self.world.uplink.log_tail()}")
        self.assertEqual(1, self.world.consumer.starts)
        self.assertTrue(self.world.consumer.alive())

    def test_filled_while_it_runs_it_waits_and_goes_on_when_there_is_room(self):
        self.start()
        self.wait_told("records cannot be taken now")
        self.grow()
        self.expect_everything()

    def test_full_at_the_start_it_waits_and_goes_on_when_there_is_room(self):
        filler = self.disk / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        self.assertEqual(0, shutil.disk_usage(self.disk).free)
        self.start()
        self.wait_told("cannot be opened now and is tried again")
        self.grow()
        filler.unlink()
        self.expect_everything()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
