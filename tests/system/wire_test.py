"""wire_test.py --bin DIR [--seconds S]: of the system sensor's records the wire carries at most a quarter of their bytes.

Real sensors, one agent, one consumer; uplinks through links that count every byte of both directions: HTTP upgrade, Hello,
declarations, dictionaries and acknowledgements included. Judged: a backlog as a whole, and live data at 100 and at 10 records/s
that may gather for half a second and for five, once the dictionary is there (in the first seconds it is learned and sent:
printed, too). Printed and not judged: live data as it is by default, where a message holds what the agent's 50 ms bring.
"""

import argparse
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import Daemon, free_port, wait_until  # noqa: E402
from link_relay import Link  # noqa: E402

SMALLER_MIN = 4.0

# name: (records/s once the dictionary is there, gather, judged)
LIVE = {"hundred": (100, "0s", False), "ten": (10, "0s", False), "hundred-gathered": (100, "500ms", True), "ten-gathered": (10, "5s", True)}
LEARN_HZ = 100
BACKLOG_HZ = 500

STREAM = """
[[stream]]
name = "{name}"
topics = ["{name}/#"]
[[uplink]]
name = "{name}"
streams = ["{name}"]
url = "ws://127.0.0.1:{port}"
gather = "{gather}"
reconnect_min = "50ms"
reconnect_max = "200ms"
"""


class World:
    def __init__(self, binaries, root):
        self.binaries, self.root = binaries, root
        self.port = free_port()
        self.late_port = free_port()
        self.links = {name: Link(self.port).start() for name in LIVE}
        uplinks = {name: (self.links[name].port, gather) for name, (_, gather, _) in LIVE.items()} | {"backlog": (self.late_port, "0s")}
        gateway = f'[gateway]\nqueue_dir = "{root}/queue"\nspill_dir = "{root}/spill"\n'
        self.gateway = root / "gateway.toml"
        self.gateway.write_text(gateway + "".join(STREAM.format(name=name, port=port, gather=gather) for name, (port, gather) in uplinks.items()))
        consumer = root / "consumer.toml"
        consumer.write_text(f'[consumer]\nlisten = "ws://127.0.0.1:{self.port}"\ninbox = "sqlite:{root}/inbox.db"\n')
        (root / "queue").mkdir()
        self.daemons = [Daemon("consumer", [binaries / "spillway-consumer", "--config", consumer], root).start(),
                        Daemon("agent", [binaries / "spillway-agent", "--config", self.gateway], root).start()]  # fmt: skip
        wait_until(lambda: (root / "queue/agent.status").exists(), "the agent's start")
        self.daemons.append(Daemon("uplink", [binaries / "spillway-uplink", "--config", self.gateway], root).start())
        self.enqueued = dict.fromkeys(uplinks, 0)

    def sense(self, rates, seconds):
        """Runs one sensor for each stream named, and waits until all that is not the backlog's is delivered."""
        sensors = {name: subprocess.Popen([str(self.binaries / "spillway-sensor"), "--queue-dir", str(self.root / "queue"), "--topic-prefix",
                                           name, "--rate", str(rate), "--seconds", str(seconds), "--json"], stdout=subprocess.PIPE, text=True)
                   for name, rate in rates.items()}  # fmt: skip
        for name, sensor in sensors.items():
            told = json.loads(sensor.communicate(timeout=seconds + 60)[0])
            assert told["rejected"] == 0, told
            self.enqueued[name] += told["enqueued"]
        for name in rates:
            if name != "backlog":
                self.wait_delivered(name)

    def wait_delivered(self, name):
        wait_until(lambda: self.stored(name)[0] == self.enqueued[name], f"the delivery of {name}")

    def stored(self, name):
        """(records, bytes of records)"""
        try:
            with sqlite3.connect(f"file:{self.root}/inbox.db?mode=ro", uri=True) as inbox:
                return inbox.execute("SELECT count(*), ifnull(sum(length(payload)), 0) FROM record WHERE stream = ?", (name,)).fetchone()
        except sqlite3.OperationalError:
            return 0, 0

    def figures(self, name):
        records, raw = self.stored(name)
        up, down = self.links[name].sent()
        return records, raw, up, down

    def stop(self):
        codes = [daemon.stop() for daemon in reversed(self.daemons)]
        for link in self.links.values():
            link.stop()
        assert codes == [0, 0, 0], codes


def tell(what, before, after):
    records, raw, up, down = (late - early for late, early in zip(after, before))
    smaller = raw / (up + down)
    print(f"{what}: {records} records of {raw / records:.0f} bytes; {up / records:.1f} bytes a record sent and {down / records:.1f} answered: "
          f"{smaller:.2f} times smaller ({raw / up:.2f} without the answers)")  # fmt: skip
    return smaller


def run(binaries, root, seconds):
    world = World(binaries, root)
    try:
        nothing = (0, 0, 0, 0)
        # Long enough for the dictionaries to be learned, and for a backlog.
        world.sense(dict.fromkeys(LIVE, LEARN_HZ) | {"backlog": BACKLOG_HZ}, seconds)
        learned = {name: world.figures(name) for name in LIVE}
        for name in LIVE:
            tell(f"{name}, learning", nothing, learned[name])
        world.sense({name: rate for name, (rate, _, _) in LIVE.items()}, seconds)
        smaller = {name: tell(name, learned[name], world.figures(name)) for name in LIVE}
        world.links["backlog"] = Link(world.port, listen_port=world.late_port).start()
        world.wait_delivered("backlog")
        smaller["backlog"] = tell("backlog", nothing, world.figures("backlog"))
    finally:
        world.stop()
    return [times for name, times in smaller.items() if name == "backlog" or LIVE[name][2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--seconds", type=float, default=9)
    parser.add_argument("--judge", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        smaller = run(pathlib.Path(arguments.bin), pathlib.Path(folder), arguments.seconds)
    return 0 if min(smaller) >= SMALLER_MIN or not arguments.judge else 1


if __name__ == "__main__":
    sys.exit(main())
