"""hostile_queue_test.py --bin DIR [--seed S]: another user floods the lanes directory with whatever a user can make there.

The agent, the uplink and the consumer stay up with their first process, the agent does not spin, the far end is never held
up by what a lane says of itself, and an honest producer's records all arrive. Lanes are forged from docs/format.md alone.
"""

import argparse
import contextlib
import fcntl
import mmap
import os
import pathlib
import random
import socket
import sqlite3
import struct
import subprocess
import sys
import time
import unittest

import xxhash

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from check_delivery import broken_promises, check  # noqa: E402
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None
NOBODY = 65534
CAPACITY = 16 * 1024
DATA_AT = 8192
U64 = 2**64
FLOOD_SECONDS = 4.0
CPU_SHARE_MAX = 0.5


def forge_header(chance, capacity=CAPACITY, topic=b"hostile/lane", tick_rate_hz=10**9, **changed):
    fields = {
        "lane_id": chance.getrandbits(64), "created": chance.getrandbits(64), "fingerprint": 0,
        "boot": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""),
        "pid": 1, "uid": 0, "record_max": capacity // 2 - 32, "clock": 1, "producer": b"mallory", **changed,
    }  # fmt: skip
    identity = struct.pack(
        "<4Q16s3I4B256s64s128x", fields["lane_id"], fields["created"], tick_rate_hz, fields["fingerprint"],
        bytes.fromhex(fields["boot"]), fields["pid"], fields["uid"], fields["record_max"], fields["clock"], len(topic),
        len(fields["producer"]), 0, topic, fields["producer"])  # fmt: skip
    checked = struct.pack("<Q", capacity) + identity
    return struct.pack("<8sIIQ", b"SPILLANE", 1, DATA_AT, xxhash.xxh3_64_intdigest(checked, 0)) + checked


def frame(record, ticks=0):
    return struct.pack("<IHHQ", len(record) + 1, 0, 0, ticks % U64) + record + bytes(-len(record) % 16)


def forge_lane(header, data=b"", at=0, rejected=0, flush_wanted=0, consumed=0, waiting=0, capacity=CAPACITY):
    lane = bytearray(DATA_AT + capacity)
    lane[: len(header)] = header
    struct.pack_into("<QQI", lane, 4096, rejected, flush_wanted, waiting)
    struct.pack_into("<Q", lane, 4224, consumed)
    for i, byte in enumerate(data):
        lane[DATA_AT + (at + i) % capacity] = byte
    return bytes(lane)


class Flood:
    """What one user can do to a directory in which he may make files but not list or remove others'."""

    def __init__(self, lanes, seed):
        self.lanes = pathlib.Path(lanes)
        self.chance = random.Random(seed)
        self.made = 0
        self.kept = []

    def path(self):
        self.made += 1
        # Some names sort before every honest lane's, some behind.
        return self.lanes / f"{self.chance.choice(('0', 'f', '~'))}{self.made:015x}-{self.chance.getrandbits(64):016x}.lane"

    def write(self, content, lock=False):
        path = self.path()
        draft = path.with_suffix(".draft")
        draft.write_bytes(content)
        file = open(draft, "r+b", buffering=0)
        if lock:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(path)
        self.kept.append(file)
        if len(self.kept) > 64:
            self.kept.pop(0).close()
        return file

    def close(self):
        for file in self.kept:
            file.close()

    def header(self, **changed):
        return forge_header(self.chance, **changed)

    # --- things that are no lanes ---
    def garbage(self):
        self.path().write_bytes(self.chance.randbytes(self.chance.randrange(20_000)))

    def empty(self):
        self.path().touch()

    def directory(self):
        path = self.path()
        (path / "inside").mkdir(parents=True)

    def fifo(self):
        os.mkfifo(self.path())

    def bound_socket(self):
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(f"/proc/self/fd/{self.lanes_fd()}/{self.path().name}")

    def lanes_fd(self):
        if not hasattr(self, "_fd"):
            self._fd = os.open(self.lanes, os.O_PATH | os.O_DIRECTORY)
        return self._fd

    def symlink(self):
        self.path().symlink_to(self.chance.choice(("/etc/shadow", "/dev/zero", "/", "nowhere", "../agent.lock")))

    def sparse(self):
        with open(self.path(), "wb") as file:
            file.truncate(self.chance.choice((1 << 40, 1 << 62, DATA_AT + CAPACITY)))

    def second_name(self):
        draft = self.path().with_suffix(".keep")
        draft.write_bytes(forge_lane(self.header(), frame(b"two names")))
        os.link(draft, self.path())

    def long_name(self):
        (self.lanes / ("x" * 240 + f"{self.made:010x}.lane")).write_bytes(b"")

    def not_ours_to_read(self):
        path = self.path()
        path.write_bytes(forge_lane(self.header()))
        path.chmod(0)

    # --- lanes that lie ---
    def consumed_at_the_end_of_numbers(self):
        at = self.chance.choice((16, 32, 64, CAPACITY))
        place = (U64 - at) % CAPACITY
        self.write(forge_lane(self.header(), frame(b"r") * (at // 32 + 1), place, consumed=U64 - at))

    def consumed_beyond_all_databases(self):
        self.write(forge_lane(self.header(), frame(b"far") * 4, consumed=1 << 63))

    def rejected_beyond_all_databases(self):
        self.write(forge_lane(self.header(), frame(b"proud"), rejected=U64 - 1))

    def impossible_time(self):
        ticks = self.chance.choice((0, 1, U64 - 1, 1 << 63))
        rate = self.chance.choice((1, U64 - 1, 1 << 63))
        self.write(forge_lane(self.header(tick_rate_hz=rate, clock=self.chance.choice((1, 2, 3))), frame(b"when", ticks)))

    def ugly_topic(self):
        topic = self.chance.choice((b"hostile/\x1b[2J\r\n", b"hostile/\xe2\x80\xae", b"'; DROP TABLE record; --", b"/" * 255))
        self.write(forge_lane(self.header(topic=topic, producer=b"\x07\n" * 31), frame(b"ugly")))

    def always_flushing(self):
        self.write(forge_lane(self.header(), frame(b"now!"), flush_wanted=32, waiting=1), lock=True)

    def wrong_frames(self):
        word = self.chance.choice((1, 2, 5_000, 16_000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF))
        self.write(forge_lane(self.header(), struct.pack("<IHHQ", word, 1, 1, 0), self.chance.choice((0, 16))))

    def committed_all_over(self):
        self.write(forge_lane(self.header(), frame(b"x" * 16) * (CAPACITY // 32)), lock=True)

    def truncated_under_the_drain(self):
        file = self.write(forge_lane(self.header(), frame(b"y" * 200) * 60), lock=True)
        os.truncate(file.fileno(), self.chance.choice((0, 4096, DATA_AT, DATA_AT + 4096)))

    def random_bytes_under_the_drain(self):
        file = self.write(forge_lane(self.header(), frame(b"z" * 200) * 60), lock=True)
        with contextlib.suppress(ValueError, OSError):
            with mmap.mmap(file.fileno(), DATA_AT + CAPACITY) as view:
                for _ in range(100):
                    at = self.chance.randrange(4096, DATA_AT + CAPACITY - 64)
                    view[at : at + 64] = self.chance.randbytes(64)

    def agents_words_changed(self):
        file = self.write(forge_lane(self.header(), frame(b"w" * 20) * 100), lock=True)
        for _ in range(50):
            os.pwrite(file.fileno(), self.chance.randbytes(32), 4224)

    def run(self, seconds):
        tricks = [getattr(self, name) for name in vars(Flood) if not name.startswith("_")
                  and name not in ("run", "path", "write", "header", "close", "lanes_fd")]  # fmt: skip
        ends = time.monotonic() + seconds
        done = dict.fromkeys((trick.__name__ for trick in tricks), 0)
        while time.monotonic() < ends:
            trick = self.chance.choice(tricks)
            with contextlib.suppress(FileExistsError, BlockingIOError):
                trick()
                done[trick.__name__] += 1
            time.sleep(0.001)
        missing = [name for name, count in done.items() if count == 0]
        print(f"flood: {self.made} names, {missing or 'every trick'} {'never' if missing else ''} played", flush=True)
        return 1 if missing else 0


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class HostileQueue(unittest.TestCase):
    def setUp(self):
        self.world = World(ARGUMENTS.bin, segment_bytes="4MiB", max_bytes="64MiB")
        self.addCleanup(self.world.close)
        self.world.queue_dir.parent.chmod(0o711)

    def start(self):
        world = self.world
        for daemon in (world.consumer, world.link, world.agent, world.uplink):
            daemon.start()
        world.wait_ready()
        return world

    def assert_first_processes(self):
        for daemon in (self.world.agent, self.world.uplink, self.world.consumer):
            self.assertTrue(daemon.alive(), f"{daemon.name} ended:\n{daemon.log_tail(30)}")

    def honest_rows(self):
        if not self.world.inbox.exists():
            return 0
        inbox = sqlite3.connect(f"file:{self.world.inbox}?mode=ro", uri=True)
        with contextlib.closing(inbox), contextlib.suppress(sqlite3.OperationalError):  # not made yet, or busy
            return inbox.execute("SELECT COUNT(*) FROM record WHERE topic LIKE 'demo/%'").fetchone()[0]
        return 0

    def flood(self, user, seconds=FLOOD_SECONDS):
        script = [sys.executable, __file__, "--flood", str(self.world.queue_dir / "lanes"), "--seed", str(ARGUMENTS.seed),
                  "--seconds", str(seconds), *(["--as-user", str(user)] if user else [])]  # fmt: skip
        flood = subprocess.Popen(script)
        self.addCleanup(lambda: flood.poll() is None and (flood.kill(), flood.wait()))
        return flood

    def assert_honest_delivery(self, wanted):
        wait_until(lambda: self.honest_rows() >= wanted or not self.all_alive(), "the honest records", 30)
        self.assert_first_processes()
        report = check(self.world.inbox, self.world.tallies, {})
        # Hostile lanes may be worth a row in `gap`, never an honest record.
        self.assertEqual([], [name for name in broken_promises(report) if name != "gaps"], report)

    def all_alive(self):
        return all(daemon.alive() for daemon in (self.world.agent, self.world.uplink, self.world.consumer))

    def test_a_flood_of_everything_harms_no_honest_producer(self):
        world = self.start()
        honest = world.producer(1, 0, 2_000)
        honest.command += ["--count", "12000"]
        honest.start()
        flood = self.flood(NOBODY if os.geteuid() == 0 else None)
        self.assertEqual(0, flood.wait(30))
        self.assertEqual(0, honest.process.wait(30), honest.log_tail())
        self.assert_honest_delivery(12_000)
        self.assert_quiet()
        # A later producer finds its way in, too, also after the agent has begun anew among the rubbish.
        self.assertEqual(0, world.agent.stop())
        world.agent.start()
        later = world.producer(2, 0, 5_000)
        later.command += ["--count", "1000"]
        self.assertEqual(0, later.start().process.wait(30), later.log_tail())
        self.assert_honest_delivery(13_000)

    def assert_quiet(self):
        pid = self.world.agent.process.pid

        def share():
            before, began = cpu_seconds(pid), time.monotonic()
            time.sleep(0.5)  # the time over which is measured; nothing is being waited for
            return (cpu_seconds(pid) - before) / (time.monotonic() - began)

        wait_until(lambda: share() < CPU_SHARE_MAX, "the agent to come to rest after the flood", 10)

    def test_rings_without_records_do_not_keep_the_agent_awake(self):
        world = self.start()
        bell = os.open(world.queue_dir / "lanes" / "no-lane", os.O_CREAT | os.O_WRONLY, 0o600)
        self.addCleanup(os.close, bell)
        rings = 0
        pid, over = world.agent.process.pid, time.monotonic() + FLOOD_SECONDS
        before, began = cpu_seconds(pid), time.monotonic()
        while time.monotonic() < over:
            os.pwrite(bell, b"ring", 0)
            rings += 1
        share = (cpu_seconds(pid) - before) / (time.monotonic() - began)
        print(f"{rings} rings, the agent's share of a core {share:.3f}")
        self.assertGreater(rings, 10_000)
        self.assertLess(share, CPU_SHARE_MAX / 2)
        self.assert_first_processes()

    def each_alone(self, trick):
        world = self.start()
        flood = Flood(world.queue_dir / "lanes", ARGUMENTS.seed)
        self.addCleanup(flood.close)
        for _ in range(8):
            getattr(flood, trick)()
        honest = world.producer(1, 0, 5_000)
        honest.command += ["--count", "100"]
        self.assertEqual(0, honest.start().process.wait(30), honest.log_tail())
        self.assert_honest_delivery(100)

    def test_numbers_at_the_end_of_their_range_do_not_stop_the_far_end(self):
        self.each_alone("rejected_beyond_all_databases")

    def test_a_lane_end_beyond_all_databases_does_not_stop_the_far_end(self):
        self.each_alone("consumed_beyond_all_databases")

    def test_impossible_times_do_not_stop_the_far_end(self):
        self.each_alone("impossible_time")

    def test_a_consumed_word_at_the_end_of_numbers_does_not_stop_the_agent(self):
        self.each_alone("consumed_at_the_end_of_numbers")


def become(user):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flood", help="be the flood, on this folder")
    parser.add_argument("--seconds", type=float, default=FLOOD_SECONDS)
    # Once it has read itself: the source may stand where that user may not look.
    parser.add_argument("--as-user", type=int, help="be this user")
    ARGUMENTS, rest = parser.parse_known_args()
    if ARGUMENTS.as_user:
        become(ARGUMENTS.as_user)
    if ARGUMENTS.flood:
        return Flood(ARGUMENTS.flood, ARGUMENTS.seed).run(ARGUMENTS.seconds)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
