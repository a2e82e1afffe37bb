#!/usr/bin/env python3
"""rabbitmq_sink_test.py --bin DIR: agent and uplink into a real RabbitMQ; what is there is read by another client (pika).

One broker for all. The first test kills it and the uplink in mid-stream; each of the others is a row of the failure table in
docs/engines.md: what happens, and what the status says.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from check_delivery import Verdict  # noqa: E402
from harness import Tally, World, random_source, wait_until  # noqa: E402
from rabbitmq_server import RabbitmqServer  # noqa: E402

ARGUMENTS = None
MESSAGE_BYTES_MAX = 32768
KILLS = 6
PATIENCE_S = 30


def make_certificate(folder, name, address="127.0.0.1"):
    """A certificate that vouches for itself."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)  # fmt: skip
    key.chmod(0o644)
    return {"ca": str(certificate), "certificate": str(certificate), "key": str(key)}


class Gateway(World):
    """A World whose uplink leads to a RabbitMQ; no consumer runs."""

    def __init__(self, url, name, uplink_keys="", tables="", **options):
        super().__init__(ARGUMENTS.bin, **options)
        head, _, _ = self.gateway_config.read_text().partition("[[uplink]]")
        self.gateway_config.write_text(f"""{head}[[uplink]]
name = "cloud"
url = "{url}"
reconnect_min = "50ms"
reconnect_max = "500ms"
{uplink_keys}
[uplink.rabbitmq]
exchange = "{name}"
queue = "{name}"
{tables}
""")

    def start(self):
        self.agent.start()
        self.uplink.start()
        self.wait_ready()

    def setup(self, *options):
        result = self.command("sink", "setup", "cloud", "--config", self.gateway_config, *options)
        return result.returncode, result.stdout, result.stderr

    def uplink_status(self):
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return json.loads((self.queue_dir / "uplink-cloud.status").read_text())
        return {"state": "", "error": "", "streams": []}

    def wait(self, condition, what, timeout_s=180):
        """wait_until, which in vain says what the uplink says of itself."""
        try:
            return wait_until(condition, what, timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.uplink_status()}\n{self.uplink.log_tail()}") from None

    def wait_status(self, state, words):
        return self.wait(lambda: (found := self.uplink_status())["state"] == state and words in found["error"] and found,
                         f"{state}: {words}")  # fmt: skip

    def put(self, topic, payload):
        path = self.root / "record"
        path.write_bytes(payload)
        result = self.command("put", topic, "--file", path, "--input", "flatbuffer", "--queue-dir", self.queue_dir, "--level", "process-safe")
        assert result.returncode == 0, result.stderr

    def wait_drained(self, records):
        self.wait(lambda: self.acknowledged() >= records, f"{records} records")

    def letters(self):
        result = self.command("dead", "list", "--json", "--config", self.gateway_config)
        return json.loads(result.stdout)["dead"][0]["letters"]


class Queue:
    """What stands in a queue, read by a client that shares nothing with the engine."""

    def __init__(self, server, name):
        import pika

        self.connection = pika.BlockingConnection(pika.URLParameters(server.url()))
        self.channel = self.connection.channel()
        self.name = name

    def read_all(self, at_least=1):
        """Takes everything out; ends when nothing more comes for a while, a longer one as long as it is fewer messages."""
        messages, tag, silence_s = [], 0, 0
        self.channel.basic_qos(prefetch_count=1000)
        for method, properties, body in self.channel.consume(self.name, inactivity_timeout=1.0):
            silence_s = silence_s + 1 if method is None else 0
            if silence_s > (0 if len(messages) >= at_least else PATIENCE_S):
                break
            if method is None:
                continue
            messages.append((method.routing_key, properties, body))
            tag = method.delivery_tag
            if len(messages) % 500 == 0:
                self.channel.basic_ack(tag, multiple=True)
        if len(messages) % 500 != 0:
            self.channel.basic_ack(tag, multiple=True)
        self.channel.cancel()  # what it holds beyond goes back into the queue
        return messages

    def close(self):
        with contextlib.suppress(Exception):
            self.connection.close()


def records_of(messages):
    return [message for message in messages if message[1].headers["spillway-kind"] == "record"]


def identity(properties):
    return tuple(properties.headers[f"spillway-{name}"] for name in ("gateway", "journal", "stream", "offset"))


class RabbitmqSink(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="spillway-rabbitmq-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.tls = make_certificate(cls.folder, "broker")
        cls.server = RabbitmqServer(cls.folder / "broker", cls.tls, [f"max_message_size = {MESSAGE_BYTES_MAX}"])
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def gateway(self, name, url=None, setup=True, **options):
        world = Gateway(url or f"amqp://127.0.0.1:{self.server.port}", name, **options)
        self.addCleanup(world.close)
        if setup:
            self.assertEqual(0, world.setup()[0], world.setup())
        return world

    def queue(self, name):
        queue = Queue(self.server, name)
        self.addCleanup(queue.close)
        return queue

    # --- set-up ---

    def test_what_setup_declares_it_says_first_and_may_declare_again(self):
        world = self.gateway("declared", setup=False, tables='queue_max_bytes = "1MiB"\n')
        code, out, _ = world.setup("--dry-run")
        self.assertEqual(0, code)
        self.assertIn("would declare queue declared (quorum, durable, at most 1048576 bytes, then reject-publish)", out)
        code, out, _ = world.setup("--dry-run", "--json")
        self.assertEqual(3, len(json.loads(out)["declared"]))
        with self.assertRaises(Exception):
            self.queue("declared").channel.queue_declare("declared", passive=True)
        for _ in range(2):
            code, out, error = world.setup()
            self.assertEqual((0, ""), (code, error))
            self.assertIn("declared binding declared -> declared for #", out)
        self.queue("declared").channel.queue_declare("declared", passive=True)
        world.gateway_config.write_text(world.gateway_config.read_text().replace('"1MiB"', '"2MiB"'))
        code, _, error = world.setup()
        self.assertNotEqual(0, code)
        self.assertIn("inequivalent arg", error)

    # --- nothing lost, whatever is killed ---

    def test_every_record_arrives_in_order_whatever_is_killed(self):
        chance = random_source(ARGUMENTS.seed)
        world = self.gateway("kills")
        world.start()
        for index in range(2):
            world.producer(index, 0, 400).start()
        for kill in range(KILLS):
            before = world.acknowledged()
            world.wait(lambda: world.acknowledged() > before + 200, "records on their way")
            if kill % 3 == 1:
                world.wait(lambda: self.server.has_written_down("kills"), "the queue on the broker's disk")
                self.server.kill()
                world.wait(lambda: world.backlog() > chance.randrange(200, 1000), "a backlog")
                self.server.start()
            else:
                world.uplink.kill()
                world.wait(lambda: world.backlog() > chance.randrange(50, 500), "a backlog")
                world.uplink.start()
        for producer in world.producers:
            producer.stop()
        sent = world.wait(world.drained, "the end")
        self.assertEqual(0, world.uplink.stop())
        self.check_arrived(world, sent)

    def check_arrived(self, world, sent):
        messages = self.queue("kills").read_all(at_least=sent)
        verdict, seen, newest = Verdict(), {}, collections.defaultdict(int)
        for key, properties, body in records_of(messages):
            self.assertEqual(seen.setdefault(identity(properties), body), body, "the same record with other bytes")
            offset, topic = int(properties.headers["spillway-offset"]), properties.headers["spillway-topic"]
            if offset < newest[topic]:
                continue  # a double, or the test below fails for the count
            newest[topic] = offset + 1
            verdict.take(body)
            self.assertEqual("demo.gateway.telemetry." + topic.replace("/", "."), key)
            self.assertEqual("/".join(identity(properties)), properties.message_id)
            self.assertEqual((2, "spillway"), (properties.delivery_mode, properties.app_id))
            self.assertEqual("demo/gateway", properties.headers["spillway-gateway-name"])
            time_ns = int(properties.headers["spillway-time"])
            self.assertEqual(time_ns // 10**9, properties.timestamp)
        self.assertEqual(sent, len(seen), "records are missing")
        self.assertEqual(list(range(sent)), sorted(int(one[3]) for one in seen))
        self.assertEqual((sent, 0, 0), (verdict.delivered, verdict.altered, verdict.disordered))
        self.assertEqual([], [key for key, missing in verdict.missing.items() if missing])
        tallies = [Tally(path) for path in sorted(world.tallies.iterdir())]
        self.assertLessEqual(sum(one.done for one in tallies), sent)
        self.assertGreaterEqual(sum(one.intent for one in tallies), sent)
        kinds = collections.Counter(properties.headers["spillway-kind"] for _, properties, _ in messages)
        self.assertGreater(kinds["lane"], 0)
        self.assertGreater(kinds["clock"], 0)
        print(f"\n   {sent} records, {len(messages)} messages, {dict(kinds)}", flush=True)

    # --- the failure table ---

    def test_a_broker_that_is_down_is_waited_for(self):
        world = self.gateway("down")
        world.start()
        world.put("a/b", b"zero")
        world.wait_drained(1)
        world.wait(lambda: self.server.has_written_down("down"), "the queue on the broker's disk")
        self.server.kill()
        world.put("a/b", b"one")
        status = world.wait_status("offline", "Connection refused")
        self.assertIn(f"RabbitMQ at 127.0.0.1:{self.server.port}: ", status["error"])
        self.assertIn("offline", world.command("status", "--config", world.gateway_config).stdout)
        self.server.start()
        world.wait_drained(2)
        self.assertEqual({b"zero", b"one"}, {body for _, _, body in records_of(self.queue("down").read_all())})

    def test_an_exchange_that_is_missing_names_the_command_that_makes_it(self):
        world = self.gateway("missing", setup=False)
        world.start()
        world.put("a/b", b"one")
        status = world.wait_status("offline", "`spillway sink setup cloud` makes it")
        self.assertIn("no exchange 'missing'", status["error"])
        self.assertEqual(0, world.setup()[0])
        world.wait_drained(1)
        # And while it runs: what was confirmed stays, what comes next waits.
        queue = self.queue("missing")
        queue.channel.exchange_delete("missing")
        world.put("a/b", b"two")
        world.wait_status("offline", "no exchange 'missing'")
        self.assertEqual(1, world.acknowledged())
        self.assertEqual(0, world.setup()[0])
        world.wait_drained(2)
        self.assertEqual([], world.letters())

    def test_a_user_without_a_right_is_told_so(self):
        password = self.folder / "password"
        password.write_text("secret\n")
        owner = self.gateway("forbidden")
        owner.close()
        self.server.add_user("limited", "secret", "^$", "^$", "^$")
        url = f"amqp://limited@127.0.0.1:{self.server.port}"
        world = self.gateway("forbidden", url, setup=False, uplink_keys=f'password_file = "{password}"')
        world.start()
        world.put("a/b", b"one")
        world.wait_status("offline", "ACCESS_REFUSED - access to exchange 'forbidden'")
        code, _, error = world.setup()
        self.assertNotEqual(0, code)
        self.assertIn("ACCESS_REFUSED", error)
        self.server.ctl("set_permissions", "limited", "", "forbidden", "")
        world.wait_drained(1)
        # A wrong password, the next time it connects: the file is read anew.
        password.write_text("wrong\n")
        world.uplink.stop()
        world.uplink.start()
        world.wait_status("offline", "ACCESS_REFUSED - Login was refused")

    def test_a_record_that_no_queue_wants_is_a_dead_letter_and_stops_nobody(self):
        world = self.gateway("picky", tables='binding = "*.*.*.*.good.#"\n')
        world.start()
        world.put("a/good", b"first")
        world.put("a/bad", b"second")
        world.put("a/good", b"third")
        world.wait_drained(3)
        queue = self.queue("picky")
        self.assertEqual([b"first", b"third"], sorted(body for _, _, body in records_of(queue.read_all())))
        (letter,) = world.letters()
        self.assertEqual("a/bad", letter["topic"])
        self.assertIn("unroutable: no queue is bound to exchange picky for demo.gateway.telemetry.a.bad", letter["reason"])
        world.wait(lambda: world.uplink_status()["streams"][0]["dead_letters"] == 1, "the status to count it")
        # A person binds the queue for it, and has it sent again.
        queue.channel.queue_bind("picky", "picky", "#")
        self.assertEqual(0, world.command("dead", "requeue", "--all", "--config", world.gateway_config).returncode)
        world.wait_drained(4)
        messages = queue.read_all()
        self.assertEqual([b"second"], [body for _, _, body in records_of(messages)])

    def test_a_message_that_is_too_large_is_a_dead_letter_and_stops_nobody(self):
        world = self.gateway("large")
        world.start()
        world.put("a/b", b"first")
        world.put("a/b", b"x" * (MESSAGE_BYTES_MAX + 1))
        world.put("a/b", b"third")
        world.wait_drained(3)
        messages = self.queue("large").read_all()
        self.assertEqual({b"first", b"third"}, {body for _, _, body in records_of(messages)})
        gaps = [properties.headers for _, properties, _ in messages if properties.headers["spillway-kind"] == "gap"]
        self.assertEqual({("1", "2", "refused")},
                         {tuple(gap[f"spillway-{name}"] for name in ("offset", "next-offset", "reason")) for gap in gaps})  # fmt: skip
        (letter,) = world.letters()
        self.assertIn(f"too large: {MESSAGE_BYTES_MAX + 1} bytes", letter["reason"])

    def test_a_broker_without_memory_is_waited_for(self):
        world = self.gateway("alarm")
        world.start()
        world.put("a/b", b"one")
        world.wait_drained(1)
        self.server.ctl("set_vm_memory_high_watermark", "0")
        self.addCleanup(self.server.ctl, "set_vm_memory_high_watermark", "0.4")
        world.put("a/b", b"two")
        status = world.wait_status("blocked", "the broker has no room (connection.blocked: low on memory)")
        self.assertEqual("in use", status["links"][0]["state"])
        self.server.ctl("set_vm_memory_high_watermark", "0.4")
        world.wait_drained(2)
        world.wait_status("connected", "")

    def test_a_queue_that_is_full_is_waited_for_and_no_record_is_refused(self):
        world = self.gateway("full", tables='queue_max_bytes = "1MiB"\n')
        world.start()
        for _ in range(60):
            world.put("a/b", b"x" * 30_000)
            if world.uplink_status()["state"] == "blocked":
                break
        status = world.wait_status("blocked", "a queue does not take what is published (basic.nack)")
        self.assertEqual(0, status["streams"][0]["dead_letters"])
        sent = world.control()[0]
        queue, bodies = self.queue("full"), {}
        while len(bodies) < sent:
            for _, properties, body in records_of(queue.read_all()):
                bodies[identity(properties)] = body
        world.wait_drained(sent)
        self.assertEqual(sent, len(bodies))

    def test_a_certificate_that_nobody_vouches_for_is_refused(self):
        other = make_certificate(self.folder, "other")
        keys = lambda ca: f'[uplink.tls]\nca = "{ca}"\n'  # noqa: E731
        self.gateway("secret").close()
        url = f"amqps://127.0.0.1:{self.server.tls_port}"
        world = self.gateway("secret", url, setup=False, tables=keys(other["ca"]))
        world.start()
        world.put("a/b", b"one")
        world.wait_status("offline", "its certificate: self-signed certificate")
        world.uplink.stop()
        world.gateway_config.write_text(world.gateway_config.read_text().replace(other["ca"], self.tls["ca"]))
        world.uplink.start()
        world.wait_drained(1)
        wrong_name = self.gateway("secret", url.replace("127.0.0.1", "localhost"), setup=False, tables=keys(self.tls["ca"]))
        wrong_name.start()
        wrong_name.wait_status("offline", "its certificate: hostname mismatch")

    def test_a_broker_that_answers_slowly_holds_no_more_than_the_window(self):
        world = self.gateway("slow", uplink_keys="window_messages = 50\n")
        world.start()
        world.put("a/b", b"one")
        world.wait_drained(1)
        self.server.freeze()
        self.addCleanup(self.server.freeze, False)
        world.producer(0, 0, 1000).start()
        world.wait(lambda: world.backlog() > 500, "a backlog")
        status = world.wait(lambda: (found := world.uplink_status())["in_flight_bytes"] > 0 and found, "what is on its way")
        self.assertEqual("connected", status["state"])
        self.assertLessEqual(status["in_flight_bytes"], 50 * 2048)
        world.producers[0].stop()
        self.server.freeze(False)
        sent = world.wait(world.drained, "the end")
        offsets = {int(properties.headers["spillway-offset"]) for _, properties, _ in records_of(self.queue("slow").read_all(sent))}
        self.assertEqual(set(range(sent)), offsets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--seed", type=int, default=1)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
