#!/usr/bin/env python3
"""./run bench footprint [--seconds N]: what the daemons take of a small machine, beside mosquitto and rsyslog.

Program bytes without symbols, resident memory, processor time while nothing happens, and the time from a start to the first
record accepted: the agent with ten lanes of 64 KiB and its default stream, the uplink connected over TLS, and the two peers
in the same run. What each column means: docs/benchmarks.md.
"""

import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(1, str(pathlib.Path(__file__).parent.parent / "tests" / "system" / "network"))
from certificates import make_certificates  # noqa: E402
from report import machine, table  # noqa: E402
from report.programs import BenchError  # noqa: E402
from report.shell import run, say, scratch  # noqa: E402

PROGRAMS = ("spillway-agent", "spillway-uplink", "spillway-consumer", "spillway")
AGENT_BYTES_MAX = 3 << 19
AGENT_KIB_MAX = 6 << 10
AHEAD_KIB_MAX = 512
UPLINK_KIB_MAX = 10 << 10
IDLE_PERCENT_MAX = 0.5
START_MS_MAX = 50
LANES, LANE_BYTES, RECORDS = 10, 64 << 10, 2000
WAIT_SECONDS = 60
SETTLE_SECONDS = 3  # longer than the silence after which the agent sleeps on its doorbell
OK, FULL, POWER_SAFE = 0, 1, 2  # spillway.h
OUT = pathlib.Path(__file__).parent / "out"
GATEWAY = """[gateway]
name = "bench"
queue_dir = "{queue}"
spill_dir = "{spill}"
[[uplink]]
name = "far"
streams = ["default"]
url = "wss://127.0.0.1:{port}"
tls.ca = "{folder}/ca.pem"
"""
CONSUMER = """[consumer]
listen = "wss://127.0.0.1:{port}"
inbox = "sqlite:{spill}-inbox.db"
tls.certificate = "{folder}/server.pem"
tls.key = "{folder}/server.key"
"""
MOSQUITTO = """listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
"""
RSYSLOG = """global(workDirectory="{folder}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/log" CreatePath="on")
action(type="omfile" file="{folder}/messages" queue.type="LinkedList" queue.filename="spool" queue.saveOnShutdown="on")
"""


def wait_until(condition, what):
    give_up = time.monotonic() + WAIT_SECONDS
    while not (value := condition()):
        if time.monotonic() > give_up:
            raise BenchError(f"waited {WAIT_SECONDS} s in vain: {what}")
        time.sleep(0.0005)
    return value


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mqtt_client(port, name):
    """A connection that the broker has taken, by its CONNACK; nothing while there is none."""
    with contextlib.suppress(OSError):
        client = socket.create_connection(("127.0.0.1", port), 5)
        variable = b"\0\4MQTT\4\2\0\0\0" + bytes([len(name)]) + name.encode()
        client.sendall(b"\x10" + bytes([len(variable)]) + variable)
        if client.recv(4) == b"\x20\2\0\0":
            return client
        client.close()
    return None


def stripped_bytes(program):
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run(["strip", "-o", copy.name, program], check=True)
        return os.stat(copy.name).st_size


def memory_kib(pid):
    """The kernel's RssAnon, RssFile and RssShmem of one process."""
    lines = (line.partition(":") for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return {key: int(value.split()[0]) for key, _, value in lines if key in ("RssAnon", "RssFile", "RssShmem")}


def family(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def busy_ns(pid):
    """What all their threads have run for so far."""
    tasks = (task for one in family(pid) for task in pathlib.Path(f"/proc/{one}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


class Library:
    """libspillway by its C ABI."""

    class Options(ctypes.Structure):
        _fields_ = [("struct_size", ctypes.c_size_t), ("name", ctypes.c_char_p), ("lane_bytes", ctypes.c_uint64), ("max_record_bytes", ctypes.c_uint32),
                    ("fingerprint", ctypes.c_uint64), ("schema", ctypes.c_void_p), ("schema_size", ctypes.c_size_t)]  # fmt: skip

    def __init__(self, path):
        self.calls = ctypes.CDLL(path)
        self.calls.spillway_producer_put.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        self.calls.spillway_producer_flush.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64]

    def open(self, queue, topic):
        """A producer's handle; nothing where there is no queue yet."""
        options = self.Options(ctypes.sizeof(self.Options), None, LANE_BYTES, 0, 0, None, 0)
        handle = ctypes.c_void_p()
        opened = self.calls.spillway_producer_open(str(queue).encode(), topic.encode(), ctypes.byref(options), ctypes.byref(handle))
        return handle if opened == OK else None

    def put(self, handle, record):
        return self.calls.spillway_producer_put(handle, record, len(record))

    def flush(self, handle):
        return self.calls.spillway_producer_flush(handle, POWER_SAFE, WAIT_SECONDS * 10**9)


class Suite:
    def __init__(self, options, memory, disk):
        self.options, self.memory, self.disk = options, memory, disk
        self.library = Library(options.library)
        self.processes = []
        self.rows = []

    # --- what all have in common ---

    def spawn(self, *command):
        log = open(self.memory / f"{pathlib.Path(command[0]).name}.log", "ab")
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self.processes.append(process)
        return process

    def end(self, process):
        process.terminate()
        try:
            process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise BenchError(f"{process.args[0]} did not end at SIGTERM") from None

    def idle(self, *processes):
        """Percent of a core that each takes while nothing happens."""
        time.sleep(SETTLE_SECONDS)
        before = [busy_ns(process.pid) for process in processes]
        began = time.monotonic()
        time.sleep(self.options.seconds)
        took_ns = (time.monotonic() - began) * 1e9
        return [(busy_ns(process.pid) - old) / took_ns * 100 for process, old in zip(processes, before)]

    def starts(self, start_one):
        """The median of so many starts, ms."""
        times = []
        for number in range(self.options.rounds):
            if not self.options.warm_only:
                os.sync()
                pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
            began = time.monotonic()
            process = start_one(number)
            times.append((time.monotonic() - began) * 1000)
            self.end(process)
        return statistics.median(times)

    def row(self, name, program, process, idle, start):
        memory = memory_kib(process.pid)
        # What a child was forked with is its parent's: only its own memory counts.
        memory["RssAnon"] += sum(memory_kib(child)["RssAnon"] for child in family(process.pid)[1:])
        self.rows.append({"name": name, "bytes": stripped_bytes(program), **memory, "own_kib": memory["RssAnon"] + memory["RssShmem"],
                          "resident_kib": sum(memory.values()), "idle_percent": idle, "start_ms": start})  # fmt: skip

    # --- Spillway ---

    def first_record(self, number):
        """From nothing at all to the first record in a lane."""
        queue, spill = self.memory / f"queue-{number}", self.disk / f"spill-{number}"
        configuration = self.memory / f"start-{number}.toml"
        configuration.write_text(f'[gateway]\nname = "bench"\nqueue_dir = "{queue}"\nspill_dir = "{spill}"\n')
        agent = self.spawn(self.options.bin / "spillway-agent", "--config", configuration)
        handle = wait_until(lambda: self.library.open(queue, "first"), "the first lane")
        if self.library.put(handle, b"x" * 64) != OK:
            raise BenchError("the first record was refused")
        self.library.calls.spillway_producer_close(handle)
        return agent

    def put_records(self, queue):
        handles = [wait_until(lambda i=i: self.library.open(queue, f"sensor/{i}"), "a lane") for i in range(LANES)]
        record = json.dumps({"reading": list(range(40))}).encode()
        for _ in range(RECORDS):
            for handle in handles:
                while (status := self.library.put(handle, record)) == FULL:
                    time.sleep(0.001)
                if status != OK:
                    raise BenchError(f"a record was refused: {status}")
        for handle in handles:
            self.library.flush(handle)
        return handles

    @staticmethod
    def ahead_kib(spill):
        """What of the segments is in memory beyond the last record: pages that were made present ahead of need."""
        ahead = 0
        for segment in (spill / "default").glob("0*.spill"):
            said = subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "RES", segment], check=True, capture_output=True, text=True)
            # Before it is read, which would bring all of it in. A page that was not written holds zeros.
            ahead += max(0, int(said.stdout) - len(segment.read_bytes().rstrip(b"\0")))
        return ahead / 1024

    def spillway(self):
        say("== spillway")
        start = self.starts(self.first_record)
        queue, spill, port = self.memory / "queue", self.disk / "spill", free_port()
        make_certificates(self.memory, "127.0.0.1")
        gateway, consumer = self.memory / "gateway.toml", self.memory / "consumer.toml"
        facts = {"queue": queue, "spill": spill, "port": port, "folder": self.memory}
        gateway.write_text(GATEWAY.format(**facts))
        consumer.write_text(CONSUMER.format(**facts))
        binaries = self.options.bin
        far = self.spawn(binaries / "spillway-consumer", "--config", consumer)
        agent = self.spawn(binaries / "spillway-agent", "--config", gateway)
        self.handles = self.put_records(queue)
        ahead = self.ahead_kib(spill)  # before anybody else has read them
        uplink = self.spawn(binaries / "spillway-uplink", "--config", gateway)
        status = queue / "uplink-far.status"

        def drained():
            with contextlib.suppress(OSError, ValueError):
                found = json.loads(status.read_text())
                return found["state"] == "connected" and [stream["backlog_records"] for stream in found["streams"]] == [0]
            return False

        wait_until(drained, f"the uplink to drain: {(self.memory / 'spillway-uplink.log').read_text()[-300:]}")
        idle = self.idle(agent, uplink)
        self.row("spillway-agent", binaries / "spillway-agent", agent, idle[0], start)
        self.row("spillway-uplink", binaries / "spillway-uplink", uplink, idle[1], None)
        for process in (uplink, agent, far):
            self.end(process)
        return ahead

    # --- the peers ---

    def mosquitto(self):
        say("== mosquitto")
        port, folder = free_port(), self.disk / "mosquitto"
        folder.mkdir()
        configuration = self.memory / "mosquitto.conf"
        configuration.write_text(MOSQUITTO.format(port=port, folder=folder))
        if os.geteuid() == 0:
            configuration.write_text(configuration.read_text() + "user root\n")

        def start_one(_=None):
            process = self.spawn("/usr/sbin/mosquitto", "-c", configuration)
            wait_until(lambda: mqtt_client(port, "first"), "mosquitto").close()
            return process

        start = self.starts(start_one)
        broker = start_one()
        # Each with a connection of its own, as each producer has a lane.
        clients = [wait_until(lambda n=number: mqtt_client(port, f"bench{n}"), "a client") for number in range(LANES)]
        publish = b"\0\1t" + b"x" * 100
        for client in clients:
            client.sendall((b"\x30" + bytes([len(publish)]) + publish) * RECORDS)
        (idle,) = self.idle(broker)
        self.row("mosquitto", "/usr/sbin/mosquitto", broker, idle, start)
        for client in clients:
            client.close()
        self.end(broker)

    def rsyslog(self):
        say("== rsyslog")
        folder = self.disk / "rsyslog"
        folder.mkdir()
        configuration = self.memory / "rsyslog.conf"
        configuration.write_text(RSYSLOG.format(folder=folder))
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
        socket_path = str(folder / "log")

        def takes():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(socket_path)
                return sender.send(b"<14>bench: x" + b"x" * 100) != 0
            return False

        def start_one(_=None):
            with contextlib.suppress(FileNotFoundError):
                os.remove(socket_path)
            process = self.spawn(program, "-n", "-f", configuration, "-i", folder / "pid")
            wait_until(takes, "rsyslog")
            return process

        start = self.starts(start_one)
        daemon = start_one()
        for _ in range(LANES * RECORDS // 10):
            takes()
        (idle,) = self.idle(daemon)
        self.row("rsyslogd", program, daemon, idle, start)
        self.end(daemon)

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def bars(rows, ahead_kib):
    """(what, measured, at most)"""
    agent, uplink = rows[0], rows[1]
    judged = [
        ("agent, stripped, bytes", agent["bytes"], AGENT_BYTES_MAX),
        ("agent, RssAnon + RssShmem, KiB", agent["own_kib"], AGENT_KIB_MAX),
        ("populated ahead, KiB", ahead_kib, AHEAD_KIB_MAX),
        ("uplink with its file helper, resident, KiB", uplink["resident_kib"], UPLINK_KIB_MAX),
        ("agent, idle, % of a core", agent["idle_percent"], IDLE_PERCENT_MAX),
        ("uplink, idle, % of a core", uplink["idle_percent"], IDLE_PERCENT_MAX),
        ("start to the first record accepted, ms", agent["start_ms"], START_MS_MAX),
    ]
    return [{"bar": name, "measured": value, "at_most": limit, "holds": value <= limit} for name, value, limit in judged]


def as_tables(rows, judged, sizes):
    def cell(value, digits=0):
        return "-" if value is None else f"{value:,.{digits}f}"

    head = ["program", "stripped, KiB", "RssAnon", "RssShmem", "RssFile", "resident, KiB", "idle, %", "start, ms"]
    cells = [[row["name"], cell(row["bytes"] / 1024), *(cell(row[key]) for key in ("RssAnon", "RssShmem", "RssFile", "resident_kib")),
              cell(row["idle_percent"], 3), cell(row["start_ms"], 1)] for row in rows]  # fmt: skip
    judged_cells = [[each["bar"], cell(each["measured"], 2), cell(each["at_most"], 1), "holds" if each["holds"] else "short"] for each in judged]
    size_cells = [[name, *(cell(size / 1024) for size in each.values())] for name, each in sizes.items()]
    return [
        table.Table("Footprint", "KiB; of a child, which shares the rest with its parent, RssAnon alone", head, cells),
        table.Table("Programs without symbols", "KiB", ["built for", *PROGRAMS], size_cells),
        table.Table("Bars", "", ["bar", "measured", "at most", ""], judged_cells),
    ]


def parse():
    parser = argparse.ArgumentParser(prog="./run bench footprint", description="What the daemons take of a small machine, beside mosquitto and rsyslog.")
    parser.add_argument("--seconds", type=int, default=20, help="so long is idleness watched (default 20)")
    parser.add_argument("--rounds", type=int, default=7, help="so many starts of each (default 7)")
    parser.add_argument("--warm-only", action="store_true", help="leave the machine's page cache alone (dropping it needs root)")
    parser.add_argument("--also", type=pathlib.Path, nargs="*", default=[], help="folders of programs that were built for other machines: their sizes")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--library", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, default=OUT, help="where footprint.json goes, and the spills while it runs")
    options = parser.parse_args()
    if options.seconds < 1 or options.rounds < 1:
        parser.error("--seconds and --rounds are at least 1")
    if not options.warm_only and os.geteuid() != 0:
        parser.error("dropping the page cache needs root: run as root, or with --warm-only")
    return options


def main():
    options = parse()
    with scratch("footprint", options.out) as (memory, disk), contextlib.closing(Suite(options, memory, disk)) as suite:
        ahead = suite.spillway()
        suite.mosquitto()
        suite.rsyslog()
        sizes = {str(folder): {name: stripped_bytes(folder / name) for name in PROGRAMS} for folder in (options.bin, *options.also)}
    judged = bars(suite.rows, ahead)
    for each in as_tables(suite.rows, judged, sizes):
        print(table.as_text(each))
    document = {"machine": machine.describe(options.out), "warm_only": options.warm_only, "rows": suite.rows, "sizes": sizes, "bars": judged}
    (options.out / "footprint.json").write_text(json.dumps(document, indent=1))
    return 0 if all(each["holds"] for each in judged) else 1


if __name__ == "__main__":
    run(main)
