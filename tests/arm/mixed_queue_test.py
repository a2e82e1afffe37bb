"""mixed_queue_test.py --bin NATIVE --agent-bin A --producer P...: machines of different kinds share one queue and one spill.

The agent comes from A (an arm64 build's wrappers), a producer from each P (tests/arm/feed.c of armhf, arm64 and this machine),
and a native `spillway tail --follow` reads the stream meanwhile. While they run: the agent is killed and restarted, then the
tail, and one producer is killed and followed by another. Oracle: what the tail printed is every record once and in order, and
so is what stands in the spill by the rules of docs/format.md, with no code of the product.
"""

import argparse
import base64
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "system"), str(HERE.parent / "system/format_script")]
from harness import Daemon, World, wait_until  # noqa: E402
from producer_test import expected  # noqa: E402
from read_segments import lanes, records  # noqa: E402


KILLED = "sensor/killed"
ENDLESS = 1_000_000_000


class Tail:
    """A native `spillway tail --follow`, which can be killed and goes on where it was."""

    def __init__(self, world, native):
        self.world, self.native = world, pathlib.Path(native).resolve()
        self.outputs, self.records = [], []
        self.start()

    def start(self):
        number = len(self.outputs)
        command = [self.native / "spillway", "tail", "telemetry", "--follow", "--json", "--config", self.world.gateway_config]
        self.daemon = Daemon(f"tail-{number}", [*command, "--from", len(self.records)], self.world.root)
        self.outputs.append(self.daemon.log_path)
        self.position = 0
        self.daemon.start()

    def read(self):
        """Takes over the whole lines printed since; returns how many records there are in all."""
        with open(self.outputs[-1], "rb") as output:
            output.seek(self.position)
            text = output.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.position += len(whole)
        for line in whole.splitlines():
            assert line.startswith(b"{"), f"the tail said: {line.decode()}"
            item = json.loads(line)
            self.records.append((item["offset"], item["topic"], base64.b64decode(item["payload"])))
        return len(self.records)

    def kill_and_restart(self):
        assert self.daemon.alive(), self.daemon.log_tail()
        self.daemon.kill()
        self.read()
        self.start()


class Story:
    def __init__(self, world, options):
        self.world, self.options = world, options
        self.feeds = {}

    def feed(self, topic, program, count):
        name = f"feed-{len(self.feeds)}"
        self.feeds[name] = Daemon(name, [program, self.world.queue_dir, topic, count], self.world.root).start()
        return self.feeds[name]

    def spilled(self):
        return self.world.control()[0]

    def wait_spilled(self, more, what):
        target = self.spilled() + more
        wait_until(lambda: self.spilled() >= target, what, pause_s=0.002)

    def run(self, tail):
        """Each is killed while there is something to do for all of them: the doomed producer never ends by itself."""
        count = self.options.count
        for number, program in enumerate(self.options.producer):
            self.feed(f"sensor/whole/{number}", program, count)
        doomed = self.feed(KILLED, self.options.producer[0], ENDLESS)
        self.wait_spilled(count // 4, "the first records")
        self.world.agent.kill()
        self.world.agent.start()
        self.wait_spilled(count // 4, "records after the agent's restart")
        wait_until(lambda: tail.read() > 0, "the tail's first records")
        tail.kill_and_restart()
        self.wait_spilled(count // 4, "records after the tail's restart")
        assert doomed.alive(), doomed.log_tail()
        doomed.kill()
        self.feed(KILLED, self.options.producer[0], count)
        for name, feed in self.feeds.items():
            if feed is not doomed:
                code = feed.process.wait(self.options.watchdog)
                assert code == 0, f"producer {name} ended with {code}: {feed.log_tail()}{self.world.agent.log_tail()}"
        wait_until(lambda: not self.world.live_lanes(), "the agent to remove the finished lanes", self.options.watchdog)


def judge(found, options):
    """`found`: (offset, topic, record) in the order in which they were read."""
    assert [offset for offset, _, _ in found] == list(range(len(found))), "an offset is missing, doubled or out of order"
    by_topic = {}
    for _, topic, record in found:
        by_topic.setdefault(topic, []).append(record)
    wanted = {f"sensor/whole/{number}" for number in range(len(options.producer))} | {KILLED}
    assert set(by_topic) == wanted, sorted(by_topic)
    for topic, taken in by_topic.items():
        before = len(taken) - options.count  # what the killed one had committed; its successor begins anew
        assert before == 0 if topic != KILLED else before > 0, f"{topic}: {len(taken)} records"
        for number, record in enumerate(taken):
            assert record == expected(number if number < before else number - before), f"{topic}: record {number} is {record!r}"
    return {topic: len(taken) for topic, taken in sorted(by_topic.items())}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="this machine's programs")
    parser.add_argument("--agent-bin", required=True, help="where the agent is taken from")
    parser.add_argument("--producer", required=True, nargs="+", help="arm_feed of each kind of machine")
    parser.add_argument("--count", type=int, default=20_000, help="records of each producer")
    parser.add_argument("--watchdog", type=float, default=180)
    options = parser.parse_args()
    with World(options.agent_bin, segment_bytes="4MiB", max_bytes="1GiB") as world:
        world.agent.start()
        world.wait_ready()
        wait_until(lambda: (world.spill_dir / "telemetry" / "control").exists(), "the agent's stream")
        tail = Tail(world, options.bin)
        story = Story(world, options)
        try:
            story.run(tail)
            spilled = story.spilled()
            wait_until(lambda: tail.read() >= spilled, f"the tail to print all of {spilled} records", options.watchdog)
        finally:
            tail.daemon.kill()
            for feed in story.feeds.values():
                feed.kill()
        world.agent.stop()
        counts = judge(tail.records, options)
        stream = world.spill_dir / "telemetry"
        topics = lanes(stream)
        assert judge([(offset, topics[lane], record) for offset, lane, record in records(stream)], options) == counts
        world.binaries = pathlib.Path(options.bin).resolve()
        verified = world.command("verify", stream)
        assert verified.returncode == 0, f"spillway verify: {verified.returncode}: {verified.stdout}{verified.stderr}"
    print(f"{sum(counts.values())} records, each once and in order, in the tail and in the spill: {counts}")


if __name__ == "__main__":
    main()
