#!/usr/bin/env python3
"""nats_way_test.py --bin DIR: gateway, a real NATS JetStream, two consumers that share one durable, one inbox."""

import argparse
import contextlib
import os
import pathlib
import sqlite3
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from engine_tests import EngineMissing, main  # noqa: E402
from harness import wait_until  # noqa: E402
from nats_server import PROGRAM, NatsReader, NatsServer  # noqa: E402
from sink_world import SinkWorld, holds  # noqa: E402


class NatsWay(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillway-nats-")
        self.addCleanup(folder.cleanup)
        self.server = NatsServer(folder.name).start()
        self.addCleanup(self.server.kill)
        self.world = SinkWorld(ARGUMENTS.bin, self.server.url)
        self.addCleanup(self.world.close)
        done = self.world.command("sink", "setup", "cloud", "--config", self.world.gateway_config)
        self.assertEqual(0, done.returncode, done.stderr)

    def consumer(self, name):
        config = self.world.root / f"{name}.toml"
        config.write_text(f'[consumer]\ninbox = "sqlite:{self.world.inbox}"\n[[consumer.source]]\nurl = "{self.server.url}"\n'
                          'ack_wait = "2s"\n')  # fmt: skip
        daemon = self.world.daemon(name, "spillway-consumer", "--config", config)
        self.addCleanup(daemon.kill)
        daemon.start()
        return daemon

    def rows(self, sql):
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(sqlite3.connect(f"file:{self.world.inbox}?mode=ro", uri=True, timeout=5)) as inbox:
                return inbox.execute(sql).fetchall()
        return []

    def test_every_record_once_in_the_inbox_whatever_is_killed(self):
        world = self.world.start()
        consumers = [self.consumer("one"), self.consumer("two")]
        for kills in range(8):
            world.put_some(2)
            victim = (consumers[0], world.uplink, consumers[1], self.server)[kills % 4]
            victim.kill()
            world.put_some(1)
            victim.start()
        total = world.records_put()
        wait_until(lambda: self.rows("SELECT count(*) FROM record") == [(total,)],
                   f"{total} rows; {consumers[0].log_tail()}\n{consumers[1].log_tail()}", 90)  # fmt: skip
        for topic, lines in world.put_lines.items():
            payloads = [row for (row,) in self.rows(f"SELECT payload FROM record WHERE topic = '{topic}' ORDER BY record_offset")]
            self.assertEqual(len(lines), len(payloads))
            self.assertTrue(all(map(holds, payloads, lines)), topic)
        wait_until(lambda: self.rows("SELECT next_offset FROM position") == [(total,)], "the position behind the last record", 30)
        self.assertEqual([], self.rows("SELECT * FROM gap"))
        wait_until(lambda: self.unacknowledged() == 0, "everything acknowledged in the stream", 30)

    def unacknowledged(self):
        reader = NatsReader(self.server.port)
        try:
            info = reader.ask("$JS.API.CONSUMER.INFO.SPILLWAY.spillway", None)
            return info["num_ack_pending"] + info["num_pending"]
        finally:
            reader.close()


def have_nats():
    if not os.access(PROGRAM, os.X_OK):
        raise EngineMissing(f"{PROGRAM} is not installed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    main("NATS, the whole way", rest, have_nats)
