"""A gateway whose uplink's far end is an engine, and the oracle of what stands there: it reads messages by the engine's own
client or protocol, and shares no code with Spillway."""

import collections
import contextlib
import pathlib
import re
import signal
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import World, wait_until  # noqa: E402

TOPICS = ("sensor/boiler/temperature", "sensor/pump 3/pressure")
# As the uplink counts one of put_some(), from and to: what its headers take, and the payload.
MESSAGE_BYTES = (512, 512 + 256)


class SinkWorld(World):
    """Agent and uplink; `keys` are lines of [[uplink]], `tables` what stands behind it."""

    def __init__(self, binaries, url, keys="", tables="", **options):
        super().__init__(binaries, **options)
        text = re.sub(r'url = ".*"', f'url = "{url}"\n{keys}', self.gateway_config.read_text())
        self.gateway_config.write_text(f"{text}\n{tables}\n")
        self.put_lines = collections.defaultdict(list)

    def start(self):
        self.agent.start()
        self.wait_ready()
        self.uplink.start()
        return self

    def put(self, topic, lines):
        """Process-safe when it returns."""
        lines = list(lines)
        done = self.command("put", topic, "--queue-dir", self.queue_dir, "--input", "lines", "--level", "process-safe",
                            input="".join(f"{line}\n" for line in lines))  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        self.put_lines[topic] += lines

    def put_some(self, rounds, each=50):
        """So many rounds over the topics; every line is another."""
        for _ in range(rounds):
            for topic in TOPICS:
                at = len(self.put_lines[topic])
                self.put(topic, (f"{topic} {n} {'x' * (n % 97)}" for n in range(at, at + each)))

    def uplink_status(self):
        return next(iter((self.status() or {}).get("uplinks", [])), {})

    def records_put(self):
        return sum(map(len, self.put_lines.values()))

    def all_there(self):
        """Everything that was put is acknowledged."""
        return self.acknowledged() >= self.records_put()


@contextlib.contextmanager
def frozen(daemon):
    """The daemon stands still, and its connections with it."""
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def wait_window_is_full(world, messages):
    """Until so many are on their way, but for the eighth that is kept for live data; wrong if there are more."""

    def full():
        status = world.uplink_status()
        return status if status.get("in_flight_bytes", 0) >= messages * 7 // 8 * MESSAGE_BYTES[0] else None

    try:
        status = wait_until(full, "a full window", 30)
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {world.uplink_status()}\n{world.uplink.log_tail()}") from None
    if status["in_flight_bytes"] > messages * MESSAGE_BYTES[1] or status["state"] != "connected":
        raise AssertionError(f"more than a window of {messages} messages: {status}")


def holds(payload, line):
    """The payload is a FlatBuffer whose one string is the line: a length, the text, and a zero."""
    text = line.encode()
    return struct.pack("<I", len(text)) + text + b"\0" in payload


def judge(messages, put_lines):
    """What is wrong with the messages (headers, payload), and how many came twice: identity, order and bytes of each record."""
    seen, order, doubled, wrong = set(), collections.defaultdict(list), 0, []
    for headers, payload in messages:
        if headers.get("spillway-kind") != "record":
            continue
        identity = tuple(headers[f"spillway-{part}"] for part in ("gateway", "journal", "stream", "offset"))
        if identity in seen:
            doubled += 1
            continue
        seen.add(identity)
        order[headers["spillway-topic"]].append(payload)
        if not headers["spillway-time"].isdigit() or headers["spillway-gateway-name"] != "demo/gateway":
            wrong.append(f"headers {headers}")
    for topic, lines in put_lines.items():
        if len(order[topic]) != len(lines) or not all(map(holds, order[topic], lines)):
            wrong.append(f"{topic}: {len(order[topic])} records of {len(lines)}, or in another order")
    offsets = sorted(int(offset) for _, _, _, offset in seen)
    if offsets != list(range(len(offsets))):
        wrong.append("offsets with holes")
    return wrong, doubled
