#!/usr/bin/env python3
"""./run bench engines kafka [--rounds N] [--records N] [--bytes N]: the uplink's Kafka sink drains a backlog.

Beside it, in turn, against the same broker on this machine: librdkafka alone (kafka_bare: the same settings, headers of the
same size, and nothing else), idempotent and in transactions, and Kafka's own kafka-producer-perf-test, which sends no headers.
The sink's number includes what it does more: reading the spill, transactions with its positions, cursors. The best of the
rounds of each; it exits 1 if the sink is below 0.7 of the bare idempotent producer.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
TESTS = pathlib.Path(__file__).resolve().parents[2] / "tests/system"
sys.path[:0] = [str(TESTS), str(TESTS / "engines")]
import kafka_server  # noqa: E402
from engine_world import EngineWorld  # noqa: E402
from harness import wait_until  # noqa: E402
from kafka_server import KafkaServer  # noqa: E402

SHARE_MIN = 0.7
PARTITIONS = 4
PRODUCERS = 4
TRANSACTION_RECORDS = 12_000
WATCHDOG_S = 300


class Bench:
    def __init__(self, options, folder, broker):
        self.options, self.folder, self.broker, self.topics = options, pathlib.Path(folder), broker, 0

    def topic(self):
        """A new one each time: no round finds the other's files in the cache."""
        self.topics += 1
        name = f"bench-{self.topics}"
        self.broker.create_topic(name, partitions=PARTITIONS)
        return name

    def bare(self, *more):
        command = [self.options.bin / "kafka_bare", self.broker.address, self.topic(), self.options.records, self.options.bytes, *more]
        return float(subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, timeout=WATCHDOG_S).stdout)

    def perf_test(self):
        text = kafka_server.java(
            "org.apache.kafka.tools.ProducerPerformance", "--topic", self.topic(), "--num-records", self.options.records,
            "--record-size", self.options.bytes, "--throughput", -1, "--producer-props", f"bootstrap.servers={self.broker.address}",
            "acks=all", "enable.idempotence=true", "linger.ms=5", timeout=WATCHDOG_S, long_run=True)  # fmt: skip
        return float(re.findall(r"([\d.]+) records/sec", text)[-1])

    def sink(self, kafka_keys=""):
        """A backlog is spilled first; then the uplink starts. From its first acknowledgement to its last."""
        keys = f'[uplink.kafka]\ntopic = "{self.topic()}"\n{kafka_keys}'
        with EngineWorld(self.options.bin, f"kafka://{self.broker.address}", uplink_keys=keys, max_bytes="4GiB") as world:
            world.agent.start()
            world.wait_ready()
            for index in range(PRODUCERS):
                world.fill(index, self.options.records // PRODUCERS, self.options.bytes)
            wait_until(lambda: not world.live_lanes(), "the lanes' end", WATCHDOG_S)
            spilled = world.control()[0]
            world.uplink.start()
            first = wait_until(world.acknowledged, f"the first acknowledgement: {world.uplink.log_tail()}", WATCHDOG_S, 0.001)
            begin = time.monotonic()
            wait_until(lambda: world.acknowledged() == spilled, f"the drain: {world.uplink.log_tail()}", WATCHDOG_S, 0.001)
            return (spilled - first) / (time.monotonic() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--bytes", type=int, default=128)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spillway-bench-kafka-") as folder:
        broker = KafkaServer(folder, long_run=True)
        try:
            broker.start().wait_ready()
            return measure(options, Bench(options, folder, broker))
        finally:
            broker.close()


def measure(options, bench):
    ways = {
        "librdkafka alone, idempotent": bench.bare,
        "librdkafka alone, transactions": lambda: bench.bare(TRANSACTION_RECORDS),
        "kafka-producer-perf-test, no headers": bench.perf_test,
        "spillway, transactions": bench.sink,
        "spillway, idempotent": lambda: bench.sink("transactions = false"),
    }
    bench.bare()  # the broker's own warm-up
    best = dict.fromkeys(ways, 0.0)
    for _ in range(options.rounds):
        for name, way in ways.items():
            best[name] = max(best[name], way())
    bare = best["librdkafka alone, idempotent"]
    print(f"{options.records:,} records of {options.bytes} bytes, {PARTITIONS} partitions, one broker on this machine, best of {options.rounds}")
    for name, rate in best.items():
        print(f"  {name:40} {rate:10,.0f} records/s   {rate / bare:5.2f}")
    share = best["spillway, transactions"] / bare
    print(f"the sink with transactions has {share:.2f} of the bare idempotent producer (at least {SHARE_MIN})")
    return 0 if share >= SHARE_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
