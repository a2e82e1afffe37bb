"""restarts_test.py --bin DIR [--restarts N] [--seed S]: so many starts in a row leave nothing behind.

The real agent is started again N times without a record in between and N times with some, while an uplink and a consumer live on;
then the uplink, in the same two ways, beside a living agent. Starts end cleanly, by kill -9 once ready, and by kill -9 in the middle.
After the first tenth and at the end are counted: the files of the spill and of the queue, and what the living daemons hold
(memory, descriptors, threads). Nothing may have grown, and every record has come once.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, random_source, wait_until  # noqa: E402

RECORDS = 5  # between two starts, each in a lane of its own time
DRAIN_EACH = 10  # starts
SEGMENT_BYTES, SPILL_BYTES = 96 << 10, 1 << 20
RECORD_BYTES_MAX = 80
# What an allocator may keep; a leak of a kilobyte for each of 1,000 starts is more. Beside it the consumer may hold what its inbox
# has grown by: its database's page cache is larger than that.
MEMORY_KIB_MAX = 1000
# A stream that is in use holds a segment more or less, depending on the instant.
FILES_APART_MAX = 3
DESCRIPTORS_APART_MAX = 3  # a connection that is just coming or going


class Grown(Exception):
    """What has grown, in one line."""


@dataclasses.dataclass
class Footprint:
    files: dict  # by directory
    bytes: dict
    daemons: dict  # by name: (RSS in KiB, descriptors, threads)
    inbox_kib: int

    @classmethod
    def of(cls, world, daemons):
        files, sizes = {}, {}
        for name, folder in (("spill", world.spill_dir), ("queue", world.queue_dir)):
            found = [path for path in folder.rglob("*") if path.is_file()]
            files[name] = len(found)
            sizes[name] = 0
            for path in found:
                with contextlib.suppress(FileNotFoundError):
                    sizes[name] += path.stat().st_size
        inbox = sum(path.stat().st_size for path in world.inbox.parent.glob("inbox.db*")) // 1024
        return cls(files, sizes, {daemon.name: cls.process(daemon) for daemon in daemons}, inbox)

    @staticmethod
    def process(daemon):
        proc = pathlib.Path("/proc", str(daemon.process.pid))
        facts = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return (int(facts["VmRSS"].split()[0]), len(list((proc / "fd").iterdir())), int(facts["Threads"]))

    def compare(self, later):
        for name, count in self.files.items():
            if later.files[name] > count + FILES_APART_MAX:
                raise Grown(f"{name}: from {count} files to {later.files[name]}")
            if later.bytes[name] > self.bytes[name] + FILES_APART_MAX * SEGMENT_BYTES:
                raise Grown(f"{name}: from {self.bytes[name]} bytes to {later.bytes[name]}")
        for name, (memory, descriptors, threads) in self.daemons.items():
            now = later.daemons[name]
            cached = later.inbox_kib - self.inbox_kib if name == "consumer" else 0
            if now[0] > memory + MEMORY_KIB_MAX + cached:
                raise Grown(f"{name}: from {memory} KiB of memory to {now[0]}")
            if now[1] > descriptors + DESCRIPTORS_APART_MAX:
                raise Grown(f"{name}: from {descriptors} descriptors to {now[1]}")
            if now[2] > threads:
                raise Grown(f"{name}: from {threads} threads to {now[2]}")


class Restarts:
    def __init__(self, world, chance, count):
        self.world, self.chance, self.count = world, chance, count
        self.put = 0
        self.starts = 0
        self.agent_memory = []  # KiB, of each agent that came so far, once ready

    def ready(self):
        """The agent's own status names its process: it drains."""
        with contextlib.suppress(OSError, json.JSONDecodeError):
            status = json.loads((self.world.queue_dir / "agent.status").read_text())
            return status["pid"] == self.world.agent.process.pid
        return False

    def end_agent(self, number):
        """Cleanly, once ready; by kill -9, once ready; by kill -9 in the middle of its start."""
        agent = self.world.agent
        how = number % 3
        if how == 2:
            time.sleep(self.chance.uniform(0.0, 0.03))  # the random instant; nothing is being waited for
            agent.kill()
            return
        wait_until(lambda: self.ready() or not agent.alive(), "the agent's start")
        self.agent_memory.append(Footprint.process(agent)[0])
        if how == 0:
            if agent.stop() != 0:
                raise Grown(f"the agent did not end well: {agent.log_tail()}")
        else:
            agent.kill()

    def end_uplink(self, number):
        uplink = self.world.uplink
        time.sleep(self.chance.uniform(0.01, 0.1))  # the random instant; nothing is being waited for
        if not uplink.alive():
            raise Grown(f"the uplink ended by itself: {uplink.log_tail()}")
        if number % 2 == 0:
            uplink.process.terminate()  # perhaps before it listens for that
            uplink.process.wait(15)
        else:
            uplink.kill()

    def put_some(self):
        lines = "".join(f"record {self.put + index} {'x' * self.chance.randrange(RECORD_BYTES_MAX)}\n" for index in range(RECORDS))
        result = self.world.command("put", "restart/test", "--queue-dir", self.world.queue_dir, "--level", "process-safe",
                                    "--timeout", 30, "--name", "between", input=lines)  # fmt: skip
        if result.returncode != 0:
            raise Grown(f"records were not taken: {result.stderr.strip()}")
        self.put += RECORDS

    def phase(self, name, daemon, end, living, with_records):
        early, began = None, time.monotonic()
        for number in range(self.count):
            end(number)
            daemon.start()
            self.starts += 1
            if with_records:
                self.put_some()
                if number % DRAIN_EACH == 0:
                    wait_until(self.world.drained, "the drain")
            if number == self.count // 10:
                self.settle()
                early = Footprint.of(self.world, living)
        self.settle()
        late = Footprint.of(self.world, living)
        print(f"{name}: {self.count} starts in {time.monotonic() - began:.0f} s; files {late.files}; bytes {late.bytes}; "
              f"KiB, descriptors, threads {early.daemons} -> {late.daemons}", flush=True)  # fmt: skip
        try:
            early.compare(late)
        except Grown as grown:
            raise Grown(f"{name}: {grown}") from None

    def settle(self):
        wait_until(lambda: self.ready() or not self.world.agent.alive(), "the agent's start")
        wait_until(self.world.drained, "the drain")

    def run(self):
        world = self.world
        for daemon in (world.consumer, world.link, world.agent, world.uplink):
            daemon.start()
        wait_until(self.ready, "the agent's first start")
        self.put_some()
        beside_agent, beside_uplink = (world.uplink, world.consumer), (world.agent, world.consumer)
        self.phase("agent, nothing between", world.agent, self.end_agent, beside_agent, False)
        self.phase("agent, records between", world.agent, self.end_agent, beside_agent, True)
        self.phase("uplink, nothing between", world.uplink, self.end_uplink, beside_uplink, False)
        self.phase("uplink, records between", world.uplink, self.end_uplink, beside_uplink, True)
        first, last = self.agent_memory[0], self.agent_memory[-1]
        if last > first + MEMORY_KIB_MAX:
            raise Grown(f"an agent's start: from {first} KiB of memory to {last}")
        self.check_inbox()

    def check_inbox(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.world.inbox}?mode=ro", uri=True)) as inbox:
            rows, kinds = inbox.execute("SELECT count(*), count(DISTINCT payload) FROM record").fetchone()
        if (rows, kinds) != (self.put, self.put):
            raise Grown(f"{self.put} records were put, {rows} have come, {kinds} different ones")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="folder with the built programs")
    parser.add_argument("--restarts", type=int, default=40, help="in each of the four rows")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.restarts < 10:
        parser.error("--restarts is at least 10: the first tenth is what the end is held against")
    with World(options.bin, segment_bytes=str(SEGMENT_BYTES), max_bytes=str(SPILL_BYTES), sync_interval="20ms") as world:
        # Training a dictionary takes memory once, some time in the life of an uplink: that is no growth.
        with world.gateway_config.open("a") as config:
            config.write('compress = "never"\n')
        restarts = Restarts(world, random_source(options.seed), options.restarts)
        try:
            restarts.run()
        except (Grown, TimeoutError, RuntimeError) as error:
            print(f"BROKEN with seed {options.seed}: {error}\n--- agent\n{world.agent.log_tail()}\n--- uplink\n{world.uplink.log_tail()}",
                  file=sys.stderr)  # fmt: skip
            return 1
    print(f"seed {options.seed}: {restarts.starts} restarts, {restarts.put} records: nothing grew, 0 lost, 0 doubled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
