"""A gateway with RouDi, real iceoryx publishers and the bridge between them, all in a mount namespace of their own.

iceoryx has fixed names in /tmp and /dev/shm, one RouDi for a machine: so a test has both to itself.
"""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import WATCHDOG_S, Daemon, wait_until  # noqa: E402

INSIDE = "SPILLWAY_ICEORYX_TEST"
SKIPPED = 77

# $1: how many directories follow that must be seen inside, even if they stand in /tmp; then the command.
PRIVATE = """
set -e
n=$1; shift
i=0
while [ "$i" -lt "$n" ]; do
  eval "keep$i=\\$1"; shift
  eval "exec $((5 + i))<\\"\\$keep$i\\""
  i=$((i + 1))
done
mount -t tmpfs -o size=50% spillway-test /dev/shm
mount -t tmpfs spillway-test /tmp
i=0
while [ "$i" -lt "$n" ]; do
  eval "folder=\\$keep$i"
  case "$folder" in /tmp/*) mkdir -p "$folder"; mount --bind "/proc/$$/fd/$((5 + i))" "$folder" ;; esac
  eval "exec $((5 + i))<&-"
  i=$((i + 1))
done
exec "$@"
"""

ROUDI_CONFIG = """[general]
version = 1

[[segment]]

[[segment.mempool]]
size = 512
count = 4096
"""


def enter_namespace(*folders):
    """Runs this script again in a namespace of its own; exits 77 where that cannot be."""
    if os.environ.get(INSIDE):
        return
    for reason, missing in (("needs root, for a mount namespace", os.geteuid() != 0),
                            ("needs iox-roudi (Debian: iceoryx)", shutil.which("iox-roudi") is None),
                            ("needs unshare (Debian: util-linux)", shutil.which("unshare") is None)):  # fmt: skip
        if missing:
            print(f"skipped: {reason}")
            sys.exit(SKIPPED)
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, timeout=30, check=False)
    if probe.returncode != 0:
        print(f"skipped: no mount namespace here: {probe.stderr.strip()}")
        sys.exit(SKIPPED)
    kept = [str(pathlib.Path(folder).resolve()) for folder in (pathlib.Path(__file__).parent, *folders)]
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "sh", "-c", PRIVATE, "sh", str(len(kept)), *kept,
                          sys.executable, *sys.argv])  # fmt: skip


def sample(incarnation, number):
    """As iceoryx_publisher.cc makes it."""
    filling = bytes((incarnation * 7 + number + i) % 256 for i in range(number * 37 % 200))
    return struct.pack("<QQ", incarnation, number) + filling


def number_of(payload):
    return struct.unpack_from("<QQ", payload)


class Roudi(Daemon):
    """The one of this namespace; it goes on from one test to the next."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="spillway-roudi-")
        config = pathlib.Path(self._folder.name) / "roudi.toml"
        config.write_text(ROUDI_CONFIG)
        super().__init__("roudi", ["iox-roudi", "-c", config], self._folder.name)

    def start(self):
        return self if self.alive() else super().start()


class IceoryxWorld:
    """`instance`: of the service, in each [[iceoryx.map]] a name of this world's own: RouDi forgets the dead slowly."""

    worlds = 0
    publishers_made = 0

    def __init__(self, binaries, maps, roudi):
        IceoryxWorld.worlds += 1
        self.instance = f"Front{IceoryxWorld.worlds}"
        self.binaries = pathlib.Path(binaries).resolve()
        self._folder = tempfile.TemporaryDirectory(prefix="spillway-iceoryx-")
        self.root = pathlib.Path(self._folder.name)
        self.queue = self.root / "queue"
        self.spill = self.root / "spill"
        self.config = self.root / "spillway.toml"
        self.config.write_text(
            f'[gateway]\nname = "test"\nqueue_dir = "{self.queue}"\nspill_dir = "{self.spill}"\n'
            f'[[stream]]\nname = "all"\ntopics = ["#"]\nsync_interval = "200ms"\n{maps.replace("Front", self.instance)}')
        self.roudi = roudi
        self.agent = self.daemon("agent", "spillway-agent")
        self.bridge = self.daemon("bridge", "spillway-iceoryx")
        self.publishers = []

    def daemon(self, name, program):
        return Daemon(name, [self.binaries / program, "--config", self.config], self.root)

    def start(self):
        self.roudi.start()
        self.agent.start()
        self.bridge.start()
        self.wait_reading()
        return self

    def wait_reading(self, life=None):
        def reads():
            status = self.status()
            return status and status["state"] == "reading" and status["pid"] == self.bridge.process.pid and (
                life is None or status["roudi_lives"] >= life)
        wait_until(reads, f"the bridge to read; its log:\n{self.bridge.log_tail()}", 30)

    def status(self):
        """What the bridge says of itself; nothing while it has not."""
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return json.loads((self.queue / "iceoryx.status").read_text())
        return None

    def map_status(self, index=0):
        return (self.status() or {"maps": [{}] * 8})["maps"][index]

    def reader_pid(self):
        children = pathlib.Path(f"/proc/{self.bridge.process.pid}/task/{self.bridge.process.pid}/children").read_text()
        return int(children.split()[0])

    def publisher(self, *arguments, name=None):
        IceoryxWorld.publishers_made += 1
        daemon = Daemon(name or f"publisher-{IceoryxWorld.publishers_made}", [self.binaries / "iceoryx-publisher", "--instance", self.instance, *arguments], self.root)
        self.publishers.append(daemon)
        return daemon.start()

    def published(self, publisher, timeout_s=WATCHDOG_S):
        """Waits until it has said how many."""
        def said():
            lines = publisher.log_path.read_text().splitlines()
            counts = [line for line in lines if line.startswith("published ")]
            return counts and int(counts[-1].split()[1])
        return wait_until(said, f"{publisher.name} to be done: {publisher.log_tail()}", timeout_s)

    def command(self, *arguments):
        return subprocess.run([self.binaries / "spillway", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)

    def records(self, start=0):
        """(topic, payload) of all that the stream holds from this offset on, in its order."""
        tail = self.command("tail", "all", "--config", self.config, "--json", "--from", start)
        found = []
        for line in tail.stdout.splitlines():
            record = json.loads(line)
            if "gap" in record:
                raise AssertionError(f"the stream has a gap: {line}")
            found.append((record["topic"], base64.b64decode(record["payload"])))
        return found

    def next_offset(self):
        with contextlib.suppress(OSError, struct.error):
            return struct.unpack_from("<Q", (self.spill / "all" / "control").read_bytes(), 40)[0]
        return 0

    def wait(self, condition, what):
        try:
            return wait_until(condition, what, 30)
        except TimeoutError as error:
            logs = "\n".join(daemon.log_tail() for daemon in (self.roudi, self.bridge, self.agent))
            raise TimeoutError(f"{error}; {self.next_offset()} records, status {self.status()}\n{logs}") from None

    def wait_records(self, count):
        self.wait(lambda: self.next_offset() >= count, f"{count} records")
        return self.records()

    def wait_incarnation(self, incarnation, count, start):
        """The records from this offset on, once so many are of this publisher."""
        known = {}

        def there():
            if self.next_offset() < start + count or known.get("at") == self.next_offset():
                return None
            known["at"] = self.next_offset()
            records = self.records(start)
            return records if sum(number_of(payload)[0] == incarnation for _, payload in records) >= count else None

        return self.wait(there, f"{count} samples of {incarnation}")

    def close(self):
        for daemon in [*self.publishers, self.bridge, self.agent]:
            with contextlib.suppress(Exception):
                if daemon.process is not None:
                    os.kill(daemon.process.pid, signal.SIGCONT)
                    daemon.kill()
        self._folder.cleanup()
