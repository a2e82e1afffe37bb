"""schema_way_test.py --bin DIR: a producer's schema reaches the inbox, byte for byte, by the way its records go.

The link is cut meanwhile and the segments roll, the agent is restarted with the queue's copy of the schema gone: a session
that begins later, at a later segment, tells it all the same.
"""

import argparse
import contextlib
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None


class SchemaWay(unittest.TestCase):
    def setUp(self):
        self.world = World(ARGUMENTS.bin, segment_bytes="96KiB", max_bytes="4MiB", sync_interval="20ms")
        self.addCleanup(self.world.close)
        self.schema = self.world.root / "point.fbs"
        self.schema.write_text("table Point { x:int; note:string; } root_type Point;")
        subprocess.run(["flatc", "-b", "--schema", "-o", self.world.root, self.schema], check=True)
        self.bfbs = (self.world.root / "point.bfbs").read_bytes()

    def put(self, first, count):
        """Records of about 4 KB, so that a few make a segment."""
        text = "".join('{"x": %d, "note": "%s"}' % (x, "n" * 4000) for x in range(first, first + count))
        put = subprocess.run(
            [self.world.binaries / "spillway", "put", "p", "--queue-dir", self.world.queue_dir, "--input", "json",
             "--schema", self.world.root / "point.bfbs", "--name", "p", "--level", "power-safe"],
            input=text, text=True, capture_output=True, check=False)  # fmt: skip
        self.assertEqual(put.returncode, 0, put.stderr)

    def rows(self, question):
        with contextlib.closing(sqlite3.connect(f"file:{self.world.inbox}?mode=ro", uri=True)) as inbox:
            with contextlib.suppress(sqlite3.OperationalError):
                return inbox.execute(question).fetchall()
        return []

    def arrived(self, count):
        if not self.world.inbox.exists():
            return False
        return self.rows("SELECT count(*) FROM record") == [(count,)]

    def test_it_arrives_and_each_record_names_it(self):
        world = self.world
        world.link.start()
        world.agent.start()
        world.wait_ready()
        self.put(0, 60)
        world.agent.stop()
        shutil.rmtree(world.queue_dir / "schemas")
        world.agent.start()
        world.wait_ready()
        self.put(60, 40)
        self.assertGreater(len(list((world.spill_dir / "telemetry").glob("*.spill"))), 3)
        world.consumer.start()
        world.uplink.start()
        wait_until(lambda: self.arrived(100), "a hundred rows")
        told = self.rows("SELECT fingerprint, bfbs FROM schema")
        self.assertEqual([bytes(bfbs) for _, bfbs in told], [self.bfbs])
        self.assertEqual(
            self.rows("SELECT count(*), schema_fingerprint FROM record GROUP BY 2"), [(100, told[0][0])])
        # A new session, from where the one before ended, into an inbox that has lost its schemas.
        world.uplink.kill()
        with contextlib.closing(sqlite3.connect(world.inbox)) as inbox, inbox:
            inbox.execute("DELETE FROM schema")
        world.uplink.start()
        self.put(100, 40)
        wait_until(lambda: self.arrived(140), "the rest of the rows")
        self.assertEqual(self.rows("SELECT fingerprint, bfbs FROM schema"), told)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
