#!/usr/bin/env python3
"""mqtt_ingest_test.py --bin DIR: spillway-mqtt against a real broker (mosquitto). What the broker has acknowledged to a publisher is in
the stream at least once, whatever is killed, and no acknowledgement leaves the adapter before its record is in the spill: a relay
between the two reads them."""

import argparse
import collections
import contextlib
import pathlib
import random
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from engine_tests import main  # noqa: E402
from harness import Daemon, wait_until  # noqa: E402
from mosquitto_server import have_mosquitto  # noqa: E402
from mqtt_ingest_world import MqttIngestWorld  # noqa: E402
from mqtt_publisher import Publisher, make_certificate  # noqa: E402
from mqtt_watch import MqttWatch  # noqa: E402
from sink_world import frozen  # noqa: E402

ARGUMENTS = None
TOPICS = ("sensor/boiler/temperature", "sensor/pump 3/pressure", "state//door")
# A file's time comes from a clock of ticks.
CLOCK_TICK_S = 0.02


def numbered(count, first=0, size=0):
    return [({}, f"{number}".encode().ljust(size, b".")) for number in range(first, first + count)]


def numbers(records, topic=None):
    return [int(payload.rstrip(b".")) for at, payload in records if topic in (None, at)]


class Case(unittest.TestCase):
    def world(self, saves=0, **options):
        world = MqttIngestWorld(ARGUMENTS.bin, saves)
        self.addCleanup(world.close)
        return world.configure(**options)

    def publisher(self, world, **options):
        publisher = Publisher(world.server, **options)
        self.addCleanup(publisher.close)
        return publisher

    def watch(self, world, before=None):
        watch = MqttWatch(world.server.port, before)
        self.addCleanup(watch.close)
        return watch


class Promises(Case):
    def test_each_message_once_in_order_and_acknowledged_when_it_is_in_the_spill(self):
        world, early = self.world(), []
        watch = self.watch(world, lambda count: early.append(count) if world.next_offset() < count else None)
        world.configure(port=watch.port).start()
        publisher = self.publisher(world)
        for first in range(0, 6000, 500):
            for topic in TOPICS:
                publisher.publish(numbered(500, first), topic=topic)
        records = world.wait_records(18_000)
        for topic in TOPICS:
            self.assertEqual(list(range(6000)), numbers(records, topic))
        world.wait(lambda: watch.acknowledged == 18_000, "all to be acknowledged")
        self.assertEqual([], early)
        self.assertEqual(1, watch.connections)
        self.assertEqual(0, world.adapter.stop())
        # All of it was settled: nothing comes again.
        world.adapter.start()
        world.wait_reading()
        publisher.publish(numbered(1, 6000), topic=TOPICS[0])
        self.assertEqual(18_001, len(world.wait_records(18_001)))

    def test_a_full_lane_is_waited_for_and_no_more_is_read_than_was_agreed_on(self):
        maps = '[[mqtt.map]]\nfilter = "#"\nlane_bytes = "16KiB"\nmax_record_bytes = "4KiB"\n'
        world = self.world()
        watch = self.watch(world)
        world.configure('receive_maximum = 200\nkeep_alive = "5s"', maps, watch.port).start()
        publisher = self.publisher(world)
        publisher.publish(numbered(1, size=2000))
        world.wait(lambda: watch.acknowledged == 1, "the first to be acknowledged")
        self.assertEqual(0, world.adapter.stop())
        publisher.publish(numbered(999, 1, size=2000))
        with frozen(world.agent):
            world.adapter.start()
            world.wait(lambda: world.map_status().get("held_up", 0) > 0, "a full lane")
            self.assertLessEqual(watch.delivered, 201)
            # The broker gives up who is silent for longer than it has to be: what stands in the lane is known when it comes again.
            wait_until(lambda: "has exceeded timeout" in world.server.daemon.log_tail(100), "the broker to give it up", 60)
            self.assertEqual(1, watch.acknowledged)
        records = world.wait_records(1000)
        self.assertEqual(list(range(1000)), numbers(records))
        world.wait(lambda: world.map_status()["already_there"] > 0, "what came again to be known")

    def test_a_connection_that_breaks_again_and_again_while_the_agent_is_away_doubles_nothing(self):
        world = self.world()
        watch = self.watch(world)
        world.configure('keep_alive = "5s"', port=watch.port).start()
        publisher = self.publisher(world)
        publisher.publish(numbered(1))
        world.wait(lambda: watch.acknowledged == 1, "the first to be acknowledged")
        with frozen(world.agent):
            publisher.publish(numbered(500, 1))
            world.wait(lambda: watch.delivered >= 501, "all to be read")
            world.agent.kill()
            for end in watch.sockets:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self.assertEqual(1, watch.acknowledged)
        world.agent.start()
        world.wait(lambda: watch.acknowledged >= 501, "all to be acknowledged")
        self.assertEqual(list(range(501)), numbers(world.wait_records(501)))
        world.wait(lambda: world.map_status()["already_there"] > 0, "what was put to be known when it came again")

    def test_who_is_killed_before_the_record_is_safe_has_acknowledged_nothing(self):
        world = self.world()
        watch = self.watch(world)
        world.configure(port=watch.port).start()
        publisher = self.publisher(world)
        publisher.publish(numbered(1))
        world.wait(lambda: watch.acknowledged == 1, "the first to be acknowledged")
        with frozen(world.agent):
            publisher.publish(numbered(300, 1))
            world.wait(lambda: watch.delivered >= 301, "all to be read")
            world.adapter.kill()
            self.assertEqual(1, watch.acknowledged)
        world.adapter.start()
        world.wait(lambda: watch.acknowledged == 301, "all to be acknowledged")
        # What stood in the lane of the dead one is drained, and came again: twice at most.
        counts = collections.Counter(numbers(world.wait_records(301)))
        self.assertEqual(set(range(301)), set(counts))
        self.assertLessEqual(max(counts.values()), 2)

    def test_an_adapter_that_is_told_to_end_amid_messages_doubles_nothing(self):
        world = self.world().start()
        publisher = self.publisher(world)
        for number in range(6000):
            publisher.send(TOPICS[0], f"{number}", number)
        for _ in range(4):
            seen = world.next_offset()
            world.wait(lambda seen=seen: world.next_offset() > seen + 500, "more records")
            self.assertEqual(0, world.adapter.stop())
            world.adapter.start()
        self.assertEqual(list(range(6000)), numbers(world.wait_records(6000)))

    def test_levels_accepted_and_power_safe(self):
        maps = '[[mqtt.map]]\nfilter = "a"\nlevel = "accepted"\n[[mqtt.map]]\nfilter = "p"\nlevel = "power-safe"\n'
        world = self.world()
        watch = self.watch(world)
        world.configure(maps=maps, port=watch.port).start()
        publisher = self.publisher(world)
        publisher.publish(numbered(1), topic="a")
        publisher.publish(numbered(1), topic="p")
        world.wait(lambda: watch.acknowledged == 2, "both to be acknowledged")
        with frozen(world.agent):
            publisher.publish(numbered(100, 1), topic="a")
            world.wait(lambda: watch.acknowledged == 102, "what is accepted to be acknowledged")
            publisher.publish(numbered(100, 1), topic="p")
            world.wait(lambda: watch.delivered == 202, "all to be read")
            self.assertEqual(102, watch.acknowledged)
        world.wait(lambda: watch.acknowledged == 202, "all to be acknowledged")
        self.assertEqual(202, len(world.wait_records(202)))


class Storm(Case):
    def test_with_adapter_and_agent_killed_nothing_is_lost_and_order_holds(self):
        self.storm(broker_too=False)

    def test_with_the_broker_killed_too_nothing_is_lost_but_what_it_forgot(self):
        """mosquitto forgets with a kill -9 what it acknowledged since it last wrote its store: that alone may be missing. Between
        the restarted broker and a publisher that sends again, order is not looked at."""
        self.storm(broker_too=True)

    def storm(self, broker_too):
        dice = random.Random(ARGUMENTS.seed)
        world = self.world(saves=100).start()
        publisher, stop = self.publisher(world), threading.Event()
        # paho lets new messages overtake those that it sends again.
        broker_away, pausing = threading.Event(), threading.Event()
        sent = collections.Counter()

        def publish():
            while not stop.is_set():
                if broker_away.is_set():
                    pausing.set()
                    time.sleep(0.001)
                    continue
                if len(publisher.sent) - len(publisher.times) > 1000:
                    time.sleep(0.01)
                    continue
                topic = dice_topics.choice(TOPICS)
                publisher.send(topic, f"{sent[topic]}", (topic, sent[topic]))
                sent[topic] += 1
                time.sleep(0.0002)

        dice_topics = random.Random(ARGUMENTS.seed + 1)
        thread = threading.Thread(target=publish)
        thread.start()
        saved_to = []  # what was acknowledged in [the store's time, the kill] the broker may have forgotten
        kills = collections.Counter()
        for _ in range(ARGUMENTS.kills):
            more = sum(sent.values()) + dice.randrange(100, 400)
            world.wait(lambda more=more: sum(sent.values()) >= more, "more messages")
            victims = [world.adapter, world.adapter, world.agent, world.agent] + [world.server.daemon] * broker_too
            victim = dice.choice(victims)
            if victim is world.server.daemon:
                pausing.clear()
                broker_away.set()
                pausing.wait(30)
            victim.kill()
            kills[victim.name] += 1
            if victim is world.server.daemon:
                saved_to.append(((world.server.folder / "mosquitto.db").stat().st_mtime - CLOCK_TICK_S, time.time()))
            time.sleep(dice.choice((0, 0, dice.uniform(0, 0.4))))
            (world.server if victim is world.server.daemon else victim).start()
            if broker_away.is_set():
                world.wait(lambda: len(publisher.times) == len(publisher.sent), "the publisher to come again")
                broker_away.clear()
        stop.set()
        thread.join()
        world.wait(lambda: len(publisher.times) == len(publisher.sent), "the broker to have everything")
        self.publisher(world, name="last").publish([({}, b"-1")], topic="last")
        world.wait(lambda: any(topic == "last" for topic, _ in world.records()), "the last message", 90)
        self.judge(world.records(), publisher.acknowledged(), saved_to, kills)
        self.assertTrue(all(daemon.alive() for daemon in (world.adapter, world.agent, world.server.daemon)))

    def judge(self, records, acknowledged, saved_to, kills):
        found = collections.defaultdict(list)
        for topic, payload in records:
            found[topic].append(int(payload))
        there = {topic: set(payloads) for topic, payloads in found.items()}
        missing = forgiven = doubles = 0
        for (topic, number), at in acknowledged.items():
            if number in there.get(topic, ()):
                continue
            if any(first <= at <= last + 1 for first, last in saved_to):
                forgiven += 1
            else:
                missing += 1
        for topic in TOPICS:
            firsts = list(dict.fromkeys(found[topic]))
            doubles += len(found[topic]) - len(firsts)
            if not saved_to:
                self.assertEqual(sorted(firsts), firsts, f"{topic}: first arrivals out of order")
        print(f"seed {ARGUMENTS.seed}: {len(acknowledged)} acknowledged, {dict(kills)} killed, {missing} missing, {forgiven} "
              f"forgotten by the broker, {doubles} doubled", file=sys.stderr)  # fmt: skip
        self.assertEqual(0, missing)
        self.assertGreater(len(acknowledged), 2000)


class Sessions(Case):
    def test_what_is_published_while_the_adapter_is_away_arrives(self):
        world = self.world().start()
        self.assertEqual(0, world.adapter.stop())
        self.publisher(world).publish(numbered(3000))
        world.adapter.start()
        self.assertEqual(list(range(3000)), numbers(world.wait_records(3000)))

    def test_a_filter_that_is_configured_no_more_is_unsubscribed(self):
        world = self.world(maps='[[mqtt.map]]\nfilter = "a/#"\n[[mqtt.map]]\nfilter = "b"\n').start()
        publisher = self.publisher(world)
        publisher.publish(numbered(1), topic="a/b")
        world.wait_records(1)
        world.adapter.kill()
        publisher.publish(numbered(1, 1), topic="a/left")
        world.configure(maps='[[mqtt.map]]\nfilter = "a/b"\n[[mqtt.map]]\nfilter = "c"\n')
        world.adapter.start()
        world.wait_reading()
        # The session held one that no map takes any more.
        world.wait(lambda: world.status()["unmapped"] == 1, "the left one to be counted")
        publisher.publish(numbered(1, 2), topic="a/left")
        for topic in ("a/b", "b", "c"):
            publisher.publish(numbered(10, 10), topic=topic)
        records = world.wait_records(21)
        self.assertEqual({"a/b": 11, "c": 10}, collections.Counter(topic for topic, _ in records))
        self.assertEqual(1, world.status()["unmapped"])

    def test_retained_messages_come_once_where_they_are_wanted(self):
        maps = '[[mqtt.map]]\nfilter = "wanted/#"\nretained = true\n[[mqtt.map]]\nfilter = "other/#"\n'
        world = self.world(maps=maps)
        world.server.start()
        for topic in ("wanted/a", "other/a"):
            self.publisher(world, name=topic).publish([({}, b"1")], topic=topic, retain=True)
        world.agent.start()
        world.adapter.start()
        self.assertEqual([("wanted/a", b"1")], world.wait_records(1))
        self.assertEqual(0, world.adapter.stop())
        world.adapter.start()
        world.wait_reading()
        self.publisher(world).publish([({}, b"2")], topic="other/b")
        self.assertEqual([("wanted/a", b"1"), ("other/b", b"2")], world.wait_records(2))

    def test_a_session_that_the_broker_has_lost_is_told_of(self):
        world = self.world().start()
        world.server.kill()
        (world.server.folder / "mosquitto.db").unlink(missing_ok=True)
        world.server.start()
        world.wait_log("the broker has lost this client's session")
        self.publisher(world).publish(numbered(10))
        self.assertEqual(list(range(10)), numbers(world.wait_records(10)))
        world.wait(lambda: world.status()["sessions_lost"] == 1, "the loss to be counted")


class Topics(Case):
    def test_maps_prefixes_schemas_and_more_topics_than_lanes(self):
        world = self.world()
        schema = world.root / "reading.fbs"
        schema.write_text("table Reading { value: double; unit: string; }\nroot_type Reading;\n")
        maps = (f'[[mqtt.map]]\nfilter = "json/#"\ntopic = "site/{{topic}}"\nschema = "{schema}"\npayload = "json"\n'
                '[[mqtt.map]]\nfilter = "many/+"\nlane_bytes = "16KiB"\n[[mqtt.map]]\nfilter = "all/+"\ntopic = "together"\n')  # fmt: skip
        world.configure("lanes_max = 3", maps).start()
        publisher = self.publisher(world)
        publisher.publish([({}, b'{"value": 1.5, "unit": "bar"}'), ({}, b'{"value": "x"}'), ({}, b"\xff{"), ({}, b'{"valu": 1}')], topic="json/a")
        for round_number in range(5):
            for number in range(8):
                publisher.publish(numbered(20, 20 * round_number), topic=f"many/{number}")
            publisher.publish(numbered(10, 10 * round_number), topic=f"all/{round_number}")
        records = world.wait_records(1 + 800 + 50)
        self.assertEqual([{"value": 1.5, "unit": "bar"}], [value for topic, value in records if topic == "site/json/a"])
        for number in range(8):
            self.assertEqual(list(range(100)), numbers(records, f"many/{number}"))
        self.assertEqual(list(range(50)), numbers(records, "together"))
        self.assertEqual(3, world.map_status(0)["invalid"])
        self.assertLessEqual(world.status()["lanes"], 3)

    def test_what_cannot_be_a_record_is_counted_and_acknowledged_and_stops_nobody(self):
        maps = '[[mqtt.map]]\nfilter = "#"\nmax_record_bytes = "10KiB"\n'
        world = self.world()
        watch = self.watch(world)
        world.configure(maps=maps, port=watch.port, stream='segment_bytes = "256KiB"').start()
        publisher = self.publisher(world)
        wrong = [("a", b""), ("a", b"x" * 10_241), ("a", b"x" * 5_000_000), ("t/" * 150, b"x"), ("t" * 256, b"x")]
        right = [("t" * 255, b"1"), ("/", b"2"), ("a//b/", b"3"), ("a/$b", b"4"), ("a", b"x" * 10_240), ("ä/°", b"\0")]
        for bad, good in zip(wrong + [None] * 10, right):
            for topic, payload in filter(None, (bad, good)):
                publisher.publish([({}, payload)], topic=topic)
        for qos in (0, 2):
            publisher.publish([({}, b"with another QoS")], qos=qos, topic="q")
        publisher.publish([([("", ""), ("n", "v" * 60_000)], b"with properties")], topic="q")
        records = world.wait_records(len(right) + 3)
        self.assertEqual(sorted(right + [("q", b"with another QoS")] * 2 + [("q", b"with properties")]), sorted(records))
        world.wait(lambda: world.map_status()["taken"] == len(wrong) + len(right) + 3, "all to be counted")
        counts = world.map_status()
        self.assertEqual((1, 2, 2), (counts["empty"], counts["too_large"], counts["bad_topic"]))
        world.wait(lambda: watch.acknowledged == watch.delivered, "all to be acknowledged")
        for words in ("without a byte", "larger than max_record_bytes", "a topic above 255 bytes"):
            world.wait_log(words)
        self.assertEqual(1, watch.connections)

    def test_messages_of_qos_0_that_meet_a_full_lane_are_counted_and_hold_up_nobody(self):
        maps = '[[mqtt.map]]\nfilter = "fast"\nqos = 0\nlane_bytes = "16KiB"\n[[mqtt.map]]\nfilter = "slow"\n'
        world = self.world(maps=maps).start()
        publisher = self.publisher(world)
        publisher.publish(numbered(1), topic="fast")
        world.wait_records(1)
        with frozen(world.agent):
            publisher.publish(numbered(200, 1, 1000), topic="fast")
            world.wait(lambda: world.map_status(0)["taken"] == 201, "all to be taken")
            publisher.publish(numbered(10), topic="slow")
            world.wait(lambda: world.map_status(1)["taken"] > 0, "the others to be taken")
        counts = world.map_status(0)
        self.assertEqual(201, counts["enqueued"] + counts["overflowed"])
        self.assertGreater(counts["overflowed"], 150)
        self.assertEqual(list(range(10)), numbers(world.wait_records(counts["enqueued"] + 10), "slow"))


class Brokers(Case):
    def test_tls_and_a_wrong_certificate_and_a_broker_that_comes_late(self):
        world = self.world()
        certificate, key = make_certificate(world.root, "broker")
        other, _ = make_certificate(world.root, "other")
        world.server.configure(f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}")
        world.configure(f'tls = {{ ca = "{other}" }}', url=f"mqtts://127.0.0.1:{world.server.port}")
        world.agent.start()
        world.adapter.start()
        world.wait_log("Connection refused")
        world.server.start()
        world.wait_log("[mqtt.tls]")
        other.write_bytes(certificate.read_bytes())
        world.wait_reading()
        self.publisher(world, tls=str(certificate)).publish(numbered(2000))
        self.assertEqual(list(range(2000)), numbers(world.wait_records(2000)))
        self.assertEqual(1, world.adapter.log_tail(1000).count("Connection refused"))

    def test_a_wrong_password_and_no_right_to_subscribe_are_told_and_mended_without_a_restart(self):
        world = self.world()
        passwords, password = world.root / "passwords", world.root / "password"
        passwords.write_text("reader:secret\n")
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
        world.server.configure(f"allow_anonymous false\npassword_file {passwords}")
        world.configure(f'password_file = "{password}"', url=world.server.url.replace("//", "//reader@"))
        world.server.start()
        world.agent.start()
        world.adapter.start()
        world.wait_log(str(password))  # there is no such file
        password.write_text("wrong\n")
        world.wait_log("check user, password_file and the broker's access list")
        world.wait(lambda: "check user" in world.command("status", "--config", world.config).stdout, "the status to say so")
        password.write_text("secret\n")
        world.wait_reading()
        world.wait(lambda: world.status()["error"] == "", "the error to be gone")

    def test_a_second_adapter_and_somebody_else_with_the_same_client_id_are_told_of(self):
        world = self.world().start()
        twin = Daemon("twin", world.adapter.command, world.root)
        self.addCleanup(twin.kill)
        twin.start()
        world.wait_log("another spillway-mqtt holds", daemon=twin)
        self.assertTrue(twin.alive())
        self.publisher(world, name="spillway-pump")
        world.wait_log("somebody else has come with client_id spillway-pump")


class Faces(Case):
    def test_run_starts_it_status_and_metrics_show_it_and_it_waits_for_agent_and_broker(self):
        world = self.world()
        run = Daemon("run", [world.binaries / "spillway", "run", "--config", world.config], world.root)
        self.addCleanup(lambda: run.alive() and run.stop())
        world.adapter.start()
        world.wait_log("waits for the agent to make it")
        self.assertEqual(0, world.adapter.stop())
        run.start()
        world.wait_log("Connection refused", daemon=run)
        world.server.start()
        world.wait(lambda: (world.status() or {}).get("state") == "reading", "it to read")
        self.publisher(world).publish(numbered(5))
        world.wait_records(5)
        world.wait(lambda: world.map_status()["enqueued"] == 5, "the status")
        text = world.command("status", "--config", world.config).stdout
        self.assertIn("spillway-pump: reading", text)
        self.assertIn("# -> {topic}: taken 5, enqueued 5", text)
        metrics = world.command("status", "--prometheus", "--config", world.config).stdout
        self.assertIn('spillway_mqtt_messages_enqueued_total{filter="#"} 5', metrics)
        self.assertIn("spillway_mqtt_reading 1", metrics)
        checked = world.command("config", "check", world.config)
        self.assertIn("# -> {topic}; QoS 1, process-safe", checked.stdout)

    def test_wrong_use_ends_with_2_and_says_why(self):
        world = self.world()
        for text, words in (('[gateway]\nname = "a"\n', "no [mqtt] section"), ("[mqtt]\n", "url must be"), ("[mqt]\n", "did you mean")):
            world.config.write_text(text)
            done = subprocess.run(world.adapter.command, capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(2, done.returncode)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30), help="of the storm")
    parser.add_argument("--kills", type=int, default=12, help="in each storm")
    ARGUMENTS, rest = parser.parse_known_args()
    main("MQTT in", rest, have_mosquitto)
