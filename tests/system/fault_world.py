"""What the tests of disk faults share: a gateway whose spill stands on a disk of its own, its far end, and the oracle.

The oracle knows nothing of the engine: producers whose records carry their number, the rows and gaps of the consumer's inbox.
"""

import argparse
import collections
import contextlib
import errno
import mmap
import os
import pathlib
import sqlite3
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import exposition  # noqa: E402
from check_delivery import expected_check, read_fields  # noqa: E402
from harness import Tally, World, wait_until  # noqa: E402
from loop_disk import Disk, missing_means  # noqa: E402

ARGUMENTS = None
EIO = errno.EIO
GATEWAY_NAME = 'site "17"\\pump'  # what metrics must escape


def on_another_machine(folder, command):
    """The command in a mount namespace of its own, where the machine's id is another one."""
    machine_id = pathlib.Path(folder) / "machine-id"
    machine_id.write_text(os.urandom(16).hex() + "\n")
    script = 'mount --bind "$1" /etc/machine-id && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(machine_id), *map(str, command)]


class FailingCalls:
    """The page by which tests/faults/failing_disk.c is told what fails."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "fault-page"
        self.path.write_bytes(bytes(32))
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 32)

    def set(self, sync=0, write=0, read=0):
        struct.pack_into("<3I", self.page, 0, sync, write, read)

    def failed(self):
        return struct.unpack_from("<Q", self.page, 16)[0]


class FaultWorld(World):
    """A World with small segments; `stream` and `gateway` are more lines for those sections."""

    def __init__(self, binaries, stream="", **options):
        self.stream_lines = stream
        super().__init__(binaries, **{"segment_bytes": "256KiB", "max_bytes": "8MiB", "sync_interval": "50ms", **options})

    def _write_configs(self, *options):
        super()._write_configs(*options)
        text = self.gateway_config.read_text().replace('"demo/gateway"', "'" + GATEWAY_NAME + "'")
        self.gateway_config.write_text(text.replace("[[uplink]]", f'compress = "never"\n{self.stream_lines}\n[[uplink]]'))


class FaultTest(unittest.TestCase):
    def open_world(self, disk_bytes=48 << 20, mount=True, **options):
        if reason := missing_means():
            self.skipTest(reason)
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = tempfile.TemporaryDirectory(prefix="spillway-disk-", dir=memory)
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.world = FaultWorld(ARGUMENTS.bin, **options)
        self.addCleanup(self.world.close)
        self.disk = self.make_disk("disk", self.world.spill_dir, disk_bytes, mount)
        self.addCleanup(self.kill_all)  # first, so that nothing is busy
        self.counts = {}
        return self.world

    def make_disk(self, name, mount_point, size=48 << 20, mount=True):
        try:
            disk = Disk(self.folder / f"{name}.img", mount_point, size, mount)
        except OSError as error:
            self.skipTest(f"no loop-mounted ext4 here: {error}")
        self.addCleanup(disk.close)
        return disk

    def kill_all(self):
        for daemon in (*self.world.producers, self.world.agent, self.world.uplink):
            daemon.kill()

    def fail_calls(self):
        calls = FailingCalls(self.folder)
        self.world.agent.command = ["env", f"LD_PRELOAD={ARGUMENTS.failing_disk}", f"SPILLWAY_FAULT_PAGE={calls.path}",
                                    f"SPILLWAY_FAULT_DIR={self.world.spill_dir}", *self.world.agent.command]  # fmt: skip
        return calls

    # --- the gateway ---

    def start(self, linked=True):
        self.world.link.start()
        self.world.consumer.start()
        self.world.agent.start()
        self.world.wait_ready()
        wait_until(lambda: (self.world.status() or {}).get("agent"), "a status")
        if linked:
            self.world.uplink.start()

    def produce(self, count, index=0, rate=4000, lane_bytes="8MiB", record_bytes=256):
        """A producer of `count` records, numbered on from its last incarnation's; returned running."""
        incarnation = sum(1 for key in self.counts if key[0] == index)
        producer = self.world.producer(index, incarnation, rate, lane_bytes, record_bytes)
        producer.command += ["--count", str(count)]
        self.counts[index, incarnation] = count
        return producer.start()

    def finish(self, producer):
        self.assertEqual(0, producer.process.wait(30), producer.log_tail())

    def put(self, level, seconds="1"):
        """One record by the command; its exit code."""
        return self.world.command("put", "other", "--queue-dir", self.world.queue_dir, "--level", level, "--timeout", seconds,
                                  input="x\n").returncode  # fmt: skip

    def agent(self):
        status = wait_until(self.world.status, "a status")
        self.assertTrue(self.world.agent.alive(), self.world.agent.log_tail())
        return status["agent"]

    def stream(self):
        streams = self.agent()["streams"]
        return streams[0] if streams else {"state": "none", "fault": ""}

    def wait_stream(self, condition, what):
        return wait_until(lambda: condition(self.stream()), f"{what}; {self.stream()}", 30)

    def wait_spill(self, state):
        return wait_until(lambda: self.agent()["spill"]["state"] == state, f"the spill to be {state}", 30)

    def text(self):
        return self.world.command("status", "--config", self.world.gateway_config).stdout

    def metrics(self):
        result = self.world.command("status", "--prometheus", "--config", self.world.gateway_config)
        return exposition.read(result.stdout)

    def metric(self, metric_name, **labels):
        found = [value for key, value in self.metrics().get(metric_name, {}).items() if set(labels.items()) <= key]
        self.assertEqual(1, len(found), f"{metric_name}{labels}")
        return found[0]

    def same_agent(self):
        """It has neither died nor been started again."""
        self.assertTrue(self.world.agent.alive(), self.world.agent.log_tail())
        self.assertEqual(1, self.world.agent.starts)

    # --- the far end ---

    def inbox(self):
        return contextlib.closing(sqlite3.connect(f"file:{self.world.inbox}?mode=ro", uri=True))

    def delivered(self):
        """{gateway: {(producer, incarnation): [sequence, ...] by offset}}; altered records fail here."""
        found = collections.defaultdict(lambda: collections.defaultdict(list))
        with contextlib.suppress(sqlite3.OperationalError), self.inbox() as inbox:
            for gateway, topic, payload in inbox.execute("SELECT gateway, topic, payload FROM record ORDER BY record_offset"):
                if topic == "other":
                    continue
                producer, incarnation, sequence, check = read_fields(payload)
                self.assertEqual(expected_check(producer, incarnation, sequence), check, "altered")
                found[gateway][producer, incarnation].append(sequence)
        return found

    def missing(self):
        """{(producer, incarnation): sequences that no gateway has delivered}; doubled or disordered ones fail here."""
        seen = collections.defaultdict(set)
        for gateway, lanes in self.delivered().items():
            for lane, sequences in lanes.items():
                self.assertEqual(sequences, sorted(set(sequences)), f"{gateway} {lane}: doubled or out of order")
                seen[lane].update(sequences)
        refused = {key: self.rejected(*key) for key in self.counts}
        self.assertEqual({}, {key: count for key, count in refused.items() if count}, "refused by a lane")
        return {key: set(range(count)) - seen[key] for key, count in self.counts.items()}

    def rejected(self, index, incarnation):
        with contextlib.suppress(OSError, struct.error):
            return Tally(self.world.tallies / f"{index}.{incarnation}").rejected
        return 0  # its producer is only just there

    def wait_delivered(self, *but):
        """Everything, but for what the producers `but` put, has come."""
        def all_there():
            return not any(lost for key, lost in self.missing().items() if key not in but)

        try:
            wait_until(all_there, "the drain", 30, 0.1)
        except TimeoutError:
            missing = {key: (min(lost), max(lost), len(lost)) for key, lost in self.missing().items() if lost}
            self.fail(f"missing (first, last, count) {missing}, gaps {self.gaps()}\n{self.text()}\n"
                      f"{self.world.agent.log_tail()}\n{self.world.uplink.log_tail()}")  # fmt: skip

    def gaps(self):
        with self.inbox() as inbox:
            return inbox.execute("SELECT first_offset, next_offset, reason FROM gap ORDER BY first_offset").fetchall()


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--failing-disk", help="the library made of tests/faults/failing_disk.c")
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(module="__main__", argv=[sys.argv[0], *rest], verbosity=2)
