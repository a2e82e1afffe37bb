#!/usr/bin/env python3
"""service_test.py --bin DIR: what each daemon tells the service manager that started it.

The manager's end is a datagram socket of this test's own (systemd's protocol): READY=1 once the daemon serves, WATCHDOG=1 at
least twice in each watchdog's time, STOPPING=1 at SIGTERM; and READY=1 never where a daemon cannot start.
"""

import argparse
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from harness import free_port

ARGUMENTS = None
WATCHDOG_S = 3.0  # half of it is no whole number of the agent's seconds between two looks
PATIENCE_S = 30.0

CONFIG = """
[gateway]
queue_dir = "{root}/queue"
spill_dir = "{root}/spill"
[[uplink]]
name = "native"
url = "ws://127.0.0.1:{port}"
[[uplink]]
name = "engine"
url = "amqp://guest@127.0.0.1:{closed}/"
[api]
socket = "{root}/api.sock"
[[capture]]
name = "shop"
source = "sqlite:{root}/shop.db"
tables = ["pump"]
state_dir = "{root}/capture"
[consumer]
listen = "ws://127.0.0.1:{port}"
inbox = "sqlite:{root}/inbox.db"
"""


class Manager:
    """Starts one daemon as a service manager would, and hears what it says."""

    def __init__(self, root, command, watchdog_s=WATCHDOG_S):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = pathlib.Path(root) / "notify"
        path.unlink(missing_ok=True)
        self.socket.bind(str(path))
        self.log = open(pathlib.Path(root) / "log", "a+", encoding="utf-8")
        environment = dict(os.environ, NOTIFY_SOCKET=str(path), WATCHDOG_USEC=str(int(watchdog_s * 1e6)))
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)

    def hear(self, word, within_s=PATIENCE_S):
        """Waits for the word; what else was said before it is passed over. The seconds that it took."""
        begun = time.monotonic()
        while True:
            left = begun + within_s - time.monotonic()
            self.socket.settimeout(max(left, 0.001))
            try:
                if self.socket.recv(4096).decode() == word:
                    return time.monotonic() - begun
            except TimeoutError:
                self.log.seek(0)
                raise AssertionError(f"no {word} within {within_s} s; exit code {self.process.poll()}\n{self.log.read()}") from None

    def said(self):
        self.socket.settimeout(0.001)
        words = []
        while True:
            try:
                words.append(self.socket.recv(4096).decode())
            except TimeoutError:
                return words

    def end(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()
        self.log.close()


class Services(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.TemporaryDirectory(prefix="spillway-service-", dir="/dev/shm")
        self.addCleanup(self.root.cleanup)
        root = pathlib.Path(self.root.name)
        self.config = root / "spillway.toml"
        self.config.write_text(CONFIG.format(root=root, port=free_port(), closed=free_port()))
        subprocess.run([sys.executable, "-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("
                        "'CREATE TABLE pump(id INTEGER PRIMARY KEY, state TEXT)')", root / "shop.db"], check=True)  # fmt: skip

    def manage(self, program, *arguments):
        manager = Manager(self.root.name, [ARGUMENTS.bin / program, *arguments])
        self.addCleanup(manager.end)
        return manager

    def check(self, program, *arguments):
        manager = self.manage(program, *arguments)
        manager.hear("READY=1")
        for _ in range(4):
            self.assertLess(manager.hear("WATCHDOG=1"), WATCHDOG_S, program)
        manager.process.send_signal(signal.SIGTERM)
        manager.hear("STOPPING=1")
        self.assertIn(manager.process.wait(PATIENCE_S), (0, 1), program)  # 1: the sensor counted refused readings

    def test_agent(self):
        self.check("spillway-agent", "--config", self.config)

    def test_uplink_without_a_spill_and_without_far_ends(self):
        self.check("spillway-uplink", "--config", self.config)

    def test_consumer(self):
        self.check("spillway-consumer", "--config", self.config)

    def test_those_that_feed_lanes(self):
        agent = subprocess.Popen([ARGUMENTS.bin / "spillway-agent", "--config", self.config], stderr=subprocess.DEVNULL)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        queue = pathlib.Path(self.root.name) / "queue"
        end = time.monotonic() + PATIENCE_S
        while not (queue / "control").exists() and time.monotonic() < end:
            time.sleep(0.02)
        self.check("spillway-sensor", "--queue-dir", queue)
        self.check("spillway-api", "--config", self.config)
        self.check("spillway-capture", "--config", self.config)

    def test_one_that_hangs_falls_silent(self):
        manager = self.manage("spillway-agent", "--config", self.config)
        manager.hear("READY=1")
        manager.process.send_signal(signal.SIGSTOP)
        manager.said()
        with self.assertRaises(AssertionError):
            manager.hear("WATCHDOG=1", within_s=2 * WATCHDOG_S)

    def test_one_that_cannot_start_never_says_ready(self):
        self.config.write_text(self.config.read_text().replace("[gateway]", "[gatway]"))
        for program in ("spillway-agent", "spillway-uplink", "spillway-consumer"):
            manager = self.manage(program, "--config", self.config)
            self.assertEqual(2, manager.process.wait(PATIENCE_S), program)
            self.assertNotIn("READY=1", manager.said(), program)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
