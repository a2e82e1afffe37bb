#!/usr/bin/env python3
"""./run bench start [--bytes N] [--rounds N]: what a start costs with a small and with a large backlog.

Makes a spill of 1 MiB and one of 10 GiB (real segments of real blocks), then starts the agent, the uplink and the command
on each, interleaved, with the page cache as it is and with it dropped, and holds the medians against each other. What each row
means: docs/benchmarks.md.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from report import machine, table  # noqa: E402
from report.programs import BenchError  # noqa: E402
from report.shell import run, say, scratch  # noqa: E402

SMALL_BYTES = 1 << 20
LARGE_BYTES = 10 << 30
APART_MS_MAX = 50
APART_KIB_MAX = 4096
WAIT_SECONDS = 120
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
OUT = pathlib.Path(__file__).parent / "out"
CONFIGURATION = """[gateway]
name = "bench"
queue_dir = "{queue}"
spill_dir = "{spill}"
[[stream]]
name = "bench"
topics = ["#"]
segment_bytes = "8MiB"
max_bytes = "{quota}"
[[uplink]]
name = "far"
streams = ["bench"]
url = "ws://127.0.0.1:{port}"
"""


def peak_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise BenchError("the kernel does not tell a process's peak memory")


def drop_caches():
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError as error:
        raise BenchError(f"the page cache cannot be dropped ({error.strerror}): run as root, or with --warm-only") from None


class FarEnd:
    """Listens as a consumer would, takes the uplink's Hello, and hangs up."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(WAIT_SECONDS)
        self.port = self.socket.getsockname()[1]

    def wait_for_hello(self):
        connection, _ = self.socket.accept()
        with connection:
            connection.settimeout(WAIT_SECONDS)
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            headers = {line.split(b":")[0].lower(): line.split(b":", 1)[1].strip() for line in request.split(b"\r\n") if b":" in line}
            accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + WEBSOCKET_KEY).digest())
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               b"Sec-WebSocket-Protocol: spillway.v1\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")  # fmt: skip
            if not connection.recv(65536):
                raise BenchError("the uplink hung up without a Hello")


class Backlog:
    """A spill of so many bytes, its queue directory and its configuration."""

    def __init__(self, suite, name, size):
        self.suite, self.name = suite, name
        self.queue = suite.memory / name
        self.spill = suite.disk / name
        self.configuration = suite.memory / f"{name}.toml"
        self.configuration.write_text(CONFIGURATION.format(queue=self.queue, spill=self.spill, quota=max(32 << 20, 2 * size + (64 << 20)),
                                                           port=suite.far_end.port))  # fmt: skip
        command = [suite.options.bench_bin / "bench_backlog", "--spill", self.spill, "--queue", self.queue, "--bytes", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"no spill of {size} bytes could be made: {done.stderr.strip()}")
        self.facts = json.loads(done.stdout)
        say(f"   {name}: {self.facts['held_bytes'] / (1 << 20):,.0f} MiB in {len(self.segments())} segments, "
            f"made in {self.facts['seconds']:.1f} s")  # fmt: skip

    def segments(self):
        return list((self.spill / "bench").glob("0*.spill"))

    def start(self, program, *arguments, **options):
        return subprocess.Popen([self.suite.options.bin / program, *arguments, "--config", self.configuration],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)  # fmt: skip

    def end(self, process):
        process.terminate()
        try:
            process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise BenchError(f"a process did not end at SIGTERM within {WAIT_SECONDS} s") from None
        finally:
            process.stderr.close()

    def agent(self):
        """From the start of the process to its READY=1."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            path = self.suite.memory / "notify"
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            listener.settimeout(WAIT_SECONDS)
            began = time.monotonic()
            process = self.start("spillway-agent", env={**os.environ, "NOTIFY_SOCKET": str(path)})
            try:
                while b"READY=1" not in listener.recv(4096):
                    pass
            except TimeoutError:
                process.kill()
                raise BenchError(f"the agent was not ready: {process.stderr.read().strip()}") from None
            took = time.monotonic() - began
            peak = peak_kib(process.pid)
        self.end(process)
        return took, peak

    def agent_after_power_loss(self):
        """The same without the page in boot-lived memory: a new journal begins."""
        (self.queue / "journal" / "bench").unlink()
        return self.agent()

    def uplink(self):
        """To the Hello at the far end, which names the journals held."""
        began = time.monotonic()
        process = self.start("spillway-uplink")
        try:
            self.suite.far_end.wait_for_hello()
            took = time.monotonic() - began
            peak = peak_kib(process.pid)
        finally:
            self.end(process)
        return took, peak

    def tail(self):
        """`spillway tail --from` near the end, to its first line."""
        began = time.monotonic()
        process = subprocess.Popen([self.suite.options.bin / "spillway", "tail", "bench", "--json", "--follow", "--config",
                                    self.configuration, "--from", str(self.facts["next_offset"] - 3)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        line = process.stdout.readline()
        took = time.monotonic() - began
        peak = peak_kib(process.pid)
        process.stdout.close()
        self.end(process)
        if '"offset"' not in line:
            raise BenchError(f"tail printed no record: {line!r}")
        return took, peak

    def status(self):
        """`spillway status` from its start to its end."""
        began = time.monotonic()
        done = subprocess.run([self.suite.options.bin / "spillway", "status", "--json", "--config", self.configuration],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # fmt: skip
        took = time.monotonic() - began
        if done.returncode not in (0, 1):
            raise BenchError(f"status ended with {done.returncode}")
        return took, 0  # it has gone before its peak could be read


SUBJECTS = {
    "agent, restarted": Backlog.agent,
    "agent, after power loss": Backlog.agent_after_power_loss,
    "uplink, to its Hello": Backlog.uplink,
    "tail --from near the end": Backlog.tail,
    "status": Backlog.status,
}


class Suite:
    def __init__(self, options, memory, disk):
        self.options = options
        self.memory, self.disk = memory, disk
        self.far_end = FarEnd()
        self.lines = []

    def run(self):
        say("== makes the spills")
        backlogs = [Backlog(self, "small", SMALL_BYTES), Backlog(self, "large", self.options.bytes)]
        for backlog in backlogs:
            backlog.agent()  # claims the gateway's id, which is no part of a later start
        for cache in ["warm"] if self.options.warm_only else ["warm", "cold"]:
            for number in range(self.options.rounds):
                say(f"== {cache} cache, round {number + 1} of {self.options.rounds}")
                for subject, measure in SUBJECTS.items():
                    # Who comes first takes turns.
                    for backlog in backlogs[:: 1 if number % 2 == 0 else -1]:
                        if cache == "cold":
                            drop_caches()
                        took, peak = measure(backlog)
                        self.lines.append({"cache": cache, "round": number, "subject": subject, "backlog": backlog.name,
                                           "ms": took * 1000, "peak_kib": peak})  # fmt: skip
        return [vars(backlog)["facts"] | {"name": backlog.name} for backlog in backlogs]

    def median(self, key, **wanted):
        return statistics.median(line[key] for line in self.lines if all(line[name] == value for name, value in wanted.items()))

    def judged(self):
        rows = []
        for cache in sorted({line["cache"] for line in self.lines}, reverse=True):
            for subject in SUBJECTS:
                small, large = ({key: self.median(key, cache=cache, subject=subject, backlog=name) for key in ("ms", "peak_kib")}
                                for name in ("small", "large"))  # fmt: skip
                row = {"cache": cache, "subject": subject, "small": small, "large": large}
                row["apart_ms"] = large["ms"] - small["ms"]
                row["apart_kib"] = large["peak_kib"] - small["peak_kib"]
                row["holds"] = abs(row["apart_ms"]) <= APART_MS_MAX and abs(row["apart_kib"]) <= APART_KIB_MAX
                rows.append(row)
        return rows


def as_table(rows, size):
    def cells(row):
        return [row["subject"], row["cache"], f"{row['small']['ms']:.1f}", f"{row['large']['ms']:.1f}", f"{row['apart_ms']:+.1f}",
                *(f"{row[side]['peak_kib']:,.0f}" if row[side]["peak_kib"] else "-" for side in ("small", "large")), "holds" if row["holds"] else "short"]  # fmt: skip

    large = f"{size / (1 << 30):g} GiB"
    return table.Table("Start", f"medians; at most {APART_MS_MAX} ms and {APART_KIB_MAX / 1024:g} MiB apart",
                       ["subject", "page cache", "1 MiB, ms", f"{large}, ms", "apart", "1 MiB, peak KiB", f"{large}, peak KiB", "bar"],
                       [cells(row) for row in rows])  # fmt: skip


def parse():
    parser = argparse.ArgumentParser(prog="./run bench start", description="What a start costs with a small and a large backlog.")
    parser.add_argument("--bytes", type=int, default=LARGE_BYTES, help="the large backlog (default 10 GiB; so much disk is needed)")
    parser.add_argument("--rounds", type=int, default=7, help="so many starts of each (default 7)")
    parser.add_argument("--warm-only", action="store_true", help="leave the machine's page cache alone (dropping it needs root)")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--bench-bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, default=OUT, help="where start.json goes, and the spills while it runs")
    options = parser.parse_args()
    if options.rounds < 1 or options.bytes <= SMALL_BYTES:
        parser.error("--rounds is at least 1, and --bytes more than 1 MiB")
    return options


def main():
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(options.out).free < 1.2 * options.bytes:
        raise BenchError(f"{options.out} has no room for {options.bytes >> 20} MiB: give --out or --bytes")
    with scratch("start", options.out) as (memory, disk):
        suite = Suite(options, memory, disk)
        about = machine.describe(disk)
        spills = suite.run()
        rows = suite.judged()
    print(table.as_text(as_table(rows, options.bytes)))
    (options.out / "start.json").write_text(json.dumps({"machine": about, "spills": spills, "rows": rows, "starts": suite.lines}, indent=1))
    print(f"\n{options.out / 'start.json'} holds every start")
    return 0 if all(row["holds"] for row in rows) else 1


if __name__ == "__main__":
    run(main)
