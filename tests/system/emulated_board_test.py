"""emulated_board_test.py --bin DIR (--kernel DIR | --image DIR) [--kills N] [--seed S]: a whole machine loses its power in mid-write.

An emulated board (board/board.py) writes records and says on its serial line which of them it was told to be power-safe; qemu is
killed at a random instant. From the log of its disk's writes disks are made as a power cut may leave them: with all that was
written, with only what was flushed, and with parts of the sectors behind the last flush; the same for cuts at other requests of
the log. On each, read here by `spillway tail`
as it stands, and again after an agent has started on it:

  - every record that was told power-safe is there, in its order, without a hole, and so is all that an earlier start left;
  - no offset is missing or given twice, no gap is written down, and `spillway verify` finds nothing wrong.

Then the board starts again on one of the first three. So that the check is known to be able to fail, a fourth disk is made each time
as one would be that had lied about its last flushes: it must be found out.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent / "board"))
from board import Board, Kit, call, make_image, missing_means, mounted  # noqa: E402
from debian_board import DebianKit  # noqa: E402
from harness import Daemon, random_source, wait_until  # noqa: E402
from write_log import WriteLog  # noqa: E402

FLOOD_LINES = 500
FLUSHES_LIED_ABOUT = 6
CUTS = 3  # at other requests of a start's log
RECORD = re.compile(r"^(told|flood) (\d+) (\d+) 0*$")


class Lost(Exception):
    """A promise that was broken, in one line."""


class Oracle:
    """Reads a disk from outside, with the programs that are under test and with nothing that the board knows."""

    def __init__(self, kit, binaries, folder, memory):
        self.kit, self.binaries, self.folder, self.memory = kit, pathlib.Path(binaries), folder, memory
        self.records = 0
        self.held = {}  # by stream: records on the disk that was judged last

    def run(self, *arguments):
        return subprocess.run([self.binaries / "spillway", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)

    def lines(self, stream):
        """All records, as `tail` prints them; each offset follows the one before."""
        result = self.run("tail", f"{stream}/", "--json")
        if result.returncode != 0:
            raise Lost(f"tail ended with {result.returncode}: {result.stderr.strip()}")
        expected = 0
        for line in map(json.loads, result.stdout.splitlines()):
            if "gap" in line:
                raise Lost(f"a gap: {line['gap']}")
            if line["offset"] != expected:
                raise Lost(f"offset {line['offset']} stands where {expected} belongs")
            expected += 1
            yield line
        self.records += expected

    def read(self, stream):
        """{(kind, start): [numbers in order]} of all records."""
        found = collections.defaultdict(list)
        for line in self.lines(stream):
            text = line.get("record", {}).get("text", "")
            if (match := RECORD.match(text)) is None:
                raise Lost(f"a record that nobody wrote: {line}")
            found[match[1], int(match[2])].append(int(match[3]))
        return found

    def judge(self, image, safe):
        """`safe`: {start: records that must be there}. Returns how many of each start are."""
        with mounted(image, self.folder / "mount") as point:
            spill = point / self.kit.spill
            before = self.check(self.read(spill / "board"), safe)
            self.start_agent(spill)
            after = self.check(self.read(spill / "board"), safe)
            if before != after:
                raise Lost(f"an agent's start changed what is there from {before} to {after}")
            for stream in self.kit.streams:
                self.look_over(spill / stream)
        return after

    def look_over(self, stream):
        result = self.run("verify", stream)
        if result.returncode != 0:
            raise Lost(f"verify: {result.stdout.strip()[-300:]}")
        self.held[stream.name] = sum(1 for _ in self.lines(stream))

    def check(self, found, safe):
        held = {}
        for start, count in safe.items():
            told = found[("told", start)]
            if told != list(range(len(told))):
                raise Lost(f"start {start}: told records out of order, doubled or with a hole")
            if len(told) < count:
                raise Lost(f"start {start}: {count} records were told power-safe, {len(told)} are there")
            flood = found[("flood", start)]
            if any(number != index % FLOOD_LINES for index, number in enumerate(flood)):
                raise Lost(f"start {start}: flood records out of order, doubled or with a hole")
            held[start] = len(told)
        return held

    def start_agent(self, spill):
        """As the next start would: it recovers, and is stopped."""
        with tempfile.TemporaryDirectory(prefix="spillway-board-", dir=self.memory) as queue:
            configuration = self.folder / "oracle.toml"
            configuration.write_text(self.kit.configuration.format(queue=f"{queue}/queue", spill=spill))
            agent = Daemon("agent", [self.binaries / "spillway-agent", "--config", configuration], self.folder).start()
            try:
                wait_until(lambda: pathlib.Path(queue, "queue", "agent.status").exists() or not agent.alive(), "the agent's start")
                if agent.stop() != 0:
                    raise Lost(f"the agent did not end well: {agent.log_tail()}")
            except RuntimeError as error:
                raise Lost(str(error)) from None
            finally:
                agent.kill()


class Trial:
    def __init__(self, options, folder, memory):
        self.options, self.folder = options, pathlib.Path(folder)
        self.chance = random_source(options.seed)
        self.kit = DebianKit(self.folder, options.image) if options.image else Kit(self.folder, options.kernel, options.bin)
        self.oracle = Oracle(self.kit, options.bin, self.folder, memory)
        self.disk = self.folder / "disk.img"
        self.base = self.folder / "base.img"
        make_image(self.base)
        self.safe = {}  # by start: what is known to be on the disk that the next start gets
        self.totals = collections.Counter()

    def one_kill(self, start):
        call("cp", "--sparse=always", self.base, self.disk)
        log_path = self.folder / "writes.log"
        board = Board(self.kit, self.disk, log_path, start)
        try:
            board.wait_for("SAFE", 1 + self.chance.randrange(8))
            time.sleep(self.chance.uniform(0.0, 1.5))  # the random instant; nothing is being waited for
        finally:
            board.kill()
        self.safe[start] = board.told_safe()
        log = WriteLog(log_path)
        self.totals.update(kills=1, told=self.safe[start], writes=len(log.writes), flushes=len(log.flushes()))
        held = self.judge_disks(log, start)
        self.judge_other_cuts(log, board, start)
        self.expect_found_out(log)
        following = self.chance.choice(sorted(held))
        print(f"kill {start + 1}: {self.safe[start]} told power-safe, there are {', '.join(f'{held[name][start]} ({name})' for name in held)}; "
              f"{len(log.flushes())} flushes, {len(log.unflushed())} writes not flushed; goes on with '{following}'", flush=True)  # fmt: skip
        self.safe = held[following]
        (self.folder / f"{following}.img").rename(self.base)

    def judge_disks(self, log, start):
        held = {}
        keeps = {"flushed": 0.0, "torn": self.chance.uniform(0.2, 0.8)}
        if log.whole:
            keeps["written"] = 1.0
        else:
            self.totals["logs_cut"] += 1
        for name, keep in keeps.items():
            image = self.folder / f"{name}.img"
            held[name] = self.judge(log, keep, image, self.safe, f"kill {start + 1}, disk '{name}'")
        return held

    def judge_other_cuts(self, log, board, start):
        """Had the power failed earlier: what had been said until then is demanded."""
        first = board.safe_marks[0][0]
        for _ in range(CUTS):
            at = self.chance.randrange(min(first, len(log.writes) - 1), len(log.writes))
            safe = {**self.safe, start: board.told_safe(at)}
            keep = self.chance.choice((0.0, 0.5, 1.0))
            self.judge(log.cut_at(at), keep, self.folder / "cut.img", safe, f"start {start + 1}, cut at request {at}, keeping {keep}")

    def judge(self, log, keep, image, safe, what):
        log.replay(self.base, image, self.chance, keep)
        judged = self.folder / "judged.img"
        # Judged is a copy: mounting it and starting an agent on it writes.
        call("cp", "--sparse=always", image, judged)
        self.totals.update(disks=1, unflushed=sum(write.size // 512 for write in log.unflushed()))
        try:
            return self.oracle.judge(judged, safe)
        except Lost as lost:
            raise Lost(f"{what}: {lost}") from None

    def expect_found_out(self, log):
        flushes = log.flushes()
        if len(flushes) <= FLUSHES_LIED_ABOUT:
            return
        image = self.folder / "judged.img"
        log.replay(self.base, image, keep=0.0, flushed_until=flushes[-FLUSHES_LIED_ABOUT - 1])
        self.totals["liars"] += 1
        try:
            self.oracle.judge(image, self.safe)
        except (Lost, OSError):
            self.totals["liars_found_out"] += 1

    def run(self):
        for start in range(self.options.kills):
            self.one_kill(start)
        if empty := [stream for stream in self.kit.streams if not self.oracle.held.get(stream)]:
            raise Lost(f"nothing came into {', '.join(empty)}: this check sees nothing there")
        if self.totals["liars_found_out"] == 0:
            raise Lost(f"of {self.totals['liars']} disks that lied about their flushes none was found out: this check sees nothing")
        return self.totals


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="folder with the built programs")
    board = parser.add_mutually_exclusive_group(required=True)
    board.add_argument("--kernel", type=pathlib.Path, help="an unpacked linux-image package: a board of this machine's kind")
    board.add_argument("--image", type=pathlib.Path, help="a folder of toolchains/board_image.sh: an arm64 board with the packages installed")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if reason := missing_means(options.image):
        sys.exit(f"no board can be emulated: {reason}")
    if os.geteuid() != 0:
        sys.exit("no board can be emulated: needs root, to mount its disks")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="spillway-board-", dir=options.bin.resolve().parent) as folder:
        trial = Trial(options, folder, memory)
        try:
            totals = trial.run()
        except (Lost, TimeoutError) as error:
            print(f"BROKEN with seed {options.seed}: {error}", file=sys.stderr)
            return 1
    print(f"seed {options.seed}: {totals['kills']} kills of an emulated board, {totals['told']} records told power-safe, {totals['disks']} disks "
          f"judged ({totals['writes']} writes, {totals['flushes']} flushes, {totals['unflushed']} sectors dropped, torn or kept), "
          f"{trial.oracle.records:,} records read: 0 lost, 0 doubled, no hole, none invalid; "
          f"{totals['liars_found_out']} of {totals['liars']} lying disks found out")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
