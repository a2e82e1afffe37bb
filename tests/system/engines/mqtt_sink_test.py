#!/usr/bin/env python3
"""mqtt_sink_test.py --bin DIR: the uplink into a real MQTT 5 broker (mosquitto), which is killed and refused; read by paho."""

import argparse
import os
import pathlib
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from engine_tests import main  # noqa: E402
from harness import wait_until  # noqa: E402
from mosquitto_server import MosquittoServer, have_mosquitto  # noqa: E402
from sink_world import SinkWorld, frozen, judge, wait_window_is_full  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "network"))
from certificates import make_certificates  # noqa: E402


class Subscriber:
    """A client with a session that stays while it is away. Its library is not the sink's."""

    def __init__(self, port, user=None, password=None, ca=None):
        import paho.mqtt.client as mqtt
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.port, self.messages, self.subscribed = port, [], threading.Event()
        self.client = mqtt.Client("oracle", protocol=mqtt.MQTTv5)
        if user:
            self.client.username_pw_set(user, password)
        if ca:
            self.client.tls_set(ca)
        self.keep = Properties(PacketTypes.CONNECT)
        self.keep.SessionExpiryInterval = 3600
        self.client.on_connect = lambda client, *_: client.subscribe("spillway/#", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _client, _data, message: self.messages.append(
            ({"mqtt-topic": message.topic, **dict(message.properties.UserProperty)}, message.payload)
        )

    def start(self):
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", self.port, clean_start=False, properties=self.keep)
        self.client.loop_start()
        if not self.subscribed.wait(30):
            raise TimeoutError("the subscription")
        return self

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()

    def identities(self):
        return {(headers["spillway-stream"], headers["spillway-offset"]) for headers, _ in self.messages
                if headers.get("spillway-kind") == "record"}  # fmt: skip


class MqttSink(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillway-mqtt-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def serve(self, *extra):
        server = MosquittoServer(self.folder, *extra)
        self.addCleanup(server.kill)
        return server.start()

    def subscribe(self, server, **options):
        subscriber = Subscriber(server.port, **options).start()
        self.addCleanup(subscriber.stop)
        return subscriber

    def world(self, url, **options):
        world = SinkWorld(ARGUMENTS.bin, url, **options)
        self.addCleanup(world.close)
        return world

    def wait_all(self, world, subscriber):
        wait_until(world.all_there, "all records to be acknowledged", 60)
        wait_until(lambda: len(subscriber.identities()) >= world.records_put(), "all records at the subscriber", 60)

    def state(self, world, words):
        wait_until(lambda: words in str(world.uplink_status()), f"'{words}' in the status; {world.uplink.log_tail()}", 30)

    def test_every_record_and_in_order_through_kills_of_the_uplink_and_restarts_of_the_broker(self):
        """The broker ends by SIGTERM: mosquitto keeps sessions in memory and writes them from time to time, so that a kill -9
        takes what it has acknowledged since then, which no publisher can know of (docs/engines.md)."""
        server = self.serve()
        subscriber = self.subscribe(server)
        world = self.world(server.url).start()
        for kills in range(6):
            world.put_some(3)
            victim = (server, world.uplink)[kills % 2]
            (server.daemon.stop if victim is server else victim.kill)()
            world.put_some(1)
            victim.start()
        self.wait_all(world, subscriber)
        wrong, doubled = judge(subscriber.messages, world.put_lines)
        self.assertEqual([], wrong)
        print(f"{doubled} of {world.records_put()} came twice, as QoS 1 allows", flush=True)
        self.assertEqual({"spillway/demo/gateway/telemetry/sensor/boiler/temperature",
                          "spillway/demo/gateway/telemetry/sensor/pump 3/pressure"},
                         {headers["mqtt-topic"] for headers, _ in subscriber.messages
                          if headers["spillway-kind"] == "record"})  # fmt: skip

    def test_where_nobody_is_subscribed_nothing_is_thrown_away(self):
        server = self.serve()
        world = self.world(server.url).start()
        world.put_some(2)
        self.state(world, "nobody is subscribed")
        self.assertEqual(0, world.acknowledged())
        subscriber = self.subscribe(server)
        self.wait_all(world, subscriber)
        self.assertEqual([], judge(subscriber.messages, world.put_lines)[0])

    def test_a_broker_that_is_away_costs_nothing_but_time(self):
        server = self.serve()
        subscriber = self.subscribe(server)
        world = self.world(server.url).start()
        server.daemon.stop()
        world.put_some(4)
        self.state(world, "MQTT broker at 127.0.0.1")
        server.start()
        self.wait_all(world, subscriber)
        self.assertEqual([], judge(subscriber.messages, world.put_lines)[0])

    def test_a_broker_that_hangs_holds_no_more_than_the_window_and_loses_nothing(self):
        server = self.serve()
        subscriber = self.subscribe(server)
        world = self.world(server.url, keys="window_messages = 50").start()
        world.put_some(1)
        self.wait_all(world, subscriber)
        with frozen(server.daemon):
            world.put_some(2)
            wait_window_is_full(world, 50)
        self.wait_all(world, subscriber)
        self.assertEqual(([], 0), judge(subscriber.messages, world.put_lines))

    def test_a_certificate_of_another_authority_is_named_and_the_right_one_is_taken(self):
        (other := self.folder / "other").mkdir()
        for folder in (self.folder, other):
            make_certificates(folder, "127.0.0.1")
        (ca := self.folder / "trusted.pem").write_bytes((other / "ca.pem").read_bytes())
        server = self.serve(f"allow_anonymous true\ncertfile {self.folder}/server.pem\nkeyfile {self.folder}/server.key")
        subscriber = self.subscribe(server, ca=str(self.folder / "ca.pem"))
        world = self.world(server.url.replace("mqtt:", "mqtts:"), tables=f'[uplink.tls]\nca = "{ca}"').start()
        world.put_some(1)
        self.state(world, "certificate")
        ca.write_bytes((self.folder / "ca.pem").read_bytes())
        self.wait_all(world, subscriber)
        self.assertEqual(([], 0), judge(subscriber.messages, world.put_lines))

    def test_what_the_broker_will_never_take_is_a_dead_letter_and_the_rest_goes_on(self):
        server = self.serve("allow_anonymous true\nmax_packet_size 8000")
        subscriber = self.subscribe(server)
        world = self.world(server.url).start()
        world.put_some(1)
        world.command("put", "sensor/large", "--queue-dir", world.queue_dir, "--input", "lines", input="y" * 20_000 + "\n")
        world.put_some(1)
        wait_until(lambda: world.acknowledged() >= world.records_put() + 1, "all, and the large one", 60)
        dead = world.command("dead", "list", "--uplink", "cloud", "--config", world.gateway_config)
        self.assertIn("larger than the broker takes", dead.stdout + dead.stderr)
        wait_until(lambda: len(subscriber.identities()) >= world.records_put(), "the rest", 60)

    def test_who_may_not_publish_is_told_and_nothing_is_lost(self):
        passwords, access = self.folder / "passwords", self.folder / "access"
        passwords.write_text("gateway:secret\noracle:secret\n")
        os.system(f"mosquitto_passwd -U {passwords}")
        access.write_text("user oracle\ntopic readwrite #\nuser gateway\ntopic read #\n")
        for path in (self.folder, passwords, access):
            path.chmod(0o755 if path.is_dir() else 0o644)
        server = self.serve(f"allow_anonymous false\npassword_file {passwords}\nacl_file {access}")
        self.subscribe(server, user="oracle", password="secret")
        password = self.folder / "password"
        password.write_text("secret\n")
        world = self.world(server.url.replace("//", "//gateway@"), keys=f'password_file = "{password}"').start()
        world.put_some(1)
        self.state(world, "access list")
        self.assertEqual(0, world.acknowledged())
        password.write_text("wrong\n")
        world.uplink.kill()
        world.uplink.start()
        self.state(world, "password_file")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    main("MQTT", rest, have_mosquitto)
