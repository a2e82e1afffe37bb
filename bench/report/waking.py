"""What the agent costs while nothing happens, and how soon it has a record after that.

Through libspillway's C ABI, as a producer in any language uses it; the agent is the real one.
"""

import contextlib
import ctypes
import os
import statistics
import time

from report.programs import Agent, BenchError

OK = 0
PROCESS_SAFE = 1
LANE_BYTES = 16 * 1024
FLUSH_NS_MAX = 5_000_000_000
SILENCE_SECONDS = 2.5  # the agent lies down on its bell after one
RECORD = bytes(64)


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("producer_name", ctypes.c_char_p), ("lane_bytes", ctypes.c_uint64),
                ("max_record_bytes", ctypes.c_uint32), ("schema_fingerprint", ctypes.c_uint64)]  # fmt: skip


class Producer:
    def __init__(self, library, queue, topic):
        self.library = library
        self.handle = ctypes.c_void_p()
        options = Options(ctypes.sizeof(Options), b"bench", LANE_BYTES, 0, 0)
        self.expect_ok(library.spillway_producer_open(str(queue).encode(), topic.encode(), ctypes.byref(options), ctypes.byref(self.handle)))

    def expect_ok(self, status):
        if status != OK:
            self.library.spillway_error_detail.restype = ctypes.c_char_p
            raise BenchError(f"libspillway: {self.library.spillway_error_detail().decode()} (status {status})")

    def put(self):
        self.expect_ok(self.library.spillway_producer_put(self.handle, RECORD, ctypes.c_size_t(len(RECORD))))

    def put_and_flush_us(self):
        """From before the put until the producer knows that the agent has the record."""
        began = time.perf_counter_ns()
        self.put()
        self.expect_ok(self.library.spillway_producer_flush(self.handle, PROCESS_SAFE, ctypes.c_uint64(FLUSH_NS_MAX)))
        return (time.perf_counter_ns() - began) / 1000

    def close(self):
        self.library.spillway_producer_close(self.handle)


def load(programs):
    path = programs.binaries.parent / "lib/libspillway.so"
    if not path.is_file():
        raise BenchError(f"{path} is not built: use ./run bench, which builds it")
    return ctypes.CDLL(str(path))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_share(programs, lanes, seconds):
    """The part of a core that the agent takes with so many lanes in which nothing happens."""
    library = load(programs)
    with Agent(programs) as agent, contextlib.ExitStack() as producers:
        for i in range(lanes):
            producer = Producer(library, agent.queue, f"idle/{i}")
            producers.callback(producer.close)
            producer.put()
        time.sleep(SILENCE_SECONDS)
        pid, before, began = agent.process.pid, cpu_seconds(agent.process.pid), time.monotonic()
        time.sleep(seconds)
        return {"lanes": lanes, "share": (cpu_seconds(pid) - before) / (time.monotonic() - began)}


def wakes(programs, pause_seconds, count):
    """Put to process-safe after a pause, in µs."""
    with Agent(programs) as agent, contextlib.closing(Producer(load(programs), agent.queue, "wake")) as producer:
        producer.put_and_flush_us()
        taken = []
        for _ in range(count):
            time.sleep(pause_seconds)
            taken.append(producer.put_and_flush_us())
    return {"pause_s": pause_seconds, "count": count, "p50_us": statistics.median(taken), "max_us": max(taken)}
