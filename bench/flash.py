#!/usr/bin/env python3
"""./run bench flash [--seconds N]: what the agent writes to the device for a sensor's records, beside a bare program.

At 10, 100 and 1,000 records/s, all at once and in real time, each on an ext4 file system of its own whose block device counts:
the real agent with placement "disk", fed through the producer library, and a program that writes the same records with the same
syncs into a file that was written before, without a header, a checksum or a second file. What each column means: docs/benchmarks.md.
"""

import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from report import machine, table  # noqa: E402
from report.ground import Device, Folder  # noqa: E402
from report.programs import BenchError  # noqa: E402
from report.shell import run, say, scratch  # noqa: E402

RATES = (10, 100, 1000)
RATIO_MAX = 1.15
SYNC_SECONDS = 1.0
RECORD_BYTES = (200, 400)  # as the system sensor's
RECORDS = 1000  # then from the first one again
SEGMENT_BYTES = 8 << 20  # the default
SPILL_BYTES = 4 * SEGMENT_BYTES
LAP = 1.5  # of the spill, before anything is counted
WAIT_SECONDS = 60
OK, FULL, POWER_SAFE = 0, 1, 2  # spillway.h
OUT = pathlib.Path(__file__).parent / "out"
CONFIGURATION = """[gateway]
name = "bench"
queue_dir = "{queue}"
spill_dir = "{spill}"
[[stream]]
name = "bench"
topics = ["#"]
sync_interval = "{sync:g}s"
placement = "disk"
compress = "never"
segment_bytes = "{segment}"
max_bytes = "{quota}"
"""


class Ours:
    """The agent, and a producer at a steady rate."""

    name = "spillway"

    def __init__(self, suite, rate):
        self.suite, self.rate = suite, rate
        self.ground = suite.ground(f"ours-{rate}")
        self.queue = suite.memory / f"queue-{rate}"
        configuration = suite.memory / f"{rate}.toml"
        configuration.write_text(CONFIGURATION.format(queue=self.queue, spill=self.ground.folder / "spill", sync=SYNC_SECONDS,
                                                      segment=SEGMENT_BYTES, quota=SPILL_BYTES))  # fmt: skip
        self.log = open(suite.memory / f"agent-{rate}.log", "wb")
        self.agent = suite.spawn("spillway-agent", "--config", configuration, stdout=self.log, stderr=self.log)
        give_up = time.monotonic() + WAIT_SECONDS
        while not (self.queue / "agent.status").exists():
            if self.agent.poll() is not None or time.monotonic() > give_up:
                raise BenchError(f"the agent did not start: {(suite.memory / f'agent-{rate}.log').read_text()[-300:]}")
            time.sleep(0.02)
        self.producer = None

    def lap(self):
        self.producer = self.suite.child("--producer", self.rate, self.queue, self.suite.lines_file, self.suite.options.library)
        if self.producer.stdout.readline() != "ready\n":
            raise BenchError("the first lap could not be put")

    def start(self):
        self.producer.stdin.write("go\n")
        self.producer.stdin.flush()

    def reading(self):
        return self.ground.reading(self.agent.pid)

    def stop(self):
        """Checked, because a producer that has ended would make everything look cheap."""
        if self.producer.poll() is not None or self.agent.poll() is not None:
            raise BenchError("a process ended by itself")
        self.producer.terminate()
        self.producer.wait()

    @staticmethod
    def produce(rate, queue, lines, library):
        """LAP times the spill as fast as it goes; then a record when it is due."""
        records = pathlib.Path(lines).read_bytes().splitlines()
        library = ctypes.CDLL(library)
        library.spillway_producer_flush.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64]
        handle = ctypes.c_void_p()
        if library.spillway_producer_open(queue.encode(), b"sensor/bench", None, ctypes.byref(handle)) != OK:
            return "the producer could not be opened"

        def put(record):
            while (status := library.spillway_producer_put(handle, record, ctypes.c_size_t(len(record)))) == FULL:
                time.sleep(0.001)
            return status == OK

        for number in range(int(LAP * SPILL_BYTES * len(records) / sum(map(len, records)))):
            if not put(records[number % len(records)]):
                return "a record was refused"
        if library.spillway_producer_flush(handle, POWER_SAFE, WAIT_SECONDS * 10**9) != OK:
            return "the first lap did not become power-safe"
        print("ready", flush=True)
        sys.stdin.readline()
        began, number = time.monotonic(), 0
        while put(records[number % len(records)]):
            number += 1
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
        return "a record was refused"

    def newest_segment(self):
        return max(int(path.name.split("-")[0]) for path in (self.ground.folder / "spill" / "bench").glob("0*.spill"))


class Floor:
    """The same records and syncs in a process that does nothing else."""

    name = "floor"

    def __init__(self, suite, rate):
        self.ground = suite.ground(f"floor-{rate}")
        self.process = suite.child("--floor", rate, self.ground.folder / "file", suite.lines_file)

    def lap(self):
        if self.process.stdout.readline() != "ready\n":
            raise BenchError("the floor did not start")

    def start(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def reading(self):
        return self.ground.reading(self.process.pid)

    def stop(self):
        if self.process.poll() is not None:
            raise BenchError("the floor ended by itself")
        self.process.terminate()
        self.process.wait()

    @staticmethod
    def run(rate, path, lines):
        """A record when it is due; every second what is new is synced."""
        records = pathlib.Path(lines).read_bytes().splitlines()
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(file, bytes(SPILL_BYTES), 0)
        os.fsync(file)
        print("ready", flush=True)
        sys.stdin.readline()
        began = sync_at = time.monotonic()
        position = number = 0
        dirty = False
        while True:
            time.sleep(max(0.0, min(began + number / rate, sync_at) - time.monotonic()))
            now = time.monotonic()
            while began + number / rate <= now:
                record = records[number % len(records)]
                if position + len(record) > SPILL_BYTES:
                    position = 0
                position += os.pwrite(file, record, position)
                number, dirty = number + 1, True
            if now >= sync_at:
                if dirty:
                    os.fdatasync(file)
                dirty, sync_at = False, now + SYNC_SECONDS


class Suite:
    def __init__(self, options, memory, disk):
        self.options = options
        self.memory, self.disk = memory, disk
        self.processes, self.grounds = [], []
        self.kind = Device
        chance = random.Random(1)
        records = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(*RECORD_BYTES))) for _ in range(RECORDS)]
        self.bytes_each = sum(map(len, records)) / RECORDS
        self.lines_file = self.memory / "records"
        self.lines_file.write_text("\n".join(records) + "\n")

    def spawn(self, program, *arguments, **options):
        process = subprocess.Popen([self.options.bin / program, *map(str, arguments)], **options)
        self.processes.append(process)
        return process

    def child(self, *arguments):
        """This script in another part, told "go" and answering "ready"."""
        process = subprocess.Popen([sys.executable, __file__, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def ground(self, name):
        try:
            made = self.kind(self.disk / name)
        except OSError as error:
            if self.grounds:
                raise BenchError(str(error)) from None
            say(f"   no loop-mounted ext4 here ({error}): /proc/PID/io counts instead")
            self.kind = Folder
            shutil.rmtree(self.disk / name, ignore_errors=True)
            made = Folder(self.disk / name)
        self.grounds.append(made)
        return made

    def run(self):
        say("== makes the file systems; the first lap")
        subjects = [kind(self, rate) for rate in self.options.rates for kind in (Ours, Floor)]
        for subject in subjects:
            subject.lap()
        before = [subject.reading() for subject in subjects]
        newest = [subject.newest_segment() for subject in subjects[::2]]
        began = time.monotonic()
        for subject in subjects:
            subject.start()
        say(f"== {', '.join(map(str, self.options.rates))} records/s for {self.options.seconds} s")
        time.sleep(self.options.seconds)
        for subject in subjects:
            subject.stop()
        seconds = time.monotonic() - began
        after = [subject.reading() for subject in subjects]
        rolls = [subject.newest_segment() - old for subject, old in zip(subjects[::2], newest)]
        grown = [{key: after[i][key] - before[i][key] for key in before[i]} for i in range(len(subjects))]
        return [self.row(rate, seconds, grown[2 * i], grown[2 * i + 1], rolls[i]) for i, rate in enumerate(self.options.rates)]

    def row(self, rate, seconds, ours, floor, rolls):
        payload = rate * seconds * self.bytes_each
        ratio = ours["bytes"] / floor["bytes"]
        return {"rate": rate, "seconds": seconds, "payload_bytes": payload, "ours": ours, "floor": floor, "rolls": rolls,
                "ours_per_byte": ours["bytes"] / payload, "floor_per_byte": floor["bytes"] / payload, "ratio": ratio,
                "holds": ratio <= RATIO_MAX}  # fmt: skip

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for ground in self.grounds:
            ground.close()


def as_table(rows, counts):
    cells = [[f"{row['rate']:,}", f"{row['payload_bytes'] / 1e3:,.0f}", f"{row['ours']['bytes'] / 1e3:,.0f}", f"{row['floor']['bytes'] / 1e3:,.0f}",
              f"{row['ours_per_byte']:.2f}", f"{row['floor_per_byte']:.2f}", f"{row['ours']['flushes']}", f"{row['floor']['flushes']}",
              f"{row['rolls']}", f"{row['ratio']:.3f}", "holds" if row["holds"] else "short"] for row in rows]  # fmt: skip
    return table.Table("Written to the device", f"counted by {counts}; ours at most {RATIO_MAX} times the floor",
                       ["records/s", "records, kB", "ours, kB", "floor, kB", "ours/byte", "floor/byte", "flushes", "floor's", "rolls",
                        "ratio", "bar"], cells)  # fmt: skip


def parse():
    parser = argparse.ArgumentParser(prog="./run bench flash", description="What the agent writes to the device, beside a bare program.")
    parser.add_argument("--seconds", type=int, default=300, help="so long (default 300)")
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="records/s (default 10 100 1000)")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--library", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, default=OUT, help="where flash.json goes, and the file systems while it runs")
    options = parser.parse_args()
    if options.seconds < 1 or any(rate < 1 for rate in options.rates):
        parser.error("--seconds and --rates are at least 1")
    return options


def main():
    if sys.argv[1:2] == ["--floor"]:
        return Floor.run(int(sys.argv[2]), *sys.argv[3:])
    if sys.argv[1:2] == ["--producer"]:
        return Ours.produce(int(sys.argv[2]), *sys.argv[3:])
    options = parse()
    with scratch("flash", options.out) as (memory, disk), contextlib.closing(Suite(options, memory, disk)) as suite:
        rows = suite.run()
    print(table.as_text(as_table(rows, suite.kind.counts)))
    document = {"machine": machine.describe(options.out), "counted_by": suite.kind.counts, "rows": rows}
    (options.out / "flash.json").write_text(json.dumps(document, indent=1))
    return 0 if all(row["holds"] for row in rows) else 1


if __name__ == "__main__":
    run(main)
