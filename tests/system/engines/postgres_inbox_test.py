"""The inbox in PostgreSQL, with a real server: a real gateway's native link into two consumers on one database, kills of either
consumer and of the server in mid-stream; and the unit suite that needs a server."""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from engine_tests import main
from postgres_server import PostgresServer

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from harness import World, wait_until  # noqa: E402

BINARIES = None
RECORDS = 20_000


class PostgresInbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="spillway-postgres-")
        os.chmod(cls.directory.name, 0o755)
        cls.server = PostgresServer(pathlib.Path(cls.directory.name) / "server").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.directory.cleanup()

    def world(self, database):
        """A gateway whose link two consumers share: the second listens where the first does not any more."""
        world = World(BINARIES)
        self.addCleanup(world.close)
        url = self.server.create_database(database)
        world.consumer_config.write_text(f'[consumer]\nlisten = "ws://127.0.0.1:{world.consumer_port}"\ninbox = "{url}"\n')
        other = world.root / "other.toml"
        other.write_text(f'[consumer]\nlisten = "ws://127.0.0.1:{world.link_port}"\ninbox = "{url}"\n')
        config = world.gateway_config.read_text()
        link = '[[uplink.link]]\nname = "link-{0}"\nurl = "ws://127.0.0.1:{0}"\n'
        main_url = f'url = "ws://127.0.0.1:{world.link_port}"\n'
        config = config.replace(main_url, "") + link.format(world.consumer_port) + link.format(world.link_port)
        world.gateway_config.write_text(config)
        world.other = world.daemon("other", "spillway-consumer", "--config", other)
        self.addCleanup(world.other.kill)
        return world

    def count(self, database, sql="SELECT count(*) FROM record"):
        try:
            return int(self.server.ask(sql, database)[0][0])
        except RuntimeError:
            return 0  # the server is down, or the tables are not made yet

    def put(self, world, first, count):
        lines = "".join(f"record {number}\n" for number in range(first, first + count))
        result = world.command("put", "test/numbers", "--queue-dir", world.queue_dir, "--input", "lines", input=lines)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_kills_of_consumers_and_server_in_mid_stream_lose_and_double_nothing(self):
        world = self.world("kills")
        for daemon in (world.agent, world.consumer, world.other):
            daemon.start()
        world.wait_ready()
        world.uplink.start()
        step = RECORDS // 5
        victims = [world.consumer.kill, self.server.kill, world.other.kill, self.server.kill]
        revive = [world.consumer.start, self.server.start, world.other.start, self.server.start]
        for turn in range(5):
            self.put(world, turn * step, step)
            if turn == 4:
                break
            wait_until(lambda turn=turn: self.count("kills") > turn * step, "records of this turn to arrive")
            victims[turn]()
            revive[turn]()
        wait_until(lambda: self.count("kills") >= RECORDS, "all records", 120, 0.2)
        wait_until(lambda: world.drained() == RECORDS, "the gateway to know")
        distinct = "SELECT count(DISTINCT payload) FROM record"
        self.assertEqual((self.count("kills"), self.count("kills", distinct)), (RECORDS, RECORDS))
        order = "SELECT count(*) FROM record WHERE convert_from(payload, 'UTF8') <> 'record ' || record_offset"
        self.assertEqual(self.count("kills", order), 0)
        self.assertEqual(self.server.ask("SELECT next_offset, beyond FROM position", "kills"), [[str(RECORDS), "0"]])
        self.assertEqual(self.count("kills", "SELECT sum(records) FROM lane"), RECORDS)
        for daemon in (world.uplink, world.consumer, world.other):
            self.assertEqual(daemon.stop(), 0, daemon.log_tail())

    def test_a_consumer_that_starts_before_its_server_waits_for_it_and_the_tools_work(self):
        world = self.world("waits")
        self.server.kill()
        world.consumer.start()
        world.agent.start()
        world.wait_ready()
        self.put(world, 0, 100)
        wait_until(lambda: "tried again" in world.consumer.log_tail(), "the consumer to say that it waits")
        self.server.start()
        world.uplink.start()
        wait_until(lambda: self.count("waits") == 100, "the records", pause_s=0.2)

        def listed():
            return subprocess.run([BINARIES / "spillway-consumer", "gateway", "list", "--config", world.consumer_config],
                                  capture_output=True, text=True, check=True, timeout=30).stdout  # fmt: skip

        wait_until(lambda: "demo/gateway" in listed(), "the gateway's row, which follows its records'")
        dead = subprocess.run([BINARIES / "spillway-consumer", "dead", "list", "--config", world.consumer_config],
                              capture_output=True, text=True, check=True, timeout=30).stdout  # fmt: skip
        self.assertEqual(dead, "no dead record\n")
        self.assertEqual(world.consumer.stop(), 0)

    def test_what_is_wrong_with_the_database_is_said_at_start_and_touches_nothing(self):
        self.server.create_database("theirs")
        self.server.ask("CREATE TABLE record(x int)", "theirs")
        self.server.create_database("newer")
        self.server.ask("CREATE TABLE spillway_inbox(version bigint); INSERT INTO spillway_inbox VALUES(99)", "newer")
        for database, words in (("theirs", "something else"), ("newer", "update the consumer"), ("nowhere", "does not exist")):
            with tempfile.TemporaryDirectory() as folder:
                config = pathlib.Path(folder) / "consumer.toml"
                config.write_text(f'[consumer]\nlisten = "ws://127.0.0.1:0"\ninbox = "{self.server.url(database)}"\n')
                with subprocess.Popen([BINARIES / "spillway-consumer", "--config", config], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True) as process:  # fmt: skip
                    output = ""
                    end = time.monotonic() + 30
                    while words not in output and time.monotonic() < end:
                        line = process.stdout.readline()
                        if not line:
                            break
                        output += line
                    process.kill()
                self.assertIn(words, output)
        self.assertEqual(self.server.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "theirs"), [["1"]])

    def test_unit_suite_against_a_server(self):
        url = self.server.create_database("unit")
        result = subprocess.run([BINARIES / "postgres_loose_test"], env={**os.environ, "SPILLWAY_POSTGRES_URL": url},
                                capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stdout[-8000:] + result.stderr[-2000:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    options, rest = parser.parse_known_args()
    BINARIES = pathlib.Path(options.bin).resolve()
    main("postgres inbox", rest)
