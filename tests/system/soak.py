#!/usr/bin/env python3
"""./run soak [MINUTES] [SEED]: kills, restarts and bit rot for so long, side by side, and one summary at the end.

Two parts run at a time: a writer on this disk that is killed again and again (`spillway torture`) and real daemons that are
killed (kill_test.py), each for MINUTES; then rows of restarts that may leave nothing behind (restarts_test.py) and each bit of a
spill flipped in turn (bit_rot_test.cc). From 30 minutes on it is the full soak: it goes on until there were 10,000 kills, with
1,000 restarts in each row and 1 MiB of flipped bits; below that with a part of each.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
FULL_MINUTES = 30
FULL_KILLS, FULL_RESTARTS, FULL_ROT_PARTS = 10_000, 1_000, 16
SHORT_RESTARTS, SHORT_ROT_PARTS = 100, 1
ROT_SHARDS, ROT_SHARDS_AT_ONCE = 16, 4
KILLS_A_WORLD = 200
TURN_MINUTES = 2.0  # of one call of torture; then with the next seed
WATCHDOG_S = 3600


class Soak:
    def __init__(self, options):
        self.options = options
        self.full = options.minutes >= FULL_MINUTES
        self.began = time.monotonic()
        self.end = self.began + 60 * options.minutes
        self.lock = threading.Lock()
        self.totals = collections.Counter()
        self.failures = []
        self.seeds = collections.defaultdict(list)

    def say(self, text):
        with self.lock:
            print(f"[{(time.monotonic() - self.began) / 60:6.1f} min] {text}", flush=True)

    def run(self, *command, **environment):
        """The program's exit code and all that it said."""
        done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              env={**os.environ, **environment}, timeout=WATCHDOG_S, check=False)  # fmt: skip
        return done.returncode, done.stdout

    def count(self, **more):
        with self.lock:
            self.totals.update(more)

    def failed(self, what, said):
        with self.lock:
            self.failures.append(what)
        self.say(f"FAILED: {what}\n{said.strip()[-3000:]}")

    def kills_go_on(self):
        kills = self.totals["kills of a writer"] + self.totals["kills of daemons"]
        return not self.failures and (time.monotonic() < self.end or (self.full and kills < FULL_KILLS))

    def torture(self):
        seed = self.options.seed
        while self.kills_go_on():
            minutes = max(0.05, min(TURN_MINUTES, (self.end - time.monotonic()) / 60))
            if time.monotonic() >= self.end:
                minutes = TURN_MINUTES
            code, said = self.run(self.options.bin / "spillway", "torture", self.options.disk, "--minutes", f"{minutes:.3f}",
                                  "--seed", seed, "--json")  # fmt: skip
            report = json.loads(said.splitlines()[-1]) if said.strip().endswith("}") else {}
            self.seeds["torture"].append(seed)
            self.count(**{"kills of a writer": report.get("kills", 0), "records": report.get("records_appended", 0),
                          "bits flipped at random": report.get("bits_flipped", 0), "segments repaired": report.get("segments_repaired", 0)})  # fmt: skip
            if code != 0:
                return self.failed(f"torture, seed {seed}", said)
            self.say(f"torture, seed {seed}: {report['kills']} kills, {report['records_appended']:,} records; so far {self.totals_text()}")
            seed += 1
        return None

    def kill_daemons(self):
        seed = self.options.seed
        while self.kills_go_on():
            code, said = self.run(sys.executable, HERE / "kill_test.py", "--bin", self.options.bin, "--kills", KILLS_A_WORLD, "--seed", seed)
            self.seeds["kill_test"].append(seed)
            match = re.search(r"(\d+) kills, ([\d,]+) records", said)
            if code != 0 or match is None:
                return self.failed(f"kill_test.py --kills {KILLS_A_WORLD} --seed {seed}", said)
            records = int(match[2].replace(",", ""))
            self.count(**{"kills of daemons": int(match[1]), "records": records})
            self.say(f"daemons, seed {seed}: {match[1]} kills, {records:,} records; so far {self.totals_text()}")
            seed += 1
        return None

    def restarts(self):
        rows = FULL_RESTARTS if self.full else SHORT_RESTARTS
        seed = self.options.seed
        code, said = self.run(sys.executable, HERE / "restarts_test.py", "--bin", self.options.bin, "--restarts", rows, "--seed", seed)
        self.seeds["restarts_test"].append(seed)
        match = re.search(r"(\d+) restarts, (\d+) records", said)
        if code != 0 or match is None:
            return self.failed(f"restarts_test.py --restarts {rows} --seed {seed}", said)
        self.count(restarts=int(match[1]), records=int(match[2]))
        return self.say(said.strip())

    def rot(self, part, first_shard):
        if self.failures:
            return None
        shards = "|".join(str(shard) for shard in range(first_shard, first_shard + ROT_SHARDS_AT_ONCE))
        # gtest knows no alternatives within a name.
        names = ":".join(f"*BitRotTest.*/{shard}" for shard in shards.split("|"))
        code, said = self.run(self.options.rot, f"--gtest_filter={names}", SPILLWAY_BIT_ROT_PART=str(part))
        flips = sum(int(number) for number in re.findall(r"\[ flips +\] (\d+)", said))
        starts = sum(int(number) for number in re.findall(r"\[ starts +\] (\d+)", said))
        if code != 0 or flips == 0:
            return self.failed(f"bit rot, part {part}, shards {shards}", said)
        self.count(**{"bits flipped in turn": flips, "starts on a flipped bit": starts})
        return self.say(f"bit rot, part {part}, shards {shards}: {flips:,} bits, {starts:,} starts; so far "
                        f"{self.totals['bits flipped in turn']:,} bits")  # fmt: skip

    def totals_text(self):
        with self.lock:
            return ", ".join(f"{count:,} {name}" for name, count in sorted(self.totals.items())) or "nothing"

    def go(self):
        parts = FULL_ROT_PARTS if self.full else SHORT_ROT_PARTS
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            work = [pool.submit(self.torture), pool.submit(self.kill_daemons)]
            work.append(pool.submit(self.restarts))
            work += [pool.submit(self.rot, part, shard) for part in range(parts) for shard in range(0, ROT_SHARDS, ROT_SHARDS_AT_ONCE)]
            for job in work:
                try:
                    job.result()
                except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                    self.failed(f"{type(error).__name__}", str(error))

    def summary(self):
        print(f"\n== soak, seed {self.options.seed}, {'full' if self.full else 'short'}, {(time.monotonic() - self.began) / 60:.1f} minutes")
        kills = self.totals["kills of a writer"] + self.totals["kills of daemons"]
        print(f"{kills:>14,} kills -9 in all")
        for name, count in sorted(self.totals.items()):
            print(f"{count:>14,} {name}")
        for name, seeds in self.seeds.items():
            print(f"{'seeds':>14} {name}: {seeds[0]} to {seeds[-1]}")
        print(f"{len(self.failures):>14} failures{''.join(chr(10) + ' ' * 15 + what for what in self.failures)}")


def parse():
    parser = argparse.ArgumentParser(prog="./run soak", description=__doc__.splitlines()[0])
    parser.add_argument("minutes", nargs="?", type=float, default=10)
    parser.add_argument("seed", nargs="?", type=int, default=1 + int.from_bytes(os.urandom(2), "little"))
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rot", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--disk", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.minutes <= 0 or options.seed < 1:
        parser.error("MINUTES is more than 0, and SEED at least 1")
    options.jobs = max(2, os.cpu_count() or 2)
    return options


def main():
    soak = Soak(parse())
    print(f"soak, seed {soak.options.seed}: {soak.options.minutes:g} minutes of kills, then "
          f"{FULL_ROT_PARTS if soak.full else SHORT_ROT_PARTS} x 64 KiB of bit rot and "
          f"{FULL_RESTARTS if soak.full else SHORT_RESTARTS} restarts in each row", flush=True)  # fmt: skip
    soak.go()
    soak.summary()
    return 1 if soak.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("soak: stopped")
