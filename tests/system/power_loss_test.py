"""power_loss_test.py --bin DIR --library FILE [--seed S] [--rounds N]: power is lost mid-write, again and again.

The spill lives on an ext4 file system of its own that is shut down under the daemons (what was not synced is gone), the
queue directory is wiped as a tmpfs would be, and all is started again. Judged by the producers' own notes of what they were
told to be power-safe, the consumer's inbox, and what an independent reader finds on the disk after each loss:

  - everything told power-safe is at the consumer, exactly once, in its producer's order, over all journals;
  - no (journal, offset) ever names two records, be it on the disk or at the consumer.
"""

import argparse
import collections
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import sqlite3
import struct
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent / "format_script"))
import read_segments  # noqa: E402
from harness import Daemon, World, random_source, wait_until  # noqa: E402
from loop_disk import Disk, missing_means  # noqa: E402

ARGUMENTS = None
PRODUCERS = 3
POWER_SAFE, FLUSH_TIMEOUT_NS = 2, 50_000_000
MEMORY_FIRST = 'placement = "memory-first"\nmemory_bytes = "1MiB"'
RECORD = struct.Struct("<IIQQ")


def filling(producer, incarnation, sequence):
    return (sequence * 0x9E3779B97F4A7C15 + producer * 0xD1B54A32D192ED03 + incarnation * 0xA24BAED4963EE407) % 2**64


def make_record(producer, incarnation, sequence):
    head = RECORD.pack(producer, incarnation, sequence, filling(producer, incarnation, sequence))
    return head + bytes([sequence % 251]) * (sequence * 37 % 700)


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("producer_name", ctypes.c_char_p), ("lane_bytes", ctypes.c_uint64),
                ("max_record_bytes", ctypes.c_uint32), ("schema_fingerprint", ctypes.c_uint64)]  # fmt: skip


def produce(library, queue_dir, producer, incarnation, notes):
    """Puts records until it is killed, and notes how many it put and how many of them it was told to be power-safe.

    The notes are a file on another file system: two numbers, each written only after the answer that it stands for.
    """
    library = ctypes.CDLL(library)
    library.spillway_producer_flush.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64]
    handle = ctypes.c_void_p()
    options = Options(ctypes.sizeof(Options), f"p{producer}".encode(), 1 << 20, 0, 0)
    status = library.spillway_producer_open(str(queue_dir).encode(), f"power/{producer}".encode(), ctypes.byref(options),
                                            ctypes.byref(handle))  # fmt: skip
    assert status == 0, status
    chance = random_source(producer * 1000 + incarnation)
    put = 0
    with open(notes, "wb", buffering=0) as file:
        while True:
            for _ in range(chance.randrange(1, 60)):
                record = make_record(producer, incarnation, put)
                if library.spillway_producer_put(handle, record, ctypes.c_size_t(len(record))) != 0:
                    break
                put += 1
            os.pwrite(file.fileno(), struct.pack("<Q", put), 0)
            # The last producer never asks; it keeps unsynced bytes behind what the others have made safe.
            if producer + 1 < PRODUCERS and library.spillway_producer_flush(handle, POWER_SAFE, FLUSH_TIMEOUT_NS) == 0:
                os.pwrite(file.fileno(), struct.pack("<Q", put), 8)
            else:
                time.sleep(0.002)


def without_holes(stream, segments):
    """Those of a stream that may stand in memory which count: none behind a hole (docs/format.md, 'Memory first')."""
    end = None
    with contextlib.suppress(FileNotFoundError):
        end = struct.unpack_from("<Q", (stream / "anchor").read_bytes(), 40)[0]
    counting = []
    for segment in segments:
        base, journal_first = struct.unpack_from("<Q16xQ", segment, 40)
        if end is not None and base > end and base != journal_first:
            break
        counting.append(segment)
        end = max([offset + (count if kind == read_segments.DATA else 0)
                   for offset, (kind, count, _, _) in read_segments.blocks(segment)], default=base)  # fmt: skip
    return counting


def records_on_disk(stream):
    """{(journal, offset): record} by docs/format.md: a later segment overrides an earlier one from its base on."""
    segments = [segment for segment in read_segments.segments(stream) if segment[:8] == b"SPILLSEG"]
    if ARGUMENTS.memory_first:
        segments = without_holes(stream, segments)
    bases = [struct.unpack_from("<Q", segment, 40)[0] for segment in segments]
    found = {}
    for index, segment in enumerate(segments):
        limit = min(bases[index + 1 :], default=2**64)
        journal = segment[72:88].hex()
        for offset, (kind, count, _, stored) in read_segments.blocks(segment):
            if offset > limit or (kind == read_segments.DATA and offset + count > limit):
                break
            at = 0
            for number in range(count if kind == read_segments.DATA else 0):
                size = struct.unpack_from("<I", stored, at)[0] - 1
                found[journal, offset + number] = bytes(stored[at + 16 : at + 16 + size])
                at += -(-(16 + size) // 16) * 16
    return found


class PowerLoss(unittest.TestCase):
    def setUp(self):
        if reason := missing_means():
            self.skipTest(reason)
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = tempfile.TemporaryDirectory(prefix="spillway-disk-", dir=memory)
        self.addCleanup(folder.cleanup)
        self.world = World(ARGUMENTS.bin, segment_bytes="256KiB", max_bytes="64MiB", sync_interval="20ms",
                           stream_keys=MEMORY_FIRST if ARGUMENTS.memory_first else "")  # fmt: skip
        self.addCleanup(self.world.close)
        try:
            self.disk = Disk(f"{folder.name}/disk.img", self.world.spill_dir)
        except OSError as error:
            self.skipTest(f"no loop-mounted ext4 here: {error}")
        self.addCleanup(self.disk.close)
        self.addCleanup(self.kill_all)
        self.world.consumer.start()
        self.running = []
        self.named = {}
        self.told = {}  # (producer, incarnation) -> records told power-safe before the power was cut

    def kill_all(self):
        for daemon in (self.world.agent, self.world.uplink, *getattr(self, "running", [])):
            daemon.kill()

    def notes(self, producer, incarnation):
        return self.world.tallies / f"{producer}.{incarnation}"

    def start_producers(self, incarnation):
        self.running = []
        for producer in range(PRODUCERS):
            command = [sys.executable, __file__, "--bin", ARGUMENTS.bin, "--library", ARGUMENTS.library, "--produce",
                       self.world.queue_dir, str(producer), str(incarnation), self.notes(producer, incarnation)]  # fmt: skip
            self.running.append(Daemon(f"producer-{producer}.{incarnation}", command, self.world.root).start())

    def start_gateway(self, linked):
        self.world.agent.start()
        self.world.wait_ready()
        wait_until(lambda: self.world.control() != (0, 0) or self.world.agent.alive(), "the agent")
        if linked:
            if not self.world.link.alive():
                self.world.link.start()
        else:
            self.world.link.kill()
        self.world.uplink.start()

    def take_note(self, records, where):
        """Each (journal, offset) names one record for ever."""
        for key, record in records.items():
            known = self.named.setdefault(key, record)
            self.assertEqual(known, record, f"{key} names two records; the second is {where}")

    def one_loss(self, chance, incarnation):
        linked = chance.random() < 0.6
        self.start_gateway(linked)
        self.start_producers(incarnation)
        wait_until(lambda: all(self.count(p, incarnation)[0] for p in range(PRODUCERS)), "the producers' first records")
        time.sleep(chance.uniform(0.05, 0.7))  # the random instant; nothing is being waited for
        # What counts is what was told before the cut. While it happens this kernel may answer a sync with success whose
        # data it drops: the shutdown stops the journal, and an extent that can no longer be converted is no error to it.
        for producer in range(PRODUCERS):
            self.told[producer, incarnation] = self.count(producer, incarnation)[1]
        self.disk.lose_power()
        time.sleep(chance.choice((0.0, 0.0, 0.05)))  # the world may go on for a moment on a dead disk
        self.kill_all()
        self.disk.unmount()
        shutil.rmtree(self.world.queue_dir)  # it was memory
        self.disk.mount()
        self.take_note(records_on_disk(self.world.spill_dir / "telemetry"), f"on the disk after loss {incarnation}")

    def count(self, producer, incarnation):
        """(put, told power-safe) from the producer's notes."""
        with contextlib.suppress(OSError):
            data = self.notes(producer, incarnation).read_bytes().ljust(16, b"\0")
            return struct.unpack_from("<QQ", data)
        return (0, 0)

    def inbox_records(self):
        inbox = sqlite3.connect(f"file:{self.world.inbox}?mode=ro", uri=True)
        with contextlib.closing(inbox):
            rows = inbox.execute("SELECT journal, record_offset, payload FROM record ORDER BY record_offset").fetchall()
        return {(journal.replace("-", ""), offset): payload for journal, offset, payload in rows}

    def judge(self, rounds):
        records = self.inbox_records()
        self.take_note(records, "at the consumer")
        order = collections.defaultdict(lambda: collections.defaultdict(list))
        for (journal, _), payload in records.items():
            producer, incarnation, sequence, _ = RECORD.unpack_from(payload)
            self.assertEqual(make_record(producer, incarnation, sequence), payload)
            order[producer, incarnation][journal].append(sequence)
        safe_total = 0
        for incarnation in range(rounds):
            for producer in range(PRODUCERS):
                put, safe = self.count(producer, incarnation)[0], self.told[producer, incarnation]
                found = order[producer, incarnation]
                what = f"producer {producer}, incarnation {incarnation}, {safe} of {put} power-safe"
                for sequences in found.values():
                    self.assertEqual(sequences, sorted(set(sequences)), f"{what}: doubled or out of order")
                everything = sorted(sequence for sequences in found.values() for sequence in sequences)
                self.assertEqual(everything, list(range(len(everything))), f"{what}: doubled, or a hole")
                self.assertGreaterEqual(len(everything), safe, f"{what}: lost")
                safe_total += safe
        return safe_total, len(records), len({journal for journal, _ in records})

    def test_what_was_told_power_safe_is_there_once(self):
        chance = random_source(ARGUMENTS.seed)
        for incarnation in range(ARGUMENTS.rounds):
            self.one_loss(chance, incarnation)
        self.start_gateway(linked=True)
        # Every journal's last record must have come: the cursor's offset alone could be an older journal's.
        wait_until(lambda: self.world.agent.alive() and self.world.control()[0] > 0
                   and set(self.named) <= set(self.inbox_records()), "the drain", 30)  # fmt: skip
        safe, rows, journals = self.judge(ARGUMENTS.rounds)
        self.assertGreater(safe, 0)
        self.assertEqual(0, self.world.agent.stop(), self.world.agent.log_tail())
        print(f"seed {ARGUMENTS.seed}: {ARGUMENTS.rounds} losses, {safe} records told power-safe, {rows} delivered, "
              f"{journals} journals: 0 lost, 0 doubled")  # fmt: skip


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--library", required=True, help="libspillway.so")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--memory-first", action="store_true", help="the stream stands in memory while the link keeps up")
    parser.add_argument("--produce", nargs=4, help="be a producer: queue directory, producer, incarnation, notes")
    ARGUMENTS, rest = parser.parse_known_args()
    if ARGUMENTS.produce:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        queue_dir, producer, incarnation, notes = ARGUMENTS.produce
        return produce(ARGUMENTS.library, queue_dir, int(producer), int(incarnation), notes)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
