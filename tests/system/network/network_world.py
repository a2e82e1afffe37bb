"""A World whose gateway and consumer live in two network namespaces with a bad link between them.

Beside daemons and configuration it holds what each situation needs: load, a supervisor such as `spillway run`, a watch on
memory, and the oracle (check_delivery.py), which shares no code with the engine.
"""

import contextlib
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from check_delivery import broken_promises, check  # noqa: E402
from harness import World, wait_until  # noqa: E402
from certificates import make_certificates  # noqa: E402
from namespaces import Network  # noqa: E402

CONSUMER_PORT = 7443
CONVERGES_S = 30  # after healing
# Peaks of resident memory. What may wait in them is bounded: a window of records in the uplink, a window for each connection and
# the writer's queue in the consumer; beside it stand libraries and SQLite's cache.
UPLINK_PEAK_KIB_MAX = 64 << 10
CONSUMER_PEAK_KIB_MAX = 192 << 10
SAMPLE_S = 0.1


class MemoryWatch:
    """The highest resident memory that each of some daemons had in any of its lives."""

    def __init__(self, *daemons):
        self.daemons = daemons
        self.peak_kib = {daemon.name: 0 for daemon in daemons}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        last = False
        while not last:
            last = self.stopped.wait(SAMPLE_S)
            for daemon in self.daemons:
                self.peak_kib[daemon.name] = max(self.peak_kib[daemon.name], self._peak(daemon))

    @staticmethod
    def _peak(daemon):
        with contextlib.suppress(OSError, AttributeError):
            found = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text())
            return int(found[1]) if found else 0  # a process that is just going has none
        return 0

    def stop(self):
        self.stopped.set()
        self.thread.join()
        return self.peak_kib


class Supervisor:
    """Starts a daemon again when it has ended by itself, as `spillway run` and systemd do."""

    def __init__(self, *daemons):
        self.daemons = daemons
        self.lock = threading.Lock()  # held by whoever stops one on purpose
        self.restarts = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.stopped.wait(0.3):
            with self.lock:
                for daemon in self.daemons:
                    if daemon.process is not None and not daemon.alive():
                        self.restarts += 1
                        daemon.start()

    def stop(self):
        self.stopped.set()
        self.thread.join()


class NetworkWorld(World):
    """`uplink_keys` and `consumer_keys` are more lines for those sections; `host` is how the uplink names the consumer. With
    `inbox_bytes` the inbox stands on a file system of that size. `scheme` "wss" makes certificates, too."""

    def __init__(self, binaries, forwarder, seed=1, scheme="ws", host=None, uplink_keys="", consumer_keys="", inbox_bytes=0,
                 **options):
        self.net = Network(forwarder, seed)
        self.scheme, self.host = scheme, host or self.net.far.address
        self.uplink_keys, self.consumer_keys = uplink_keys, consumer_keys
        self.inbox_bytes = inbox_bytes
        self.supervisor = None
        # Small segments: what is acknowledged is soon gone, so that an ack that came too early is a loss that the oracle sees.
        super().__init__(binaries, **{"segment_bytes": "96KiB", "max_bytes": "256MiB", "sync_interval": "100ms", **options})
        self.memory = MemoryWatch(self.uplink, self.consumer)

    def daemon(self, name, program, *arguments):
        daemon = super().daemon(name, program, *arguments)
        side = {"consumer": self.net.far, "uplink": self.net.near}.get(name)
        if side:
            daemon.command = side.command(*daemon.command)
        return daemon

    def _write_configs(self, segment_bytes, max_bytes, sync_interval):
        if self.inbox_bytes:
            folder = self.root / "inbox"
            folder.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.inbox_bytes}", "inbox", folder], check=True)
            self.inbox = folder / "inbox.db"
        if self.scheme == "wss":
            make_certificates(self.root, self.host)
            self.uplink_keys += f'\n[uplink.tls]\nca = "{self.root}/ca.pem"\n'
            self.consumer_keys += f'\n[consumer.tls]\ncertificate = "{self.root}/server.pem"\nkey = "{self.root}/server.key"\n'
        super()._write_configs(segment_bytes, max_bytes, sync_interval)
        gateway = self.gateway_config.read_text()
        gateway = re.sub(r'url = ".*"', f'url = "{self.scheme}://{self.host}:{CONSUMER_PORT}"', gateway)
        self.gateway_config.write_text(gateway + self.uplink_keys)
        consumer = re.sub(r'listen = ".*"', f'listen = "{self.scheme}://{self.net.far.address}:{CONSUMER_PORT}"',
                          self.consumer_config.read_text())  # fmt: skip
        self.consumer_config.write_text(consumer + self.consumer_keys)

    def with_library(self, daemon, library, **variables):
        """From its next start on the daemon runs with this library before all others."""
        words = ["env", f"LD_PRELOAD={library}", *(f"{key}={value}" for key, value in variables.items())]
        at = daemon.command.index("--") + 1 if "--" in daemon.command else 0  # behind nsenter's own words
        daemon.command = [*daemon.command[:at], *words, *daemon.command[at:]]

    # --- running ---

    def start(self, supervise=True):
        for daemon in (self.consumer, self.agent):
            daemon.start()
        ready = self.queue_dir / "lanes"
        wait_until(lambda: ready.is_dir() or not self.agent.alive(), "the agent's queue directory")
        if not self.agent.alive():
            raise AssertionError(f"the agent ended at once:\n{self.agent.log_tail()}")
        self.uplink.start()
        if supervise:
            self.supervisor = Supervisor(self.consumer, self.uplink)
        return self

    def load(self, rate=1000, record_bytes=128, producers=1, lane_bytes="4MiB"):
        """Producers that go on until finish()."""
        for index in range(producers):
            self.producer(index, 0, rate, lane_bytes=lane_bytes, record_bytes=record_bytes).start()
        return self

    def wait_flowing(self, timeout_s=CONVERGES_S):
        """Something was acknowledged that was not before."""
        before = self.acknowledged()
        self.wait(lambda: self.acknowledged() > before, "records to flow", timeout_s)
        return self

    def wait(self, condition, what, timeout_s=CONVERGES_S):
        """wait_until(), and what both daemons said if it was in vain."""
        try:
            return wait_until(condition, what, timeout_s)
        except TimeoutError as error:
            dead = [f"; the {daemon.name} has ended by itself with {daemon.process.returncode}"
                    for daemon in (self.agent, self.uplink, self.consumer) if not daemon.alive()]  # fmt: skip
            raise TimeoutError(f"{error}{''.join(dead)}; {self.acknowledged()} of {self.control()[0]} acknowledged; the uplink says:\n"
                               f"{self.uplink.log_tail()}\nthe consumer says:\n{self.consumer.log_tail()}") from None  # fmt: skip

    def restart(self, daemon, away_s=0.0):
        """kill -9 and, so much later, a new start, without the supervisor's help."""
        with self.supervisor.lock if self.supervisor else contextlib.nullcontext():
            daemon.kill()
            time.sleep(away_s)
            daemon.start()

    def connections(self):
        """Sessions that the uplink has had, by its log."""
        return self._said(": connected to ")

    def disconnections(self):
        """How often it said that it has none."""
        return self._said(": not connected to ")

    def _said(self, words):
        with contextlib.suppress(OSError):
            return self.uplink.log_path.read_text(errors="replace").count(words)
        return 0

    # --- judging ---

    def converge(self, limit_s=CONVERGES_S):
        """How long from now until all that stands in the spill now is acknowledged; the load goes on."""
        self.wait(lambda: self.control()[0] > 0, "the load's first record", limit_s)
        began = time.monotonic()
        wanted = self.control()[0]
        self.wait(lambda: self.acknowledged() >= wanted, f"convergence up to {wanted}", limit_s)
        return time.monotonic() - began

    def finish(self, limit_s=CONVERGES_S):
        """Ends the load, waits for the last record, and asks the oracle. Returns its report; fails on a broken promise."""
        for producer in self.producers:
            if producer.alive():
                producer.process.send_signal(signal.SIGTERM)
        for producer in self.producers:
            producer.process.wait(15)
        self.wait(self.drained, "the drain", limit_s)
        if self.supervisor:
            self.supervisor.stop()
        report = check(self.inbox, self.tallies, {})
        report["memory_kib"] = self.memory.stop()
        problems = broken_promises(report) + self._memory_problems(report["memory_kib"])
        if not report["delivered"]:
            problems.append("nothing was delivered")
        if problems:
            raise AssertionError(f"{', '.join(problems)}: {report}")
        return report

    @staticmethod
    def _memory_problems(peak_kib):
        limits = {"uplink": UPLINK_PEAK_KIB_MAX, "consumer": CONSUMER_PEAK_KIB_MAX}
        return [f"{name} had {peak} KiB of at most {limits[name]}" for name, peak in peak_kib.items() if not 0 < peak <= limits[name]]

    def rows(self):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(f"file:{self.inbox}?mode=ro", uri=True)) as inbox:
            return inbox.execute("SELECT COUNT(*) FROM record").fetchone()[0]
        return 0

    def close(self):
        if self.supervisor:
            self.supervisor.stop()
        if hasattr(self, "memory"):
            self.memory.stop()
        for daemon in (self.consumer, self.uplink, self.agent):
            with contextlib.suppress(OSError):
                daemon.kill()
        if self.inbox_bytes:
            subprocess.run(["umount", self.inbox.parent], check=False)
        super().close()
        self.net.close()
