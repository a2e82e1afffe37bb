#!/usr/bin/env python3
"""mqtt_source_test.py --bin DIR: the consumer's MQTT source against a real broker (mosquitto). What the broker keeps is in the inbox
once, whatever is killed, and no acknowledgement leaves before its message is committed: a relay between the two reads them."""

import argparse
import contextlib
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import envelopes  # noqa: E402
from engine_tests import main  # noqa: E402
from harness import Daemon, wait_until  # noqa: E402
from mosquitto_server import MosquittoServer, have_mosquitto  # noqa: E402
from mqtt_publisher import Publisher, make_certificate  # noqa: E402
from mqtt_watch import MqttWatch  # noqa: E402
from sink_world import SinkWorld, holds  # noqa: E402

ARGUMENTS = None


def records(first, count, gateway=1):
    return [(envelopes.record(gateway, offset, utc_ns=10**18 + offset), f"{gateway}/{offset}".encode()) for offset in range(first, first + count)]


class MqttSource(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillway-mqtt-source-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.inbox = self.folder / "inbox.db"

    def serve(self, *extra):
        server = MosquittoServer(self.folder / "broker", *extra)
        self.addCleanup(server.kill)
        return server.start()

    def publisher(self, server, **options):
        publisher = Publisher(server, **options)
        self.addCleanup(publisher.close)
        return publisher

    def watch(self, server, before=None):
        watch = MqttWatch(server.port, before)
        self.addCleanup(watch.close)
        return watch

    def consumer(self, url, name="one", keys="", tables=""):
        config = self.folder / f"{name}.toml"
        config.write_text(f'[consumer]\ninbox = "sqlite:{self.inbox}"\n[[consumer.source]]\nurl = "{url}"\nclient_id = "{name}"\n'
                          f"{keys}\n{tables}\n")  # fmt: skip
        daemon = Daemon(name, [ARGUMENTS.bin / "spillway-consumer", "--config", config], self.folder)
        self.addCleanup(daemon.kill)
        return daemon

    def start_subscribed(self, url, *arguments, **options):
        consumer = self.consumer(url, *arguments, **options).start()
        self.wait_log(consumer, ": connected")
        return consumer

    def wait_log(self, daemon, words, times=1):
        try:
            wait_until(lambda: daemon.log_tail(10_000).count(words) >= times, words, 60)
        except TimeoutError:
            self.fail(f"'{words}' is not {times} times in the log:\n{daemon.log_tail(40)}")

    def rows(self, sql):
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(sqlite3.connect(f"file:{self.inbox}?mode=ro", uri=True, timeout=5)) as inbox:
                return inbox.execute(sql).fetchall()
        return []

    def count(self):
        return sum(row[0] for row in self.rows("SELECT count(*) FROM record"))

    def wait_count(self, count, *daemons):
        wait_until(lambda: self.count() >= count, f"{count} rows; {[daemon.log_tail() for daemon in daemons]}", 90)

    def expect_all_once(self, count, gateway=1):
        rows = self.rows(f"SELECT record_offset, payload FROM record WHERE gateway = '{envelopes.ident(gateway)}' ORDER BY 1")
        self.assertEqual(list(range(count)), [offset for offset, _ in rows])
        self.assertTrue(all(payload == f"{gateway}/{offset}".encode() for offset, payload in rows))

    @contextlib.contextmanager
    def inbox_locked(self):
        """No commit comes to pass while this holds."""
        with contextlib.closing(sqlite3.connect(self.inbox, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    # --- acknowledgements ---

    def test_no_acknowledgement_leaves_before_its_message_is_committed(self):
        server = self.serve()
        early = []
        # The publisher sends no record twice, so that what is acknowledged may not outnumber what is committed.
        watch = self.watch(server, lambda count: early.append(count) if self.count() < count else None)
        consumer = self.start_subscribed(f"mqtt://127.0.0.1:{watch.port}")
        publisher = self.publisher(server)
        for first in range(0, 6000, 600):
            publisher.publish(records(first, 600))
        self.wait_count(6000, consumer)
        wait_until(lambda: watch.acknowledged == 6000, "all to be acknowledged", 30)
        self.assertEqual([], early)
        self.assertEqual(1, watch.connections)
        self.expect_all_once(6000)

    def test_who_is_killed_between_reading_and_the_commit_has_acknowledged_nothing_and_gets_all_again(self):
        server = self.serve()
        watch = self.watch(server)
        consumer = self.start_subscribed(f"mqtt://127.0.0.1:{watch.port}")
        self.publisher(server).publish(records(0, 1))
        self.wait_count(1, consumer)
        wait_until(lambda: watch.acknowledged == 1, "the first to be acknowledged", 30)
        with self.inbox_locked():
            self.publisher(server).publish(records(1, 499))
            wait_until(lambda: watch.delivered >= 500, "all to be read", 30)
            consumer.kill()
        self.assertEqual((1, 1), (watch.acknowledged, self.count()))
        consumer.start()
        self.wait_count(500, consumer)
        wait_until(lambda: watch.acknowledged == 500, "all to be acknowledged", 30)
        self.assertGreaterEqual(watch.delivered, 999)
        self.expect_all_once(500)

    def test_the_same_over_tls_where_many_messages_stand_in_what_is_read_at_once(self):
        """The relay cannot read these: what was acknowledged early would be missing at the end."""
        certificate, key = make_certificate(self.folder, "broker")
        server = self.serve(f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}")
        url, tables = f"mqtts://127.0.0.1:{server.port}", f'[consumer.source.tls]\nca = "{certificate}"'
        consumer = self.start_subscribed(url, tables=tables)
        publisher = self.publisher(server, tls=str(certificate))
        publisher.publish(records(0, 1))
        self.wait_count(1, consumer)
        for round_number in range(3):
            with self.inbox_locked():
                publisher.publish(records(1 + 300 * round_number, 300))
                # Its commits fail, and at each connection the broker's messages stand right behind its greeting.
                before = consumer.log_tail(10_000).count(": connected")
                self.wait_log(consumer, ": connected", before + 2)
                consumer.kill()
            self.assertEqual(1 + 300 * round_number, self.count())
            consumer.start()
            self.wait_count(301 + 300 * round_number, consumer)
        self.expect_all_once(901)

    def test_an_inbox_that_stalls_for_longer_than_keep_alive_costs_connections_and_no_record(self):
        server = self.serve()
        watch = self.watch(server)
        consumer = self.start_subscribed(f"mqtt://127.0.0.1:{watch.port}", keys='keep_alive = "5s"')
        publisher = self.publisher(server)
        publisher.publish(records(0, 1))
        self.wait_count(1, consumer)
        wait_until(lambda: watch.pings > 1, "pings on an idle connection", 30)
        self.assertEqual(1, watch.connections)
        with self.inbox_locked():
            publisher.publish(records(1, 3000))
            wait_until(lambda: watch.connections > 4, "the consumer to come again and again", 60)
            self.assertLess(watch.acknowledged, 2)
        self.wait_count(3001, consumer)
        self.expect_all_once(3001)
        self.assertTrue(consumer.alive())

    # --- the whole way ---

    def test_gateway_to_inbox_every_record_once_whatever_is_killed(self):
        """The broker ends by SIGTERM here: what is left of a kill -9 is the next test's."""
        server = self.serve()
        url = f"{server.url}"
        keys = 'filters = ["$share/fleet/spillway/#"]'
        consumers = [self.start_subscribed(url, name, keys=keys) for name in ("one", "two")]
        world = SinkWorld(ARGUMENTS.bin, server.url)
        self.addCleanup(world.close)
        world.start()
        for kills in range(9):
            world.put_some(2)
            victim = (consumers[0], world.uplink, consumers[1], server, world.agent)[kills % 5]
            (server.daemon.stop if victim is server else victim.kill)()
            world.put_some(1) if victim is not world.agent else None
            victim.start()
        total = world.records_put()
        self.wait_count(total, *consumers)
        for topic, lines in world.put_lines.items():
            payloads = [row for (row,) in self.rows(f"SELECT payload FROM record WHERE topic = '{topic}' ORDER BY record_offset")]
            self.assertEqual(len(lines), len(payloads))
            self.assertTrue(all(map(holds, payloads, lines)), topic)
        wait_until(lambda: self.rows("SELECT next_offset FROM position") == [(total,)], "the position behind the last record", 30)
        self.assertEqual([], self.rows("SELECT * FROM gap"))
        self.assertEqual([], self.rows("SELECT gateway FROM record WHERE payload IS NULL"))
        for consumer in consumers:
            self.assertEqual(0, consumer.stop())
            self.assertRegex(consumer.log_tail(5), r": [1-9][0-9]* messages, 0 of them refused", "its share")

    def test_a_broker_that_is_killed_keeps_what_it_had_saved_and_its_loss_is_seen(self):
        server = self.serve()
        consumer = self.start_subscribed(server.url)
        publisher = self.publisher(server)
        publisher.publish(records(0, 100))
        self.wait_count(100, consumer)
        self.assertEqual(0, consumer.stop())
        publisher.publish(records(100, 200))
        store = server.folder / "mosquitto.db"
        wait_until(lambda: b"1/299" in store.read_bytes(), "the broker to have saved the last one", 60)
        server.kill()
        server.start()
        consumer.start()
        self.wait_count(300, consumer)
        self.expect_all_once(300)
        self.assertNotIn("lost this consumer's session", consumer.log_tail(1000))
        # A broker that has forgotten all of it: seen over the consumer's restart, and in mid-life.
        for times in (1, 2):
            if times == 1:
                consumer.kill()
            server.kill()
            store.unlink()
            server.start()
            if times == 1:
                consumer.start()
            self.wait_log(consumer, "the broker has lost this consumer's session", times)
        self.publisher(server).publish(records(300, 10))
        self.wait_count(310, consumer)

    # --- what may be wrong ---

    def test_foreign_messages_of_every_kind_stop_nobody(self):
        server = self.serve()
        consumer = self.start_subscribed(server.url)
        publisher = self.publisher(server)
        good = envelopes.record(1, 5)
        rubbish = [
            ({}, b""),
            ({}, b"not ours"),
            ([("", "")], b"empty names"),
            ([("spillway-kind", ""), ("", "record")], b"empty values"),
            ([("spillway-kind", "record")] * 500, b"the same five hundred times"),
            ([*good.items(), *good.items(), ("spillway-offset", "-1")][::-1], b"twice, and once wrong"),
            ([("x", "y" * 60_000)] * 8, b"half a megabyte of properties"),
            ([("n", "")] * 20_000, b"very many properties"),
            ([("spillway-stream", "s" * 60_000), *good.items()], b"a huge name"),
            ({**good, "spillway-topic": "a/#"}, b"x"),
            ({**good, "spillway-kind": "blocks", "spillway-next-offset": "9", "spillway-salt": "1"}, b"no blocks"),
            (good, b"z" * 33_000_000),
            ({}, b"z" * 45_000_000),
        ]  # fmt: skip
        publisher.publish(records(0, 10))
        for at, one in enumerate(rubbish):
            publisher.publish([one])
            publisher.publish(records(10 + at, 1))
        for qos in (0, 2):
            publisher.publish([({}, b"not QoS 1")], qos=qos)
        publisher.publish([({}, b"retained")], retain=True)
        publisher.publish(records(10 + len(rubbish), 10))
        total = 20 + len(rubbish)
        self.wait_count(total, consumer)
        self.expect_all_once(total)
        self.wait_log(consumer, "refused")
        self.assertEqual(1, consumer.starts)
        self.assertTrue(consumer.alive())
        self.assertEqual(0, consumer.stop())
        # All of it was settled: nothing of it comes again, nor what the broker keeps for newcomers.
        consumer.start()
        publisher.publish(records(total, 1))
        self.wait_count(total + 1, consumer)
        self.assertEqual(0, consumer.stop())
        self.assertIn(" 1 messages, 0 of them refused", consumer.log_tail(3))

    def test_wrong_password_and_no_right_to_subscribe_are_told_and_nothing_is_lost(self):
        passwords, access = self.folder / "passwords", self.folder / "access"
        passwords.write_text("reader:secret\nwriter:secret\n")
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
        access.write_text("user writer\ntopic readwrite #\nuser reader\ntopic read spillway/#\n")
        for path in (self.folder, passwords, access):
            path.chmod(0o755 if path.is_dir() else 0o644)
        server = self.serve(f"allow_anonymous false\npassword_file {passwords}\nacl_file {access}")
        password = self.folder / "password"
        password.write_text("wrong\n")
        url, keys = server.url.replace("//", "//reader@"), f'password_file = "{password}"'
        consumer = self.consumer(url, keys=keys).start()
        self.wait_log(consumer, "check user, password_file and the broker's access list")
        consumer.kill()
        password.write_text("secret\n")
        consumer.start()
        self.wait_log(consumer, ": connected")

    def test_a_broker_that_is_away_at_the_start_and_its_wrong_certificate_are_waited_for(self):
        certificate, key = make_certificate(self.folder, "broker")
        other, _ = make_certificate(self.folder, "other")
        server = MosquittoServer(self.folder / "broker", f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}")
        self.addCleanup(server.kill)
        consumer = self.consumer(f"mqtts://127.0.0.1:{server.port}", tables=f'[consumer.source.tls]\nca = "{other}"').start()
        self.wait_log(consumer, "Connection refused")
        server.start()
        self.wait_log(consumer, "[consumer.source.tls]")
        self.assertNotIn(": connected", consumer.log_tail(1000))
        other.write_bytes(certificate.read_bytes())
        self.wait_log(consumer, ": connected")

    def test_a_second_consumer_of_the_same_name_is_told_of(self):
        server = self.serve()
        first = self.start_subscribed(server.url)
        twin = Daemon("twin", first.command, self.folder)
        self.addCleanup(twin.kill)
        twin.start()
        self.wait_log(first, "somebody else has come with client_id one")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    ARGUMENTS, rest = parser.parse_known_args()
    main("MQTT source", rest, have_mosquitto)
