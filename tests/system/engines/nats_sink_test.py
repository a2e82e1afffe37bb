#!/usr/bin/env python3
"""nats_sink_test.py --bin DIR: the uplink into a real NATS JetStream, which is killed and refused in every way that it has."""

import argparse
import os
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from engine_tests import EngineMissing, main  # noqa: E402
from harness import wait_until  # noqa: E402
from nats_server import PROGRAM, NatsReader, NatsServer  # noqa: E402
from sink_world import SinkWorld, frozen, judge, wait_window_is_full  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "network"))
from certificates import make_certificates  # noqa: E402

USERS = """authorization { users = [
  { user: "gateway", password: "secret" },
  { user: "reader", password: "secret", permissions: { publish: { allow: ["$JS.API.>", "_INBOX.>"] } } },
] }"""


class NatsSink(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillway-nats-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def serve(self, extra=""):
        server = NatsServer(self.folder, extra)
        self.addCleanup(server.kill)
        return server.start()

    def world(self, url, **options):
        world = SinkWorld(ARGUMENTS.bin, url, **options)
        self.addCleanup(world.close)
        return world

    def set_up(self, world, *arguments):
        return world.command("sink", "setup", "cloud", "--config", world.gateway_config, *arguments)

    def made(self, world):
        done = self.set_up(world)
        self.assertEqual(0, done.returncode, done.stderr)
        return world.start()

    def messages(self, server, **options):
        reader = NatsReader(server.port, **options)
        self.addCleanup(reader.close)
        return list(reader.messages("SPILLWAY"))

    def wait_all(self, world):
        wait_until(world.all_there, "all records to be acknowledged", 60)

    def state(self, world, words):
        wait_until(lambda: words in str(world.uplink_status().get("error", "")) + str(world.uplink_status().get("hindrance", "")),
                   f"'{words}' in the status: {world.uplink_status()}\n{world.uplink.log_tail()}", 30)  # fmt: skip

    def test_every_record_once_and_in_order_whatever_is_killed(self):
        server = self.serve()
        world = self.made(self.world(server.url))
        for kills in range(6):
            world.put_some(3)
            victim = (server, world.uplink)[kills % 2]
            victim.kill()
            world.put_some(1)
            victim.start()
        self.wait_all(world)
        wrong, doubled = judge(self.messages(server), world.put_lines)
        self.assertEqual([], wrong)
        self.assertEqual(0, doubled, "the server drops what comes twice within its window")

    def test_setup_says_what_it_makes_and_the_uplink_says_what_is_missing(self):
        server = self.serve()
        world = self.world(server.url).start()
        world.put_some(1)
        self.state(world, "spillway sink setup")
        shown = self.set_up(world, "--dry-run")
        self.assertIn("stream SPILLWAY", shown.stdout)
        reader = NatsReader(server.port)
        self.addCleanup(reader.close)
        self.assertIn("error", reader.stream("SPILLWAY"))
        self.assertEqual(0, self.set_up(world).returncode)
        self.wait_all(world)
        self.assertEqual(0, self.set_up(world).returncode, "once more, it is as it was")

    def test_a_server_that_is_away_costs_nothing_but_time(self):
        server = self.serve()
        world = self.made(self.world(server.url))
        server.kill()
        world.put_some(4)
        self.state(world, "NATS at 127.0.0.1")
        server.start()
        self.wait_all(world)
        self.assertEqual(([], 0), judge(self.messages(server), world.put_lines))

    def test_a_server_that_hangs_holds_no_more_than_the_window_and_loses_nothing(self):
        server = self.serve()
        world = self.made(self.world(server.url, keys="window_messages = 50"))
        world.put_some(1)
        self.wait_all(world)
        with frozen(server.daemon):
            world.put_some(2)
            wait_window_is_full(world, 50)
        self.wait_all(world)
        self.assertEqual(([], 0), judge(self.messages(server), world.put_lines))

    def test_a_certificate_of_another_authority_is_named_and_the_right_one_is_taken(self):
        (other := self.folder / "other").mkdir()
        for folder in (self.folder, other):
            make_certificates(folder, "127.0.0.1")
        (ca := self.folder / "trusted.pem").write_bytes((other / "ca.pem").read_bytes())
        server = self.serve(f'tls {{ cert_file: "{self.folder}/server.pem", key_file: "{self.folder}/server.key" }}')
        world = self.world(server.url, tables=f'[uplink.tls]\nca = "{ca}"').start()
        world.put_some(1)
        self.state(world, "certificate")
        ca.write_bytes((self.folder / "ca.pem").read_bytes())
        self.assertEqual(0, self.set_up(world).returncode)
        self.wait_all(world)

    def test_a_full_stream_is_no_records_fault(self):
        server = self.serve()
        world = self.made(self.world(server.url, tables='[uplink.nats]\nmax_bytes = "16KiB"'))
        world.put_some(4)
        self.state(world, "takes no more")
        self.assertFalse(world.all_there())
        text = world.gateway_config.read_text().replace('max_bytes = "16KiB"', "")
        world.gateway_config.write_text(text)
        self.assertEqual(0, self.set_up(world).returncode)
        self.wait_all(world)
        self.assertEqual(([], 0), judge(self.messages(server), world.put_lines))

    def test_what_the_server_will_never_take_is_a_dead_letter_and_the_rest_goes_on(self):
        server = self.serve("max_payload: 8KB")
        world = self.made(self.world(server.url))
        world.put_some(1)
        world.command("put", "sensor/large", "--queue-dir", world.queue_dir, "--input", "lines", input="y" * 20_000 + "\n")
        world.put_some(1)
        wait_until(lambda: world.acknowledged() >= world.records_put() + 1, "all, and the large one", 60)
        dead = world.command("dead", "list", "--uplink", "cloud", "--config", world.gateway_config)
        self.assertIn("larger than the server takes", dead.stdout + dead.stderr)
        _, doubled = judge(self.messages(server), world.put_lines)
        self.assertEqual(0, doubled)

    def test_who_may_not_publish_is_told(self):
        server = self.serve(USERS)
        password = self.folder / "password"
        password.write_text("secret\n")
        world = self.world(server.url.replace("//", "//reader@"), keys=f'password_file = "{password}"')
        self.assertEqual(0, self.set_up(world).returncode)
        world.start()
        world.put_some(1)
        self.state(world, "ermission")
        password.write_text("wrong\n")
        world.uplink.kill()
        world.uplink.start()
        self.state(world, "password_file")


def have_nats():
    if not os.access(PROGRAM, os.X_OK):
        raise EngineMissing(f"{PROGRAM} is not installed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    main("NATS", rest, have_nats)
