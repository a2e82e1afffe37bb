"""steps_test.py --agent FAULT_AGENT --producer FAULT_PRODUCER --steps step.h: kill -9 at each named step, on either side.

For each step of core's list, at several of its passages: the process that passes it kills itself there, the other side goes
on within a second, a successor finds nothing in its way, the dead one's lane goes, and the spill holds what was committed
once and in order. A step that no run reached fails the test, and so does one at which nobody was killed.
"""

import argparse
import pathlib
import random
import re
import signal
import struct
import sys
import time

from gateway import GOES_ON_S, RESULT, Gateway, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
from hostile_queue_test import forge_header, forge_lane, frame  # noqa: E402

EVERYTHING = ("single:60", "batch:20", "large:30", "refused", "dropped", "power", "single:40", "flush", "close")
# Long enough for the agent to lie down on its bell, and then something to ring it for.
SILENT = ("single:5", "silence:1700", "single:5", "flush", "silence:1700", "close")
SUCCESSOR = ("single:10", "flush", "close")
QUARANTINE_MAX = 64
STREAM_FULL_AT = 4224 + 24  # in a lane: docs/format.md
FULL_STREAM = ('[[stream]]\nname = "all"\ntopics = ["#"]\nsync_interval = "20ms"\nsegment_bytes = "96KiB"\nmax_bytes = "{}"\n'
               'when_full = "reject-new"\n[[uplink]]\nname = "far"\nstreams = ["all"]\nurl = "ws://127.0.0.1:1"\n')  # fmt: skip


class Steps:
    """The list, and how often each step was passed and was somebody's last, over all runs."""

    def __init__(self, header):
        text = header.read_text()
        listed = text[text.index("kSteps{") : text.index("};", text.index("kSteps{"))]
        # The capture's steps come behind these, and tests/system/capture kills it there.
        self.listed = re.findall(r'^\s+"([a-z_.]+)",', listed, re.MULTILINE)
        self.names = [name for name in self.listed if not name.startswith("capture.")]
        assert self.names and len(set(self.names)) == len(self.names)
        self.passed = dict.fromkeys(self.names, 0)
        self.killed = dict.fromkeys(self.names, 0)

    def environment(self, folder, step=None, passage=0):
        counts = folder / "counts"
        counts.write_bytes(bytes(8 * len(self.listed)))
        kill = {"SPILLWAY_STEP_KILL": f"{step}:{passage}"} if step else {}
        return {"SPILLWAY_STEP_COUNTS": str(counts), **kill}

    def read(self, folder):
        counts = dict(zip(self.names, struct.unpack_from(f"<{len(self.names)}Q", (folder / "counts").read_bytes())))
        for name, count in counts.items():
            self.passed[name] += count
        return {name: count for name, count in counts.items() if count}

    def missed(self):
        return [name for name in self.names if not self.passed[name] or not self.killed[name]]


def passages(count):
    """The first two and some from the middle: what differs in a lane's life. The last may not come again."""
    return sorted({number for number in (1, 2, count // 4, count // 2) if 1 <= number <= count})


class Run:
    """One scenario for one side: run once unharmed to see what it passes, then once for each step and passage."""

    def __init__(self, options, steps):
        self.options, self.steps = options, steps

    def gateway(self, **more):
        return Gateway(self.options.agent, self.options.producer, **more)

    def environment(self, gateway, *kill):
        return self.steps.environment(gateway.root, *kill)

    def died(self, process, step):
        """False if the passage did not come this time; anything but kill -9 is a failure of its own."""
        assert process.returncode in (0, -signal.SIGKILL), f"{step}: ended with {process.returncode}"
        self.steps.killed[step] += process.returncode != 0
        return process.returncode != 0


class ProducerRun(Run):
    """One agent for all of it; each run has a topic of its own."""

    phases = EVERYTHING

    def all(self, wanted):
        with self.gateway() as gateway:
            gateway.start_agent()
            gateway.agent_ready()
            gateway.start_producer("producer/whole", *self.phases, environment=self.environment(gateway)).ended_well()
            passed = self.steps.read(gateway.root)
            for step in (step for step in passed if step in wanted):
                for passage in passages(passed[step]):
                    self.one(gateway, step, passage)
            assert gateway.agent.poll() is None, gateway.log()
            gateway.stop_agent()
            return gateway.judge()

    def one(self, gateway, step, passage):
        topic = f"producer/{step}/{passage}"
        victim = gateway.start_producer(topic, *self.phases, environment=self.environment(gateway, step, passage))
        victim.process.wait()
        self.steps.read(gateway.root)
        assert self.died(victim.process, step), f"{step} was not passed {passage} times"
        successor = gateway.start_producer(topic, *SUCCESSOR)
        wait_for(lambda: successor.process.poll() is not None, f"{step}:{passage}: the successor to be process-safe",
                 GOES_ON_S, "a killed producer's successor was process-safe after")  # fmt: skip
        successor.ended_well()
        gateway.wait_for_lanes_gone("a dead producer's lane was gone after")


class AgentRun(Run):
    """Ever new agents over one queue and one spill."""

    phases = EVERYTHING
    stream = Gateway.STREAM
    silent_s = 0.0  # how long its producer may have nothing to say

    def prepare(self, gateway):
        """Before the armed agent starts."""

    def check(self, gateway, step):
        """When all is over."""

    def all(self, wanted):
        with self.gateway(stream=self.stream) as gateway:
            gateway.start_agent()
            gateway.agent_ready()
            gateway.stop_agent()
            passed = self.whole(gateway)
            for step in (step for step in passed if step in wanted):
                for passage in passages(passed[step]):
                    self.one(gateway, step, passage)
            return gateway.judge()

    def whole(self, gateway):
        self.prepare(gateway)
        gateway.start_agent(self.environment(gateway))
        gateway.start_producer("agent/whole", *self.phases).ended_well()
        gateway.wait_for_lanes_gone()
        gateway.stop_agent()
        return self.steps.read(gateway.root)

    def one(self, gateway, step, passage):
        self.prepare(gateway)
        victim = gateway.start_agent(self.environment(gateway, step, passage))
        producer = gateway.start_producer(f"agent/{step}/{passage}", *self.phases)
        wait_for(lambda: victim.poll() is not None or self.over(gateway, producer), f"{step}:{passage}: the agent's death")
        if victim.poll() is None:
            gateway.agent_ready()
            victim.send_signal(signal.SIGTERM)  # the passage may come on the way out
            victim.wait()
        self.steps.read(gateway.root)
        if self.died(victim, step):
            self.go_on(gateway, producer, f"{step}:{passage}")
            self.check(gateway, step)

    @staticmethod
    def over(gateway, producer):
        return producer.process.poll() is not None and not gateway.lanes()

    def go_on(self, gateway, producer, what):
        before = producer.tally()[1]
        gateway.start_agent()
        wait_for(lambda: producer.tally()[1] > before or producer.process.poll() is not None, f"{what}: the producer to go on",
                 GOES_ON_S + self.silent_s, "a killed agent's producer went on after")  # fmt: skip
        producer.ended_well()
        gateway.wait_for_lanes_gone("a lane was gone after its producer's end and the agent's restart in")
        gateway.stop_agent()


class SilentProducerRun(ProducerRun):
    phases = SILENT


class SilentAgentRun(AgentRun):
    phases = SILENT
    silent_s = 1.7


class QuarantineRun(AgentRun):
    """A lane that breaks a rule, beside a good one, and no more room for lanes that were set aside."""

    phases = ("single:60", "power", "close")
    random = random.Random(1)

    def prepare(self, gateway):
        quarantine = gateway.queue / "quarantine"
        for number in range(QUARANTINE_MAX - len(list(quarantine.iterdir()))):
            (quarantine / f"{number:016x}-old.lane").write_bytes(b"")
        bad = struct.pack("<IHHQ", 0x7FFF_FFFF, 0, 0, 0)
        header = forge_header(self.random, topic=b"agent/whole")
        self.name = f"{time.monotonic_ns():016x}-{self.random.getrandbits(64):016x}.lane"
        (gateway.root / "bad").write_bytes(forge_lane(header, bad))
        (gateway.root / "bad").rename(gateway.queue / "lanes" / self.name)

    def check(self, gateway, step):
        kept = [path.name for path in (gateway.queue / "quarantine").iterdir()]
        assert len(kept) <= QUARANTINE_MAX, f"{step}: {len(kept)} lanes were kept"
        assert sum(name.endswith(self.name) for name in kept) == 1, f"{step}: the bad lane was not set aside"


class FullRun(AgentRun):
    """A stream at its quota that takes nothing more; the next agent is given room."""

    phases = ("large:600", "flush", "hold", "close")
    stream = FULL_STREAM.format("1MiB")

    def whole(self, gateway):
        return {"lane.stream_full": 1}

    def go_on(self, gateway, producer, what):
        gateway.write_config(FULL_STREAM.format("64MiB"))
        gateway.start_agent()
        wait_for(lambda: producer.tally()[1] == 600, f"{what}: the producer to go on")
        lane = (gateway.queue / "lanes" / gateway.lanes()[0]).read_bytes()
        assert struct.unpack_from("<I", lane, STREAM_FULL_AT) == (0,), "the lane says full, and the stream has room"
        producer.process.stdin.close()
        producer.ended_well()
        gateway.wait_for_lanes_gone()
        gateway.stop_agent()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("agent", "producer", "steps"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    options = parser.parse_args()
    steps = Steps(options.steps)
    began = time.monotonic()
    records = 0
    for run in (ProducerRun, AgentRun, QuarantineRun, FullRun, SilentProducerRun, SilentAgentRun):
        # A step at which somebody was killed in one scenario is left out of the rarer ones.
        missed = set(steps.missed())
        if missed:
            records += run(options, steps).all(missed)
            print(f"{run.__name__}: {sum(steps.killed.values())} kills so far, {time.monotonic() - began:.0f} s", flush=True)
    for name in steps.names:
        print(f"  {name:<28} passed {steps.passed[name]:>7,} killed at {steps.killed[name]:>3}")
    for what, seconds in RESULT.items():
        print(f"  {what} {seconds:.3f} s at most")
    print(f"{sum(steps.killed.values())} kills at {len(steps.names)} steps, {records:,} records, {time.monotonic() - began:.0f} s")
    missed = steps.missed()
    assert not missed, f"no run killed anybody at {missed}"


if __name__ == "__main__":
    main()
