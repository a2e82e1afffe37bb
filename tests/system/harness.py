"""The pieces that the demo, the kill test and the soak share: a small world of real daemons on this machine.

A World is one folder with a gateway's configuration, a consumer's, and the processes that run on them. Nothing here knows
how Spillway works inside: daemons are started, killed and asked for their status as a person would do it.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import tempfile
import time

WATCHDOG_S = 60.0


def wait_until(condition, what, timeout_s=WATCHDOG_S, pause_s=0.02):
    """Waits for `condition()` to be truthy and returns its value; a watchdog, not a sleep."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout_s:.0f} s in vain: {what}")
        time.sleep(pause_s)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    """One process that can be killed and started again; its output is appended to a log file."""

    def __init__(self, name, command, log_dir):
        self.name = name
        self.command = [str(part) for part in command]
        self.log_path = pathlib.Path(log_dir) / f"{name}.log"
        self.process = None
        self.starts = 0

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.starts += 1
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9, and waits until the kernel has taken it away."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout_s=15):
        """SIGTERM; returns the exit code. A process that has ended by itself before that is a failure."""
        if not self.alive():
            raise RuntimeError(f"{self.name} ended by itself; see {self.log_path}:\n{self.log_tail()}")
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{self.name} did not end within {timeout_s} s of SIGTERM; see {self.log_path}") from None

    def log_tail(self, lines=15):
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return ""


class Tally:
    """A producer's own count, kept in a mapping of its own: intent before the enqueue, done after it.

    Layout (examples/tally_producer/tally.h): u64 intent, done, rejected, process_safe, then the latency histogram.
    """

    HEADER = struct.Struct("<4Q")
    BUCKETS = 1024

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        self.intent, self.done, self.rejected, self.process_safe = self.HEADER.unpack_from(data)
        self.histogram = struct.unpack_from(f"<{self.BUCKETS}Q", data, 64)


class World:
    """One gateway and one consumer in one folder."""

    def __init__(self, binaries, folder=None, segment_bytes="8MiB", max_bytes="1GiB", sync_interval="200ms", stream_keys=""):
        self.stream_keys = stream_keys
        self.binaries = pathlib.Path(binaries).resolve()
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._queue_root = tempfile.TemporaryDirectory(prefix="spillway-queue-", dir=base)
        self._root = None if folder else tempfile.TemporaryDirectory(prefix="spillway-world-")
        self.root = pathlib.Path(folder or self._root.name)
        self.root.mkdir(parents=True, exist_ok=True)
        self.queue_dir = pathlib.Path(self._queue_root.name) / "queue"
        self.spill_dir = self.root / "spill"
        self.inbox = self.root / "inbox.db"
        self.tallies = self.root / "tallies"
        self.tallies.mkdir(exist_ok=True)
        self.consumer_port = free_port()
        self.link_port = free_port()
        self.gateway_config = self.root / "gateway.toml"
        self.consumer_config = self.root / "consumer.toml"
        self._write_configs(segment_bytes, max_bytes, sync_interval)
        self.agent = self.daemon("agent", "spillway-agent", "--config", self.gateway_config)
        self.uplink = self.daemon("uplink", "spillway-uplink", "--config", self.gateway_config)
        self.consumer = self.daemon("consumer", "spillway-consumer", "--config", self.consumer_config)
        self.link = self.relay()
        self.producers = []

    def daemon(self, name, program, *arguments):
        return Daemon(name, [self.binaries / program, *arguments], self.root)

    def relay(self):
        script = pathlib.Path(__file__).with_name("relay.py")
        return Daemon("link", ["python3", script, str(self.link_port), str(self.consumer_port)], self.root)

    def _write_configs(self, segment_bytes, max_bytes, sync_interval):
        self.gateway_config.write_text(
            f"""[gateway]
name = "demo/gateway"
queue_dir = "{self.queue_dir}"
spill_dir = "{self.spill_dir}"

[[stream]]
name = "telemetry"
topics = ["#"]
sync_interval = "{sync_interval}"
segment_bytes = "{segment_bytes}"
max_bytes = "{max_bytes}"
{self.stream_keys}

[[uplink]]
name = "cloud"
streams = ["telemetry"]
url = "ws://127.0.0.1:{self.link_port}"
reconnect_min = "50ms"
reconnect_max = "500ms"
"""
        )
        self.consumer_config.write_text(
            f"""[consumer]
listen = "ws://127.0.0.1:{self.consumer_port}"
inbox = "sqlite:{self.inbox}"
"""
        )

    # --- producers ---

    def producer(self, index, incarnation, rate, lane_bytes="16MiB", record_bytes=64):
        """A tally producer; its tally is kept in <tallies>/<index>.<incarnation>."""
        tally = self.tallies / f"{index}.{incarnation}"
        daemon = self.daemon(
            f"producer-{index}.{incarnation}", "tally-producer", "--queue-dir", self.queue_dir, "--index", index,
            "--incarnation", incarnation, "--rate", rate, "--lane-bytes", lane_bytes, "--record-bytes", record_bytes,
            "--tally", tally)  # fmt: skip
        daemon.incarnation_next = incarnation + 1
        self.producers.append(daemon)
        return daemon

    # --- what a person could ask ---

    def command(self, *arguments, **options):
        return subprocess.run([str(self.binaries / "spillway"), *map(str, arguments)], capture_output=True, text=True,
                              timeout=WATCHDOG_S, check=False, **options)  # fmt: skip

    def status(self):
        """`spillway status --json`, or nothing while it has no answer."""
        result = self.command("status", "--json", "--config", self.gateway_config)
        if not result.stdout.strip():
            return None
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(result.stdout)
        return None

    def control(self):
        """(next_offset, durable_offset) from the stream's control page as docs/format.md describes it."""
        with contextlib.suppress(OSError, struct.error):
            page = (self.places()[-1] / "control").read_bytes()
            return struct.unpack_from("<2Q", page, 40)
        return (0, 0)

    def acknowledged(self):
        """The cursor's next offset: the newer of its two slots; of two cursors, the one that is further."""
        return max(map(self._cursor_in, self.places()))[1]

    @staticmethod
    def _cursor_in(place):
        """(journal sequence, next offset)"""
        newest = (0, 0, 0)
        with contextlib.suppress(OSError, struct.error):
            data = (place / "cursors" / "cloud").read_bytes()
            for at in (0, 4096):
                newest = max(newest, (struct.unpack_from("<Q", data, at + 24)[0], *struct.unpack_from("<2Q", data, at + 48)))
        return newest[1:]

    def places(self):
        """The stream's directory on the disk and, if it has one, the one in memory (docs/format.md, 'memory-first')."""
        stream = self.spill_dir / "telemetry"
        with contextlib.suppress(OSError):
            memory = pathlib.Path((stream / "memory").read_text().rstrip("\n"))
            if (memory / "home").exists():
                return [stream, memory]
        return [stream]

    def backlog(self):
        return self.control()[0] - self.acknowledged()

    @staticmethod
    def backlog_of(place):
        """The same of a place that is known, whatever the disk says."""
        return struct.unpack_from("<Q", (place / "control").read_bytes(), 40)[0] - World._cursor_in(place)[1]

    def wait_ready(self):
        wait_until(lambda: (self.queue_dir / "lanes").is_dir(), "the agent's queue directory")

    def drained(self):
        """All lanes are in the spill and the far end has acknowledged all of it."""
        spilled = self.control()[0]
        return spilled if spilled == self.acknowledged() and not self.live_lanes() else None

    def live_lanes(self):
        # The directory may not be listed by others; the test runs as the agent's user.
        with contextlib.suppress(OSError):
            return [name for name in os.listdir(self.queue_dir / "lanes") if name.endswith(".lane")]
        return []

    def close(self):
        """Stops whatever still runs; never fails."""
        for daemon in [*self.producers, self.uplink, self.consumer, self.agent, self.link]:
            with contextlib.suppress(Exception):
                daemon.kill()
        self._queue_root.cleanup()
        if self._root:
            self._root.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def random_source(seed):
    """A seeded source of chance, so that a failing round can be run again."""
    return random.Random(seed)
