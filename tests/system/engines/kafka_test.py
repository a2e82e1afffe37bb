"""kafka_test.py --bin DIR [KafkaSink|KafkaWay]: the uplink's Kafka sink and the consumer's Kafka source against a real broker.

Brokers, uplinks and consumers are killed in mid-stream; what arrived is judged by Kafka's own console consumer, by another
client (kcat), and by the inbox, beside the producers' own tallies.
"""

import argparse
import contextlib
import itertools
import json
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import engine_tests  # noqa: E402
import kafka_server  # noqa: E402
from engine_world import EngineWorld  # noqa: E402
from kafka_oracle import TopicReport  # noqa: E402
from kafka_server import KafkaServer  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "network"))
from certificates import make_certificates  # noqa: E402
from check_delivery import broken_promises, check  # noqa: E402
from harness import free_port, wait_until  # noqa: E402

ARGUMENTS = None
BROKER = None
TLS_PORT = SASL_PORT = 0
PRODUCERS = 3
RATE = 700


def produce(world, producers=PRODUCERS, rate=RATE):
    return [world.producer(index, 0, rate).start() for index in range(producers)]


def finish(world, producers):
    """The producers end, and all that they have enqueued is acknowledged."""
    for producer in producers:
        if producer.stop() != 0:
            raise RuntimeError(f"{producer.name} failed:\n{producer.log_tail()}")
    return wait_until(world.drained, f"the drain; {world.uplink_status()}\n{world.uplink.log_tail()}")


class KafkaTest(unittest.TestCase):
    """A topic of its own for each test, and a gateway that writes into it."""

    def setUp(self):
        self.topic = self._testMethodName.removeprefix("test_")[:60]

    def world(self, uplink_keys="", kafka_keys="", url=None, **options):
        keys = f'{uplink_keys}\n[uplink.kafka]\ntopic = "{self.topic}"\n{kafka_keys}'
        world = EngineWorld(ARGUMENTS.bin, url or f"kafka://{BROKER.address}", uplink_keys=keys, **options)
        self.addCleanup(world.close)
        return world

    def start(self, world, *more):
        for daemon in (world.agent, world.uplink, *more):
            daemon.start()
        world.wait_ready()

    def judge(self, world):
        report = TopicReport(BROKER.read_topic(self.topic, world.acknowledged()), world.tallies)
        print(json.dumps(report.facts()), flush=True)
        self.assertEqual({}, report.broken())
        self.assertGreater(report.records, 0)
        return report


class KafkaWay(KafkaTest):
    """The whole way, into the consumer's inbox."""

    def source_keys(self, more=""):
        return f'[[consumer.source]]\nurl = "kafka://{BROKER.address}"\ntopics = ["{self.topic}"]\ngroup = "group-{self.topic}"\n{more}'

    def test_the_inbox_has_each_record_once_though_broker_uplink_and_consumer_are_killed(self):
        self.topic = "inbox"
        self.judge(self.kill_everybody(kills=24))

    def test_so_it_has_in_blocks(self):
        self.topic = "blocks"
        world = self.kill_everybody(kills=12, uplink_keys='payload = "blocks"')
        headers = [headers for _, _, headers, _, _ in BROKER.read_topic(self.topic, 1)]
        self.assertEqual([], [one for one in headers if one["spillway-kind"] == "record"])
        ranges = sorted((int(one["spillway-journal-sequence"]), int(one["spillway-offset"]), int(one["spillway-next-offset"]))
                        for one in headers if one["spillway-kind"] == "blocks")  # fmt: skip
        self.assertEqual([], [pair for pair in itertools.pairwise(ranges) if pair[0][0] == pair[1][0] and pair[1][1] < pair[0][2]])
        self.assertEqual(world.acknowledged(), sum(end - begin for _, begin, end in ranges))
        print(f"{len(ranges)} blocks with {world.acknowledged()} records", flush=True)

    def kill_everybody(self, kills, uplink_keys=""):
        """Broker, uplink and consumer, while records go into the inbox, which is judged; returns the world."""
        chance = random.Random(ARGUMENTS.seed)
        BROKER.create_topic(self.topic, partitions=4)
        world = self.world(uplink_keys=uplink_keys, consumer_keys=self.source_keys('instance = "only"'))
        self.start(world, world.consumer)
        producers = produce(world)
        for kill in range(kills):
            time.sleep(chance.uniform(0.05, 1.2))  # the random instant; nothing is being waited for
            if kill in (7, 15):
                BROKER.kill()
                BROKER.start().wait_ready()
                continue
            victim = world.consumer if kill % 2 else world.uplink
            victim.kill()
            victim.start()
        spilled = finish(world, producers)
        wait_until(lambda: self.rows(world) >= spilled, f"the rows: {self.rows(world)} of {spilled}\n{world.consumer.log_tail()}")
        world.consumer.stop()
        report = check(world.inbox, world.tallies, {})
        print(json.dumps(report), flush=True)
        self.assertEqual([], broken_promises(report))
        self.assertEqual(spilled, report["delivered"])
        return world

    def test_consumers_of_one_group_share_the_partitions_and_take_over(self):
        self.topic = "shared"
        BROKER.create_topic(self.topic, partitions=4)
        world = self.world(consumer_keys=self.source_keys())
        second = self.second_consumer(world)
        self.start(world, world.consumer, second)
        # So many topics that hardly all of them hash into the partitions of one consumer.
        producers = produce(world, producers=10, rate=50)
        other = world.root / "second.db"
        wait_until(lambda: self.rows(world) > 0 and self.rows(world, other) > 0, "records in both inboxes")
        world.consumer.stop()
        spilled = finish(world, producers)
        wait_until(lambda: len(self.identities(world.inbox) | self.identities(other)) == spilled, "all records in one of the two")

    def second_consumer(self, world):
        config = world.root / "second.toml"
        config.write_text(world.consumer_config.read_text().replace(str(world.inbox), str(world.root / "second.db")))
        second = world.daemon("second", "spillway-consumer", "--config", config)
        self.addCleanup(second.kill)
        return second

    @staticmethod
    def identities(inbox):
        with contextlib.closing(sqlite3.connect(f"file:{inbox}?mode=ro", uri=True)) as database:
            return set(database.execute("SELECT gateway, journal, stream, record_offset FROM record"))

    @staticmethod
    def rows(world, inbox=None):
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(sqlite3.connect(f"file:{inbox or world.inbox}?mode=ro", uri=True)) as database:
                return database.execute("SELECT COUNT(*) FROM record").fetchone()[0]
        return 0

    def test_a_message_of_somebody_else_stops_no_record(self):
        self.topic = "foreign"
        BROKER.create_topic(self.topic)
        subprocess.run(["kcat", "-b", BROKER.address, "-P", "-t", self.topic, "-H", "spillway-kind=record", "-H", "spillway-offset=-1"],
                       input="nobody's\nmessage\n", text=True, timeout=60, check=True)  # fmt: skip
        world = self.world(consumer_keys=self.source_keys())
        self.start(world, world.consumer)
        world.fill(0, 100, 64)
        wait_until(lambda: self.rows(world) == 100, f"the rows: {world.consumer.log_tail()}")
        wait_until(lambda: "refused" in world.consumer.log_path.read_text(), "the log's word about it")

    def test_the_example_runs(self):
        example = pathlib.Path(__file__).resolve().parents[3] / "examples/kafka/run.sh"
        done = subprocess.run([str(example), ARGUMENTS.bin, BROKER.address], capture_output=True, text=True, timeout=200, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("inbox has 1000 records", done.stdout)


class KafkaSink(KafkaTest):
    """What stands in the topic; what goes wrong, and what the status says of it."""

    def test_a_reader_sees_no_double_though_the_uplink_is_killed_30_times_and_the_broker_twice(self):
        self.topic = "killed"
        chance = random.Random(ARGUMENTS.seed)
        BROKER.create_topic(self.topic, partitions=4)
        world = self.world()
        self.start(world)
        producers = produce(world)
        for kill in range(30):
            time.sleep(chance.uniform(0.05, 1.2))  # the random instant; nothing is being waited for
            world.uplink.kill()
            if kill in (9, 19):
                BROKER.kill()
                world.uplink.start()
                BROKER.start().wait_ready()
            else:
                world.uplink.start()
        spilled = finish(world, producers)
        report = self.judge(world)
        self.assertEqual(spilled, report.records)
        self.assertEqual(spilled, self.count_by_kcat())

    def wait_for_error(self, world, *words):
        """Until the uplink's status names all of the words; returns the status."""

        def told():
            status = world.uplink_status()
            return status if all(word in status.get("error", "") for word in words) else None

        try:
            return wait_until(told, f"an error with {words}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {world.uplink_status()}\n{world.uplink.log_tail()}") from None

    def test_a_missing_topic_is_named_with_the_command_that_makes_it(self):
        self.topic = "missing"
        world = self.world(kafka_keys='partitions = 3\nretention = "2d"')
        self.start(world)
        world.fill(0, 100, 64)
        status = self.wait_for_error(world, "topic missing", "spillway sink setup")
        self.assertEqual("offline", status["state"])
        setup = world.command("sink", "setup", "cloud", "--config", world.gateway_config, "--dry-run")
        self.assertEqual(0, setup.returncode, setup.stderr)
        self.assertIn("topic missing, 3 partitions", setup.stdout)
        self.wait_for_error(world, "topic missing")
        self.assertEqual(0, world.command("sink", "setup", "cloud", "--config", world.gateway_config).returncode)
        described = BROKER.describe_topic("missing")
        self.assertIn("PartitionCount: 3", described)
        self.assertIn("retention.ms=172800000", described)
        again = world.command("sink", "setup", "cloud", "--config", world.gateway_config)
        self.assertIn("which was there", again.stdout, again.stderr)
        self.assertEqual(0, again.returncode)
        wait_until(world.drained, f"the drain: {world.uplink.log_tail()}")
        self.assertEqual(100, self.judge(world).records)

    def test_a_record_that_is_too_large_becomes_a_dead_letter_and_stops_nothing(self):
        self.topic = "small"
        BROKER.create_topic(self.topic, partitions=2, max_message_bytes=20_000)
        world = self.world()
        self.start(world)
        for index, record_bytes in ((0, 64), (1, 30_000), (2, 64)):
            world.fill(index, 50, record_bytes)
        wait_until(world.drained, f"the drain: {world.uplink.log_tail()}")
        letters = json.loads(world.command("dead", "list", "--json", "--config", world.gateway_config).stdout)["dead"][0]["letters"]
        self.assertEqual(50, len(letters))
        self.assertIn("max.message.bytes = 20000", letters[0]["reason"])
        report = TopicReport(BROKER.read_topic(self.topic, 150))
        self.assertEqual((100, 0, 50), (report.records, report.doubled, report.kinds["gap"]))

    def test_a_limit_that_shrinks_under_a_running_sink_costs_the_large_records_alone(self):
        self.topic = "shrinking"
        BROKER.create_topic(self.topic, partitions=2)
        world = self.world()
        self.start(world)
        world.fill(0, 50, 64)
        wait_until(world.drained, f"the drain: {world.uplink.log_tail()}")
        BROKER.alter("topics", self.topic, "max.message.bytes=20000")
        for index, record_bytes in ((1, 64), (2, 30_000), (3, 64)):
            world.fill(index, 50, record_bytes)
        wait_until(world.drained, f"the drain: {world.uplink.log_tail()}")
        report = TopicReport(BROKER.read_topic(self.topic, 200))
        self.assertEqual((150, 0, 50), (report.records, report.doubled, report.kinds["gap"]))

    def test_a_right_that_is_missing_is_named_and_granted_while_it_runs(self):
        self.topic = "guarded"
        BROKER.create_topic(self.topic)
        (world_password := BROKER.folder / "gateway.password").write_text("secret\n")
        world = self.world(url=f"kafka://gateway@127.0.0.1:{SASL_PORT}", uplink_keys=f'password_file = "{world_password}"')
        self.start(world)
        world.fill(0, 100, 64)
        status = self.wait_for_error(world, "topic guarded", "grant the user")
        self.assertEqual("offline", status["state"])
        BROKER.grant("gateway", "--topic", self.topic, "--operation", "Write", "--operation", "Read", "--operation", "Describe")
        self.wait_for_error(world, "transactional id", "grant the user")
        BROKER.grant("gateway", "--transactional-id", "spillway.", "--resource-pattern-type", "prefixed", "--operation", "Write",
                     "--operation", "Describe")  # fmt: skip
        self.wait_for_error(world, "group", "grant the user")
        BROKER.grant("gateway", "--group", "spillway.", "--resource-pattern-type", "prefixed", "--operation", "Read")
        wait_until(world.drained, f"the drain: {world.uplink.log_tail()}")
        self.assertEqual(100, self.judge(world).records)

    def test_a_wrong_password_is_named(self):
        self.topic = "guarded"
        (wrong := BROKER.folder / "wrong.password").write_text("guess\n")
        world = self.world(url=f"kafka://gateway@127.0.0.1:{SASL_PORT}", uplink_keys=f'password_file = "{wrong}"')
        self.start(world)
        self.wait_for_error(world, "password_file")

    def test_a_certificate_of_another_authority_is_named_and_the_right_one_is_taken(self):
        self.topic = "encrypted"
        BROKER.create_topic(self.topic)
        other = BROKER.folder / "other"
        other.mkdir()
        make_certificates(other, "127.0.0.1")
        ca = BROKER.folder / "trusted.pem"
        ca.write_bytes((other / "ca.pem").read_bytes())
        world = self.world(url=f"kafka://127.0.0.1:{TLS_PORT}", kafka_keys=f'[uplink.tls]\nca = "{ca}"')
        self.start(world)
        world.fill(0, 100, 64)
        status = self.wait_for_error(world, "certificate", "[uplink.tls]")
        self.assertEqual("offline", status["state"])
        ca.write_bytes((BROKER.folder / "ca.pem").read_bytes())
        wait_until(world.drained, f"the drain: {world.uplink.log_tail()}")
        self.assertEqual(100, self.judge(world).records)

    def test_brokers_that_throttle_are_waited_for_and_named(self):
        self.topic = "throttled"
        BROKER.create_topic(self.topic)
        world = self.world()
        BROKER.alter("clients", None, "producer_byte_rate=150000")
        try:
            self.start(world)
            world.fill(0, 20_000, 64)  # with their headers about 12 MB: the quota is felt for more than a minute
            self.assertEqual("blocked", self.wait_for_error(world, "throttle")["state"])
        finally:
            BROKER.alter("clients", None, "producer_byte_rate", delete=True)
        wait_until(world.drained, f"the drain: {world.uplink.log_tail()}")
        self.assertEqual(20_000, self.judge(world).records)

    def test_a_producer_that_takes_over_the_transactional_id_is_named_and_costs_nothing(self):
        self.topic = "fenced"
        for topic in (self.topic, "elsewhere"):
            BROKER.create_topic(topic)
        world = self.world()
        self.start(world)
        producers = produce(world)
        wait_until(world.acknowledged, "the first acknowledgement")
        gateway = world.status()["agent"]["gateway"]["id"]
        subprocess.run([str(pathlib.Path(ARGUMENTS.bin) / "kafka_bare"), BROKER.address, "elsewhere", "1", "8", "1", f"spillway.{gateway}.cloud"],
                       timeout=60, check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        wait_until(lambda: "has taken over" in world.uplink.log_path.read_text(), "the log's word about it")
        spilled = finish(world, producers)
        self.assertEqual(spilled, self.judge(world).records)

    def test_a_broker_that_hangs_for_a_while_loses_and_doubles_nothing(self):
        self.topic = "hanging"
        BROKER.create_topic(self.topic, partitions=2)
        world = self.world()
        self.start(world)
        producers = produce(world)
        wait_until(world.acknowledged, "the first acknowledgement")
        BROKER.daemon.process.send_signal(signal.SIGSTOP)
        try:
            before = world.acknowledged()
            time.sleep(3)  # the broker's silence; nothing is being waited for
            self.assertLess(world.acknowledged() - before, 40_000)
        finally:
            BROKER.daemon.process.send_signal(signal.SIGCONT)
        spilled = finish(world, producers)
        self.assertEqual(spilled, self.judge(world).records)

    def test_a_broker_that_is_down_costs_nothing_and_is_named(self):
        self.topic = "down"
        BROKER.create_topic(self.topic)
        world = self.world()
        self.start(world)
        BROKER.kill()
        try:
            world.fill(0, 2000, 64)
            status = self.wait_for_error(world, "Connection refused")
            self.assertIn(status["state"], ("offline", "connecting"))
        finally:
            BROKER.start().wait_ready()
        wait_until(world.drained, f"the drain: {world.uplink.log_tail()}")
        self.assertEqual(2000, self.judge(world).records)

    def count_by_kcat(self):
        """Another client, another language: how many records it sees."""
        seen = subprocess.run(
            ["kcat", "-b", BROKER.address, "-C", "-t", self.topic, "-o", "beginning", "-e", "-q", "-X", "isolation.level=read_committed",
             "-f", "%h\n"], capture_output=True, text=True, timeout=120, check=True).stdout  # fmt: skip
        return sum("spillway-kind=record" in line for line in seen.splitlines())


def setUpModule():
    """One broker for all: without a guard on its plain port, with users and rights on one, with TLS on another."""
    global BROKER, TLS_PORT, SASL_PORT
    folder = pathlib.Path(tempfile.mkdtemp(prefix="spillway-kafka-"))
    unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
    TLS_PORT, SASL_PORT = free_port(), free_port()
    make_certificates(folder, "127.0.0.1")
    (folder / "server.both").write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())
    users = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_gateway="secret";'
    BROKER = KafkaServer(folder, {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "server.both",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.users.plain.sasl.jaas.config": users,
    }, listeners={"TLS": ("SSL", TLS_PORT), "USERS": ("SASL_PLAINTEXT", SASL_PORT)})  # fmt: skip
    unittest.addModuleCleanup(BROKER.close)
    BROKER.start().wait_ready()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--seed", type=int, default=1)
    ARGUMENTS, rest = parser.parse_known_args()
    engine_tests.main("kafka_test", rest, kafka_server.class_path)
