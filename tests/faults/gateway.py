"""What the fault tests share: a gateway of its own with a real agent, producers that do as told, and the oracle.

The oracle shares no code with the product: what a producer put is in its tally and follows from the record's number; what
arrived is read from the spill by docs/format.md alone.
"""

import collections
import dataclasses
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / "system"), str(pathlib.Path(__file__).parents[1] / "system/format_script")]
from read_segments import lanes as declared_lanes  # noqa: E402
from read_segments import records as spilled_records  # noqa: E402

GOES_ON_S = 1.0  # the other side of one that was killed goes on within this
LANE_GONE_S = 2.0  # a dead producer's lane is drained and gone within this
WATCHDOG_S = 90.0
PAUSE_S = 0.002
RESULT = {}  # name of a time that was watched -> the longest seen


def wait_for(condition, what, limit_s=WATCHDOG_S, name=None):
    """Waits for `condition()` to be truthy, at most limit_s; returns its value.

    A moment in which this process got no core counts no more than twice the pause it had asked for: on a machine that is
    busy with something else its children get none either.
    """
    counted = 0.0
    began = last = time.monotonic()
    while True:
        value = condition()
        if value:
            if name:
                RESULT[name] = max(RESULT.get(name, 0.0), counted)
            return value
        if counted > limit_s or last - began > WATCHDOG_S:
            raise TimeoutError(f"{what}: not within {limit_s} s")
        time.sleep(PAUSE_S)
        now = time.monotonic()
        counted += min(now - last, 2 * PAUSE_S)
        last = now


def filled(incarnation, number, size):
    """The record that fault_producer makes."""
    head = struct.pack("<IIQ", incarnation, size, number)
    return head + bytes((number * 31 + i * 7) & 0xFF for i in range(16, size))


@dataclasses.dataclass
class Producer:
    process: subprocess.Popen
    topic: str
    incarnation: int
    tally_path: pathlib.Path

    def tally(self):
        """(intent, done)"""
        data = self.tally_path.read_bytes() if self.tally_path.exists() else b""
        return struct.unpack("<QQ", data) if len(data) == 16 else (0, 0)

    def ended_well(self):
        code = self.process.wait(WATCHDOG_S)
        assert code == 0, f"producer {self.topic} ended with {code}"

    def kill(self):
        self.process.kill()
        self.process.wait()


class Gateway:
    """One agent's folder. Producers are given a topic each, and told apart by it."""

    STREAM = '[[stream]]\nname = "all"\ntopics = ["#"]\nsync_interval = "20ms"\nsegment_bytes = "1MiB"\nmax_bytes = "256MiB"\n'

    def __init__(self, agent, producer, stream=STREAM):
        self.agent_program, self.producer_program = agent, producer
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="spillway-faults-", dir=base)
        self.root = pathlib.Path(self._folder.name)
        self.queue, self.spill = self.root / "queue", self.root / "spill"
        self.config = self.root / "spillway.toml"
        self.agent = None
        self.agent_starts = 0
        self.started = []
        self.producers = collections.defaultdict(list)  # topic -> its incarnations
        self.write_config(stream)

    def write_config(self, stream):
        self.config.write_text(
            f'[gateway]\nname = "faults"\nqueue_dir = "{self.queue}"\nspill_dir = "{self.spill}"\n{stream}')

    # --- processes ---
    def start_agent(self, environment=None):
        self.agent_starts += 1
        with open(self.agent_log(), "wb") as log:
            self.agent = subprocess.Popen([self.agent_program, "--config", self.config], stderr=log, stdin=subprocess.DEVNULL,
                                          env={**os.environ, **(environment or {})})  # fmt: skip
        self.started.append(self.agent)
        return self.agent

    def agent_log(self):
        return self.root / f"agent.{self.agent_starts}.log"

    def agent_ready(self):
        wait_for(lambda: b" drains " in self.agent_log().read_bytes() or self.agent.poll() is not None, "the agent's start")

    def stop_agent(self):
        self.agent_ready()
        self.agent.send_signal(signal.SIGTERM)
        code = self.agent.wait(WATCHDOG_S)
        assert code == 0, f"the agent ended with {code}: {self.log()}"

    def start_producer(self, topic, *phases, environment=None, incarnation=None, program=None, name="fault"):
        incarnation = len(self.producers[topic]) + 1 if incarnation is None else incarnation
        tally = self.root / f"{topic.replace('/', '.')}.{incarnation}.tally"
        command = [program or self.producer_program, self.queue, topic, name, str(incarnation), tally, *phases]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **(environment or {})})
        self.started.append(process)
        producer = Producer(process, topic, incarnation, tally)
        self.producers[topic].append(producer)
        return producer

    def log(self):
        return self.agent_log().read_text(errors="replace")[-2000:]

    # --- what anybody can see ---
    def lanes(self):
        folder = self.queue / "lanes"
        return [name for name in os.listdir(folder) if name.endswith(".lane")] if folder.exists() else []

    def wait_for_lanes_gone(self, name=None):
        wait_for(lambda: not self.lanes(), f"the lanes to be drained and removed; the agent says: {self.log()}", LANE_GONE_S, name)

    def arrived(self, stream="all"):
        """topic -> [(incarnation, number)] in the order of the spill; every byte of each record is checked."""
        folder = self.spill / stream
        topics = declared_lanes(folder)
        found = collections.defaultdict(list)
        expected = None
        for offset, lane, record in spilled_records(folder):
            assert expected in (None, offset), f"offset {offset} follows {expected - 1}"
            expected = offset + 1
            incarnation, size, number = struct.unpack_from("<IIQ", record)
            assert record == filled(incarnation, number, size), f"record {number} of {topics[lane]} was altered"
            found[topics[lane]].append((incarnation, number))
        return found

    def judge(self, stream="all"):
        """What was committed is there once and in order: of each incarnation a run from 0 of done <= length <= intent."""
        found = self.arrived(stream)
        total = 0
        for topic, incarnations in self.producers.items():
            rest = found[topic]
            for producer in incarnations:
                intent, done = producer.tally()
                length = next((i for i, record in enumerate(rest) if record != (producer.incarnation, i)), len(rest))
                assert done <= length <= intent, f"{topic}: {length} records of {producer.incarnation}, done {done}, intent {intent}"
                rest = rest[length:]
                total += length
            assert not rest, f"{topic}: doubled or out of order: {rest[:5]}"
        foreign = set(found) - set(self.producers)
        assert not foreign, f"records of nobody: {foreign}"
        return total

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
