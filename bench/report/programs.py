"""The programs of the bench: starts them, reads their JSON line, turns what goes wrong into one clear line."""

import json
import os
import pathlib
import pwd
import shutil
import subprocess
import time

LEFT_OUT = 77
CONSUMER_CORE = 1
ROUDI_READY = "RouDi is ready for clients"
WAIT_SECONDS = 20.0


class BenchError(Exception):
    """What is wrong, in one line."""


class LeftOut(Exception):
    """This subject cannot be measured here, and why."""


class Programs:
    """Where the programs are, and a folder in memory and one on disk for what they need."""

    def __init__(self, binaries, memory, disk):
        self.binaries = pathlib.Path(binaries)
        self.memory = pathlib.Path(memory)
        self.disk = pathlib.Path(disk)

    def path(self, name):
        found = self.binaries / name
        if not found.is_file():
            raise BenchError(f"{found} is not built: use ./run bench, which builds it")
        return found

    def lines(self, name, *arguments, before=(), timeout=180):
        """What the program says, line by line; its scratch folder is empty before and gone after."""
        scratch = self.memory / "scratch"
        scratch.mkdir()
        command = [*before, self.path(name), *map(str, arguments)]
        if name in ("bench_latency", "bench_producers") and "--list" not in arguments:
            command += ["--scratch", scratch]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{name} {' '.join(map(str, arguments))}: no end after {timeout} s") from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        said = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        if done.returncode == LEFT_OUT:
            raise LeftOut(said[0])
        if done.returncode != 0:
            raise BenchError(f"{name} {' '.join(map(str, arguments))}: {said[0]}")
        return done

    def measure(self, name, *arguments, **options):
        return json.loads(self.lines(name, *arguments, **options).stdout.splitlines()[-1])

    def listed(self, name):
        return [json.loads(line) for line in self.lines(name, "--list").stdout.splitlines()]

    def google(self, seconds):
        """The Google Benchmark suite: {name: records/s}."""
        said = self.lines("bench_enqueue", "--benchmark_format=json", f"--benchmark_min_time={seconds}", timeout=300)
        return {run["name"]: run["items_per_second"] for run in json.loads(said.stdout)["benchmarks"]}

    def instructions(self, subject, count, producers):
        """Instructions of the sends alone, by callgrind; nothing where valgrind is not installed."""
        if shutil.which("valgrind") is None:
            raise LeftOut("valgrind is not installed")
        callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]
        done = self.lines("bench_latency", subject, "--mode", "instructions", "--count", count, "--producers", producers,
                          before=callgrind)  # fmt: skip
        if json.loads(done.stdout.splitlines()[-1]).get("refused"):
            raise LeftOut("it was full with nobody reading")
        for line in done.stderr.splitlines():
            if "Collected" in line:
                return int(line.split(":")[-1])
        raise BenchError(f"callgrind says nothing of instructions for {subject}")


class Daemon:
    """A process of the bench's own that is there for a while."""

    def __init__(self, command, log, **options):
        self.log = pathlib.Path(log)
        with open(self.log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=out, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_line(self):
        return (self.log.read_text().strip().splitlines() or ["it said nothing"])[-1]

    def wait_until(self, ready, what):
        give_up = time.monotonic() + WAIT_SECONDS
        while not ready():
            if self.process.poll() is not None:
                raise LeftOut(f"{what} ended: {self.last_line()}")
            if time.monotonic() > give_up:
                self.__exit__()
                raise LeftOut(f"{what} was not ready after {WAIT_SECONDS:.0f} s: {self.last_line()}")
            time.sleep(0.02)


class Agent(Daemon):
    """The real agent, on the consumer's core, with a queue in memory and a spill on disk."""

    CONFIGURATION = """[gateway]
name = "bench"
queue_dir = "{queue}"
spill_dir = "{spill}"
[[stream]]
name = "bench"
topics = ["#"]
sync_interval = "{interval}"
segment_bytes = "16MiB"
max_bytes = "512MiB"
"""

    def __init__(self, programs, interval="1ms"):
        self.queue = programs.memory / "queue"
        self.spill = programs.disk / "spill"
        configuration = programs.memory / "spillway.toml"
        configuration.write_text(self.CONFIGURATION.format(queue=self.queue, spill=self.spill, interval=interval))
        super().__init__([programs.path("spillway-agent"), "--config", configuration], programs.memory / "agent.log",
                         preexec_fn=lambda: os.sched_setaffinity(0, {CONSUMER_CORE}))  # fmt: skip
        try:
            self.wait_until((self.queue / "agent.status").exists, "the agent")
        except LeftOut as reason:
            raise BenchError(str(reason)) from None

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.queue, ignore_errors=True)
        shutil.rmtree(self.spill, ignore_errors=True)

    def rings(self):
        """So often a producer had to wake it; as of the last second."""
        return json.loads((self.queue / "agent.status").read_text())["counters"]["rings"]


class RouDi(Daemon):
    """iceoryx's daemon, with chunks of the sizes that are measured."""

    def __init__(self, programs):
        if shutil.which("iox-roudi") is None:
            raise LeftOut("iox-roudi is not installed (package iceoryx)")
        pools = programs.memory / "roudi.toml"
        chunks = "".join(f"[[segment.mempool]]\nsize = {size}\ncount = 4096\n" for size in (128, 512, 2048))
        pools.write_text(f"[general]\nversion = 1\n[[segment]]\n{chunks}")
        super().__init__(["iox-roudi", "--config-file", pools, "--monitoring-mode", "off"], programs.memory / "roudi.log")
        self.wait_until(lambda: ROUDI_READY in self.log.read_text(), "iox-roudi (one can run on a machine)")

    def __exit__(self, *_):
        super().__exit__()
        # What it leaves where it had to be killed: its own two pieces of shared memory.
        for name in ("iceoryx_mgmt", pwd.getpwuid(os.getuid()).pw_name):
            pathlib.Path("/dev/shm", name).unlink(missing_ok=True)
        # And its clients' sockets and locks.
        for left in pathlib.Path("/tmp").glob("spillway-bench-*[0-9]*"):
            if left.is_file() or left.is_socket():
                left.unlink(missing_ok=True)
