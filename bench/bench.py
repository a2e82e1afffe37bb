#!/usr/bin/env python3
"""The benchmark suite: ./run bench [--quick] [--rounds N] [--only SUBJECT]...

Measures Spillway and its peers side by side in interleaved rounds, prints the figures and the bars, and writes
results.json and report.html. What is measured, and how: docs/benchmarks.md.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from report import machine, page, table, waking  # noqa: E402
from report.bars import SIZES, all_bars  # noqa: E402
from report.figures import Figures  # noqa: E402
from report.programs import Agent, BenchError, LeftOut, Programs, RouDi  # noqa: E402

OURS = ["spillway-put", "spillway-claim", "spillway-template", "spillway-put-many"]
FLOORS = ["timer", "memcpy", "floor"]
PEERS = ["boost-spsc", "iceoryx", "boost-message-queue", "posix-mq", "unix-datagram", "unix-stream", "zeromq"]
STORES = ["spillway", "sqlite", "lmdb", "rocksdb"]
GAP_NS = {64: 4000, 256: 8000, 1024: 16000}  # 20, 34 and 65 MB/s of frames: what a small disk takes
PLOTTED = ["timer", "floor", "spillway-put", *PEERS]
IDLE_LANES = 256
STATUS_SECONDS = 1.3  # the agent writes its status once a second
OUT = pathlib.Path(__file__).parent / "out"


def parse():
    parser = argparse.ArgumentParser(prog="./run bench", description="Measures Spillway beside its peers; about 8 minutes.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about 2 minutes")
    parser.add_argument("--rounds", type=int, help="so many interleaved rounds (default 7, quick 3)")
    parser.add_argument("--only", action="append", metavar="SUBJECT", help="this subject alone, beside the floors; may be repeated")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, default=OUT, help="where report.html and results.json go")
    options = parser.parse_args()
    known = OURS + FLOORS + PEERS + STORES
    for name in options.only or []:
        if name not in known:
            parser.error(f"no subject '{name}': there are {', '.join(known)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds is at least 1")
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.ms = 50 if options.quick else 150
    options.agent_ms = 300 if options.quick else 1000
    options.durable_rounds = min(options.rounds, 1 if options.quick else 3)
    options.durable_ms = 400 if options.quick else 1000
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


class Suite:
    def __init__(self, options, programs):
        self.options = options
        self.programs = programs
        self.left_out = {}
        self.facts = {}
        self.results = {"latency": [], "paced": [], "producers": [], "drain": [], "durable": [], "instructions": {}, "google": {},
                        "idle": [], "wakes": []}  # fmt: skip
        self.round = 0

    def wanted(self, names):
        """Of these, what was asked for; a floor always, so that there is something to compare with."""
        only = self.options.only
        return [name for name in names if not only or name in only or name in FLOORS]

    def try_one(self, name, call):
        """The call's answer; nothing, and a line in the report, if this cannot be measured here."""
        if name in self.left_out:
            return None
        try:
            return call()
        except LeftOut as reason:
            self.left_out[name] = str(reason)
            say(f"   {name} is left out: {reason}")
            return None

    def note_missing(self):
        for program, key, names in (("bench_latency", "subject", OURS + FLOORS + PEERS), ("bench_durable", "store", STORES)):
            built = {line[key] for line in self.programs.listed(program)}
            for name in self.wanted(names):
                if name not in built:
                    self.left_out[name] = "its library was not installed when the bench was built"
                    say(f"   {name} is left out: {self.left_out[name]}")

    def add(self, kind, line, **more):
        if line is None:
            return
        line.update(round=self.round, **more)
        if "ping_pong" in line:
            line["regime"] = machine.regime(line)
        self.results[kind].append(line)

    def latency(self, subject, size, drain, *arguments):
        def measured():
            return self.programs.measure("bench_latency", subject, "--size", size, "--gap-ns", GAP_NS[size], *arguments)

        line = self.try_one(subject, measured)
        if line is not None:
            self.facts[subject] = {key: line.pop(key) for key in ("settings", "guarantee")}
        self.add("latency", line, drain=drain)

    def one_round(self):
        for size in SIZES:
            for subject in self.wanted(FLOORS + OURS + PEERS):
                self.latency(subject, size, "bench", "--ms", self.options.ms)
            self.with_agent(size)
        if "spillway-put" in self.wanted(OURS):
            for count in (1, 10):
                line = self.programs.measure("bench_producers", "--producers", count, "--records",
                                             400_000 if self.options.quick else 2_000_000)  # fmt: skip
                self.add("producers", line)
            for size in SIZES:
                line = self.programs.measure("bench_drain", "--dir", self.programs.disk, "--size", size)
                self.add("drain", line)

    def with_agent(self, size):
        subjects = self.wanted(OURS)
        if not subjects:
            return
        with Agent(self.programs) as agent:
            for subject in subjects:
                self.latency(subject, size, "agent", "--mode", "per-op", "--queue", agent.queue, "--ms", self.options.agent_ms)

    def paced(self):
        if "spillway-put" not in self.wanted(OURS):
            return
        say("== paced, with cold caches")
        for hz, count in ((1000, 1000 if self.options.quick else 3000), (10, 20 if self.options.quick else 50)):
            with Agent(self.programs) as agent:
                # One record before, so that the agent is awake and the lane is known.
                self.latency_paced(agent, hz, hz // 10 or 1)
                time.sleep(STATUS_SECONDS if hz < 1000 else 0)
                before = agent.rings()
                line = self.latency_paced(agent, hz, count)
                time.sleep(STATUS_SECONDS)
                self.add("paced", line, hz=hz, rings=agent.rings() - before)

    def waking(self):
        if "spillway-put" not in self.wanted(OURS):
            return
        say(f"== the agent idle with {IDLE_LANES} lanes, and woken")
        self.results["idle"].append(waking.idle_share(self.programs, IDLE_LANES, 5 if self.options.quick else 20))
        for pause, count in ((1.6, 3 if self.options.quick else 10), (0.02, 100)):
            self.results["wakes"].append(waking.wakes(self.programs, pause, count))

    def latency_paced(self, agent, hz, count):
        return self.programs.measure("bench_latency", "spillway-put", "--mode", "paced", "--hz", hz, "--count", count,
                                     "--queue", agent.queue)  # fmt: skip

    def durable(self):
        losses = collections.defaultdict(list)
        for line in self.programs.listed("bench_durable"):
            losses[line["store"]].append(line["loss"])
        for self.round in range(self.options.durable_rounds):
            say(f"== durable append, round {self.round + 1} of {self.options.durable_rounds}")
            for size in SIZES:
                for store in self.wanted(STORES):
                    for loss in losses[store]:
                        self.durable_one(store, size, loss)

    def durable_one(self, store, size, loss):
        folder = self.programs.disk / "store"
        folder.mkdir()
        try:
            line = self.try_one(store, lambda: self.programs.measure(
                "bench_durable", store, "--dir", folder, "--loss", loss, "--size", size, "--ms", self.options.durable_ms))  # fmt: skip
        finally:
            shutil.rmtree(folder)
        if line is not None:
            self.facts[f"{store}, durable"] = {key: line.pop(key) for key in ("settings", "guarantee")}
        self.add("durable", line)

    def instructions(self):
        say("== instructions of a 64 B record, by callgrind")
        counts = {line["subject"]: line["unread_sends_max"] for line in self.programs.listed("bench_latency")}
        loop = {}
        for subject in ["timer", *[name for name in self.wanted(FLOORS + OURS + PEERS) if name != "timer"]]:
            for producers in (1, 10) if subject in ("timer", "spillway-put") else (1,):
                sends = counts.get(subject, 0) // 2
                if sends == 0 or subject in self.left_out:
                    continue
                try:
                    few, many = (self.programs.instructions(subject, times * sends, producers) for times in (1, 2))
                except LeftOut as reason:
                    say(f"   no instruction count of {subject}: {reason}")
                    continue
                each = (many - few) / sends / producers
                # The loop around the sends is no part of them.
                loop.setdefault(producers, each)
                records = self.programs_records(subject)
                name = subject if producers == 1 else f"{subject}, ten producers"
                self.results["instructions"][name] = (each - loop[producers]) / records

    def google(self):
        if self.wanted(OURS):
            say("== Google Benchmark, the producer alone")
            self.results["google"] = self.programs.google(0.05 if self.options.quick else 0.3)

    @staticmethod
    def programs_records(subject):
        return 16 if subject == "spillway-put-many" else 1


def run(suite):
    options = suite.options
    suite.note_missing()
    roudi = None
    if "iceoryx" in suite.wanted(PEERS):
        roudi = suite.try_one("iceoryx", lambda: RouDi(suite.programs))
    try:
        for suite.round in range(options.rounds):
            say(f"== round {suite.round + 1} of {options.rounds}")
            suite.one_round()
        suite.instructions()
        suite.google()
    finally:
        if roudi is not None:
            roudi.__exit__()
    suite.paced()
    suite.waking()
    if suite.wanted(STORES):
        suite.durable()


def report(suite, about):
    figures = Figures(suite.results["latency"])
    about["ping-pong seen"] = ", ".join(f"{name}: {count} measurements" for name, count in sorted(figures.regimes.items())) or "none"
    halves = [line["ping_pong"]["before"] for line in suite.results["latency"]]
    about["half a cache-line round trip"] = f"{min(halves):.0f} to {max(halves):.0f} ns"
    about["rounds"] = f"{suite.options.rounds}, figures from the {figures.main_regime} ones"
    bars = all_bars(suite.results, figures)
    subjects = FLOORS + OURS + PEERS
    facts = table.Table("Subjects", "beside an accepted record of ours: survives its producer's death, keeps order and time",
                        ["subject", "settings", "guarantee"], [[name, fact["settings"], fact["guarantee"]] for name, fact in suite.facts.items()])  # fmt: skip
    tables = [
        table.enqueue_table(figures, subjects, SIZES),
        table.transfer_table(figures, subjects, SIZES, suite.results["instructions"]),
        table.durable_table(suite.results["durable"]),
        table.google_table(suite.results["google"]),
        table.bars_table(bars),
        facts,
    ]
    if suite.left_out:
        tables.append(table.left_out_table(suite.left_out))
    for entry in tables:
        if entry.rows:
            print(table.as_text(entry))
    out = suite.options.out
    out.mkdir(parents=True, exist_ok=True)
    everything = {"machine": about, "left_out": suite.left_out, "bars": [vars(bar) for bar in bars], **suite.results}
    (out / "results.json").write_text(json.dumps(everything, indent=1))
    bars_first = [entry for entry in [tables[4], *tables[:4], *tables[5:]] if entry.rows]
    (out / "report.html").write_text(page.render(about, bars_first, page.plots(figures, PLOTTED, SIZES)))
    print(f"\n{out / 'report.html'} and results.json are written; docs/benchmarks.md says what each figure means")
    return bars


def main():
    options = parse()
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("the bench wants two cores, and this machine lets it have one")
    began = time.monotonic()
    # So that whatever was started is ended, and what was written is taken away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.out.mkdir(parents=True, exist_ok=True)
    memory = tempfile.mkdtemp(prefix="spillway-bench-", dir="/dev/shm")
    disk = tempfile.mkdtemp(prefix="disk-", dir=options.out)
    try:
        about = machine.describe(disk)
        suite = Suite(options, Programs(options.bin, memory, disk))
        run(suite)
        bars = report(suite, about)
    finally:
        shutil.rmtree(memory, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)
    short = sum(bar.verdict == "short" for bar in bars)
    held = sum(bar.verdict == "holds" for bar in bars)
    print(f"{held} bars hold, {short} are short; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except (BenchError, LeftOut) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: stopped")
