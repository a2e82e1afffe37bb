"""A gateway whose lanes are filled by spillway-mqtt from a real mosquitto; what its stream holds is read by `spillway tail`."""

import base64
import contextlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import Daemon, wait_until  # noqa: E402
from mosquitto_server import MosquittoServer  # noqa: E402

EVERYTHING = '[[mqtt.map]]\nfilter = "#"\n'


class MqttIngestWorld:
    """`keys` are lines of [mqtt], `maps` the tables behind it; `port`: of a relay before the broker."""

    def __init__(self, binaries, saves=0):
        self.binaries = pathlib.Path(binaries).resolve()
        self._folder = tempfile.TemporaryDirectory(prefix="spillway-mqtt-ingest-")
        self._queue = tempfile.TemporaryDirectory(prefix="spillway-queue-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.root = pathlib.Path(self._folder.name)
        self.queue, self.spill = pathlib.Path(self._queue.name) / "queue", self.root / "spill"
        self.config = self.root / "spillway.toml"
        self.server = MosquittoServer(self.root / "broker", saves=saves)
        self.agent = self.daemon("agent", "spillway-agent")
        self.adapter = self.daemon("mqtt", "spillway-mqtt")

    def daemon(self, name, program):
        return Daemon(name, [self.binaries / program, "--config", self.config], self.root)

    def configure(self, keys="", maps=EVERYTHING, port=None, url=None, stream=""):
        url = url or f"mqtt://127.0.0.1:{port or self.server.port}"
        self.config.write_text(
            f'[gateway]\nname = "pump"\nqueue_dir = "{self.queue}"\nspill_dir = "{self.spill}"\n'
            f'[[stream]]\nname = "all"\ntopics = ["#"]\nsync_interval = "200ms"\n{stream}\n[mqtt]\nurl = "{url}"\n{keys}\n{maps}\n')
        return self

    def start(self):
        self.server.start()
        self.agent.start()
        self.adapter.start()
        self.wait_reading()
        return self

    def wait_reading(self):
        def reads():
            status = self.status()
            return status and status["state"] == "reading" and status["pid"] == self.adapter.process.pid
        self.wait(reads, "the adapter to read")

    def status(self):
        """What the adapter says of itself; nothing while it has not."""
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return json.loads((self.queue / "mqtt.status").read_text())
        return None

    def map_status(self, index=0):
        return (self.status() or {"maps": [{}] * 8})["maps"][index]

    def next_offset(self):
        with contextlib.suppress(OSError, struct.error):
            return struct.unpack_from("<Q", (self.spill / "all" / "control").read_bytes(), 40)[0]
        return 0

    def command(self, *arguments):
        return subprocess.run([self.binaries / "spillway", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)

    def records(self):
        """(topic, payload or what the schema makes of it) of all that the stream holds, in its order."""
        found = []
        for line in self.command("tail", "all", "--config", self.config, "--json").stdout.splitlines():
            record = json.loads(line)
            if "gap" in record:
                raise AssertionError(f"the stream has a gap: {line}")
            found.append((record["topic"], base64.b64decode(record["payload"]) if "payload" in record else record["record"]))
        return found

    def wait(self, condition, what, timeout_s=60):
        try:
            return wait_until(condition, what, timeout_s)
        except TimeoutError as error:
            logs = "\n".join(daemon.log_tail() for daemon in (self.adapter, self.agent))
            raise TimeoutError(f"{error}; {self.next_offset()} records, status {self.status()}\n{logs}") from None

    def wait_records(self, count):
        self.wait(lambda: self.next_offset() >= count, f"{count} records")
        return self.records()

    def wait_log(self, words, times=1, daemon=None):
        daemon = daemon or self.adapter
        self.wait(lambda: daemon.log_tail(10_000).count(words) >= times, f"'{words}' {times} times in the log")

    def close(self):
        for daemon in (self.adapter, self.agent):
            with contextlib.suppress(Exception):
                daemon.kill()
        self.server.kill()
        self._queue.cleanup()
        self._folder.cleanup()
