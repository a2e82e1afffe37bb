#!/usr/bin/env python3
"""./run bench link [--rounds N] [--records N] [--only drain|delay|far]: the native link, into SQLite.

- drain: a backlog of 64-byte records by ws over localhost into the inbox, beside SQLite alone with the same rows, tables,
  PRAGMAs and statement, in turn, the best of some rounds of each; the bare loop is given the inbox's largest transaction.
- delay: from the enqueue to the row that another process can read, at 1,000 records/s: with `sync_interval` at 20 ms, with
  "memory-first", and as it is by default (where records gather for 50 ms, to spare flash).
- far: a backlog over a link of 1 Mbit/s and 600 ms, by a relay of this program: how full it is.

What each row means: docs/benchmarks.md. Needs two cores that nobody else uses.
"""

import argparse
import json
import pathlib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests/system"))
from harness import Daemon, free_port, wait_until  # noqa: E402
from link_relay import Link  # noqa: E402

DRAIN_RATE_MIN = 300_000
DRAIN_SHARE_MIN = 0.6
DELAY_MS_MAX = 5.0
FAR_SHARE_MIN = 0.9
FAR_BYTES_PER_S = 125_000
FAR_DELAY_S = 0.3
PACED_HZ = 1000
BATCH_RECORDS = 65_536  # what the inbox puts into one transaction at most, of these records
WATCHDOG_S = 300

CONFIGURATION = """[gateway]
name = "bench"
queue_dir = "{root}/queue"
spill_dir = "{root}/spill"
{gateway_keys}
[[stream]]
name = "bench"
topics = ["#"]
max_bytes = "4GiB"
{stream_keys}
[[uplink]]
name = "far"
url = "ws://127.0.0.1:{port}"
{uplink_keys}
"""
DELAYS = {
    "sync_interval 20 ms, nap 1 ms": ('nap = "1ms"', 'sync_interval = "20ms"', True),
    "memory-first, sync_interval 20 ms, nap 1 ms": ('nap = "1ms"', 'placement = "memory-first"\nsync_interval = "20ms"', True),
    "sync_interval 20 ms": ("", 'sync_interval = "20ms"', False),
    "as it is by default": ("", "", False),
}


class Pair:
    """A gateway and a consumer in one folder."""

    def __init__(self, options, folder, gateway_keys="", stream_keys="", uplink_keys="", link=None):
        self.options, self.root, self.link = options, pathlib.Path(folder), link
        self.inbox = self.root / "inbox.db"
        self.consumer_port = link.target_port if link else free_port()
        self.gateway = self.root / "gateway.toml"
        self.gateway.write_text(CONFIGURATION.format(root=self.root, port=link.port if link else self.consumer_port, gateway_keys=gateway_keys,
                                                     stream_keys=stream_keys, uplink_keys=uplink_keys))  # fmt: skip
        self.consumer_config = self.root / "consumer.toml"
        self.consumer_config.write_text(f'[consumer]\nlisten = "ws://127.0.0.1:{self.consumer_port}"\ninbox = "sqlite:{self.inbox}"\n')
        (self.root / "queue").mkdir()
        self.daemons = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.kill()

    def start(self, name):
        config = self.consumer_config if name == "consumer" else self.gateway
        self.daemons.append(Daemon(name, [self.options.bin / f"spillway-{name}", "--config", config], self.root).start())
        return self.daemons[-1]

    def start_agent(self):
        agent = self.start("agent")
        wait_until(lambda: (self.root / "queue/agent.status").exists(), "the agent's start")
        return agent

    def start_consumer(self):
        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.consumer_port)) == 0

        self.start("consumer")
        wait_until(listens, "the consumer's start")

    def fill(self, records):
        """The agent makes the gateway and the stream; it is not needed to drain."""
        agent = self.start_agent()
        agent.stop()
        self.step("fill", "--spill", self.root / "spill", "--queue", self.root / "queue", "--records", records)

    def popen(self, name, *arguments):
        return subprocess.Popen([str(self.options.bin / "bench_link"), name, *map(str, arguments)], stdout=subprocess.PIPE, text=True)

    def step(self, name, *arguments):
        return self.result(self.popen(name, *arguments))

    @staticmethod
    def result(process):
        out, _ = process.communicate(timeout=WATCHDOG_S)
        if process.returncode != 0:
            raise RuntimeError(f"bench_link failed with {process.returncode}")
        return json.loads(out)

    def next_offset(self):
        try:
            with sqlite3.connect(f"file:{self.inbox}?mode=ro", uri=True, timeout=10) as inbox:
                row = inbox.execute("SELECT max(next_offset) FROM position").fetchone()
                return row[0] or 0
        except sqlite3.OperationalError:
            return 0


def say(text):
    print(text, file=sys.stderr, flush=True)


def folder_for(options):
    return tempfile.TemporaryDirectory(prefix="spillway-link-", dir=options.dir)


def bare_rate(options):
    with folder_for(options) as folder:
        return Pair.result(subprocess.Popen(
            [str(options.bin / "bench_link"), "insert", "--database", f"{folder}/bare.db", "--records", str(options.records), "--batch",
             str(BATCH_RECORDS)], stdout=subprocess.PIPE, text=True))["records_per_second"]  # fmt: skip


def drain_rate(options, uplink_keys=""):
    with folder_for(options) as folder, Pair(options, folder, uplink_keys=uplink_keys) as pair:
        pair.fill(options.records)
        pair.start_consumer()
        began = time.monotonic()
        pair.start("uplink")
        wait_until(lambda: pair.next_offset() >= options.records, "the drain", WATCHDOG_S, 0.01)
        seconds = time.monotonic() - began
        with sqlite3.connect(f"file:{pair.inbox}?mode=ro", uri=True) as inbox:
            assert inbox.execute("SELECT count(*) FROM record").fetchone()[0] == options.records
        return options.records / seconds


def drain(options):
    rates = {"bare": [], "auto": [], "never": []}
    for number in range(options.rounds):
        rates["bare"].append(bare_rate(options))
        rates["auto"].append(drain_rate(options))
        rates["never"].append(drain_rate(options, 'compress = "never"'))
        say(f"   round {number + 1}: " + ", ".join(f"{name} {values[-1]:,.0f}/s" for name, values in rates.items()))
    best = {name: max(values) for name, values in rates.items()}
    print(f"drain of {options.records:,} records of 64 bytes: SQLite alone {best['bare']:,.0f}/s, the link {best['auto']:,.0f}/s, "
          f"with compress = \"never\" {best['never']:,.0f}/s")  # fmt: skip
    return [bar("bulk drain, records/s", best["auto"], DRAIN_RATE_MIN, best["auto"] >= DRAIN_RATE_MIN),
            bar("bulk drain, share of SQLite's own rate", best["auto"] / best["bare"], DRAIN_SHARE_MIN,
                best["auto"] >= DRAIN_SHARE_MIN * best["bare"])]  # fmt: skip


def delay(options):
    bars = []
    for name, (gateway_keys, stream_keys, judged) in DELAYS.items():
        with folder_for(options) as folder, Pair(options, folder, gateway_keys, stream_keys) as pair:
            pair.start_consumer()
            pair.start_agent()
            pair.start("uplink")
            records = PACED_HZ * options.seconds
            warm = PACED_HZ // 2
            producer = pair.popen("produce", "--queue", pair.root / "queue", "--records", warm + records, "--rate", PACED_HZ)
            wait_until(lambda pair=pair: pair.next_offset() > 0, "the first record")
            watched = Pair.result(pair.popen("watch", "--database", pair.inbox, "--records", warm + records))["delay_ns"]
            Pair.result(producer)
        p50, p99 = watched["p50"] / 1e6, watched["p99"] / 1e6
        print(f"enqueue to committed row at {PACED_HZ:,}/s, {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        if judged:
            bars.append(bar(f"p50 in ms, {name}", p50, DELAY_MS_MAX, p50 < DELAY_MS_MAX))
    return bars


def far(options):
    consumer_port = free_port()
    link = Link(consumer_port, FAR_BYTES_PER_S, FAR_DELAY_S).start()
    try:
        with folder_for(options) as folder, Pair(options, folder, link=link) as pair:
            pair.fill(options.records)
            pair.start_consumer()
            pair.start("uplink")
            wait_until(lambda: pair.next_offset() > 0, "the first record", WATCHDOG_S)
            # Judged from the first acknowledgement on, as a backlog of hours would be.
            before, began = link.arrived["up"], time.monotonic()
            time.sleep(options.seconds * 2)
            share = (link.arrived["up"] - before) / (time.monotonic() - began) / FAR_BYTES_PER_S
            assert pair.next_offset() < options.records, "the backlog was drained before the time was over"
    finally:
        link.stop()
    print(f"a link of 1 Mbit/s and 600 ms round trip is {100 * share:.1f} % full while a backlog drains")
    return [bar("use of the far link", share, FAR_SHARE_MIN, share >= FAR_SHARE_MIN)]


def bar(name, value, limit, holds):
    return f"{'holds' if holds else 'SHORT'}  {name}: {value:,.2f} against {limit:,}", holds


def main():
    parser = argparse.ArgumentParser(prog="./run bench link", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="of the drain, each way (default 3)")
    parser.add_argument("--records", type=int, default=2_000_000, help="of the backlog (default 2,000,000)")
    parser.add_argument("--seconds", type=int, default=10, help="of records at a steady rate (default 10)")
    parser.add_argument("--only", action="append", choices=["drain", "delay", "far"])
    parser.add_argument("--dir", help="where spill and inbox stand (default: the temporary directory)")
    options = parser.parse_args()
    bars = []
    for name, part in (("drain", drain), ("delay", delay), ("far", far)):
        if not options.only or name in options.only:
            say(f"== {name}")
            bars += part(options)
    for text, _ in bars:
        print(text)
    return 0 if all(holds for _, holds in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
