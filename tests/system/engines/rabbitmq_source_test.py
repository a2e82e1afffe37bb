"""The consumer's RabbitMQ source against a real broker: whatever is killed, doubled, shuffled or rubbish, the inbox has each
record once, and the queue is empty at the end. The messages are published by another client (pika)."""

import argparse
import json
import pathlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import envelopes
import pika
from engine_tests import main
from rabbitmq_server import RabbitmqServer

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from harness import WATCHDOG_S, Daemon, wait_until  # noqa: E402

BINARIES = None
QUEUE = "spillway"
DEAD_QUEUE = "spillway-dead"
RUBBISH = [
    ({}, b"not ours"),
    ({"spillway-kind": "record"}, b"a record of nobody"),
    ({**envelopes.record(1, 5), "spillway-offset": "-1"}, b"x"),
    ({**envelopes.record(1, 5), "spillway-topic": "a/#"}, b"x"),
    ({**envelopes.record(1, 5), "spillway-offset": 5}, b"a number where a text belongs"),
    ({**envelopes.record(1, 5), "spillway-kind": "blocks", "spillway-next-offset": "9", "spillway-salt": "1"}, b"no blocks"),
]


class RabbitmqSource(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="spillway-rabbitmq-source-")
        cls.root = pathlib.Path(cls.directory.name)
        cls.server = RabbitmqServer(cls.root / "broker").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.directory.cleanup()

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        self.inbox = self.folder / "inbox.db"
        self.consumers = []
        self.declare()

    def tearDown(self):
        for consumer in self.consumers:
            consumer.kill()

    # --- the broker's side ---

    def connection(self):
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.server.port, heartbeat=0))

    def declare(self):
        with self.connection() as connection:
            channel = connection.channel()
            for queue in (QUEUE, DEAD_QUEUE):
                channel.queue_delete(queue)
            channel.queue_declare(DEAD_QUEUE, durable=True)
            arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD_QUEUE}
            channel.queue_declare(QUEUE, durable=True, arguments=arguments)

    def publish(self, messages):
        with self.connection() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for headers, payload in messages:
                channel.basic_publish("", QUEUE, payload, pika.BasicProperties(headers=headers, delivery_mode=2), mandatory=True)

    def depth(self, queue):
        with self.connection() as connection:
            return connection.channel().queue_declare(queue, passive=True).method.message_count

    def expect_empty(self):
        """What was out and not acknowledged would be there again: nobody reads any more."""
        wait_until(lambda: self.depth(QUEUE) == 0, "the queue to be empty", 10)

    # --- the consumer's side ---

    def consumer(self, name="consumer", extra="", source=""):
        config = self.folder / f"{name}.toml"
        config.write_text(
            f'[consumer]\ninbox = "sqlite:{self.inbox}"\n{extra}\n[[consumer.source]]\n'
            f'url = "amqp://127.0.0.1:{self.server.port}"\nqueue = "{QUEUE}"\n{source}\n'
        )
        daemon = Daemon(name, [BINARIES / "spillway-consumer", "--config", config], self.folder)
        self.consumers.append(daemon)
        return daemon

    def ask(self, sql):
        with sqlite3.connect(f"file:{self.inbox}?mode=ro", uri=True) as database:
            return database.execute(sql).fetchall()

    def wait_drained(self):
        wait_until(lambda: self.depth(QUEUE) == 0, "the queue to be drained", 3 * WATCHDOG_S, 0.2)

    def expect_all_once(self, gateways, records):
        for gateway in range(1, gateways + 1):
            rows = self.ask(f"SELECT record_offset, payload FROM record WHERE gateway = '{envelopes.ident(gateway)}' ORDER BY 1")
            self.assertEqual([row[0] for row in rows], list(range(records)))
            self.assertTrue(all(payload == f"{gateway}/{offset}".encode() for offset, payload in rows))
        self.assertEqual(self.ask("SELECT DISTINCT next_offset FROM position"), [(records,)])

    @staticmethod
    def storm(gateways, records, seed, window=400):
        chance = random.Random(seed)
        messages = []
        for offset in range(records):
            for gateway in range(1, gateways + 1):
                message = (envelopes.record(gateway, offset, utc_ns=10**18 + offset), f"{gateway}/{offset}".encode())
                messages += [message] * (2 if chance.random() < 0.1 else 1)
        for at in range(len(messages) - 1):
            other = min(len(messages) - 1, at + chance.randrange(window))
            messages[at], messages[other] = messages[other], messages[at]
        return messages

    # --- what it must do ---

    def test_the_example_runs(self):
        example = pathlib.Path(__file__).resolve().parents[3] / "examples/rabbitmq/run.sh"
        done = subprocess.run([example, BINARIES, f"127.0.0.1:{self.server.port}"], capture_output=True, text=True, timeout=200, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("inbox has 1000 records", done.stdout)

    def test_shuffled_doubled_and_among_rubbish_each_record_is_stored_once(self):
        messages = self.storm(2, 1500, seed=1)
        for at, rubbish in enumerate(RUBBISH):
            messages.insert(100 * at, rubbish)
        self.publish(messages)
        consumer = self.consumer().start()
        self.wait_drained()
        self.assertEqual(consumer.stop(), 0)
        self.expect_empty()
        self.assertEqual(self.depth(DEAD_QUEUE), len(RUBBISH))
        self.expect_all_once(2, 1500)
        self.assertIn("refused", consumer.log_tail(200))

    def test_gaps_lanes_and_clocks_reach_their_tables_and_times_are_repaired(self):
        self.publish(
            [
                (envelopes.gap(1, 2, 10), b""),
                (envelopes.record(1, 0, boottime_ns=500), b"early"),
                (envelopes.clock(1, 1000, 1_700_000_000_000_000_000), b""),
                (envelopes.record(1, 1, boottime_ns=600), b"late"),
                (envelopes.lane(1, 4096), b""),
            ]
        )
        consumer = self.consumer().start()
        self.wait_drained()
        self.assertEqual(consumer.stop(), 0)
        self.expect_empty()
        self.assertEqual(self.ask("SELECT next_offset FROM position"), [(10,)])
        self.assertEqual(self.ask("SELECT first_offset, next_offset, reason FROM gap"), [(2, 10, "quota")])
        times = [(1_699_999_999_999_999_500,), (1_699_999_999_999_999_600,)]
        self.assertEqual(self.ask("SELECT produced_at_ns FROM record ORDER BY record_offset"), times)
        self.assertEqual(self.ask("SELECT lane_end, closed, records FROM lane"), [(4096, 1, 2)])

    def test_consumers_that_share_a_queue_and_are_killed_and_a_killed_broker_lose_and_double_nothing(self):
        records = 4000
        self.publish(self.storm(2, records, seed=2))
        first = self.consumer("first", source="prefetch = 200").start()
        second = self.consumer("second", source="prefetch = 200").start()
        for turn, victim in enumerate([first, second, first]):
            wait_until(lambda turn=turn: self.count() > 800 * (turn + 1), "some records")
            victim.kill()
            victim.start()
        wait_until(lambda: self.count() > 4000, "half of the records")
        self.server.restart()
        wait_until(lambda: self.count() == 2 * records, "all records", 3 * WATCHDOG_S, 0.2)
        self.wait_drained()
        for consumer in (first, second):
            self.assertEqual(consumer.stop(), 0)
        self.expect_empty()
        self.expect_all_once(2, records)

    def count(self):
        try:
            return self.ask("SELECT count(*) FROM record")[0][0]
        except sqlite3.OperationalError:
            return 0  # not made yet

    def test_a_missing_queue_is_named_and_read_as_soon_as_it_is_there_and_again_after_it_was_deleted(self):
        with self.connection() as connection:
            connection.channel().queue_delete(QUEUE)
        consumer = self.consumer().start()
        wait_until(lambda: "spillway sink setup" in consumer.log_tail(50), "the log to name the command")
        self.declare()
        self.publish([(envelopes.record(1, 0), b"1/0")])
        wait_until(lambda: self.count() == 1, "the record")
        with self.connection() as connection:
            connection.channel().queue_delete(QUEUE)
        wait_until(lambda: "was deleted" in consumer.log_tail(50), "the consumer to notice")
        self.declare()
        self.publish([(envelopes.record(1, 1), b"1/1")])
        wait_until(lambda: self.count() == 2, "the second record")
        self.assertEqual(consumer.stop(), 0)

    def test_a_revoked_gateway_is_turned_away_and_its_messages_are_kept_by_the_broker(self):
        consumer = self.consumer().start()
        self.publish([(envelopes.record(1, 0, name="site/pump"), b"1/0"), (envelopes.record(2, 0), b"2/0")])
        wait_until(lambda: self.count() == 2, "both records")
        config = str(self.folder / "consumer.toml")
        tool = Daemon("tool", [BINARIES / "spillway-consumer", "gateway", "revoke", envelopes.ident(2), "--config", config], self.folder)
        self.assertEqual(tool.start().process.wait(30), 0)
        messages = [(envelopes.record(gateway, offset), f"{gateway}/{offset}".encode()) for gateway in (1, 2) for offset in range(1, 9)]
        known = lambda: self.ask(f"SELECT turned_away FROM gateway WHERE gateway = '{envelopes.ident(2)}'")  # noqa: E731

        def is_turned_away():
            self.publish([messages[-1]])
            return known() and known()[0][0] > 0

        wait_until(is_turned_away, "the registry to be read anew", pause_s=0.3)
        before = self.depth(DEAD_QUEUE)
        self.publish(messages)
        wait_until(lambda: self.depth(DEAD_QUEUE) == before + 8, "the revoked gateway's messages to be set aside")
        self.wait_drained()
        self.assertEqual(consumer.stop(), 0)
        self.expect_empty()
        self.assertEqual(self.ask(f"SELECT count(*) FROM record WHERE gateway = '{envelopes.ident(1)}'"), [(9,)])
        listed = json.loads(self.tool_output("gateway", "list", "--json", "--config", config))
        self.assertIn("site/pump", {row["name"] for row in listed["gateways"]})

    @staticmethod
    def tool_output(*arguments):
        return subprocess.run([BINARIES / "spillway-consumer", *arguments], capture_output=True, text=True, check=True, timeout=30).stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    options, rest = parser.parse_known_args()
    BINARIES = pathlib.Path(options.bin).resolve()
    main("rabbitmq source", rest)
