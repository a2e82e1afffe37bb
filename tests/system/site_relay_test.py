#!/usr/bin/env python3
"""site_relay_test.py --bin DIR [--relays N] [--kills N] [--seed S]: gateways -> site relay (-> region relay) -> consumer, all killed.

Two field gateways send to a consumer that stores into streams of its own; its uplink sends on, to another such one or to
the consumer with the database. Each round kills an agent, an uplink, a relay's half, the end or a link at a random instant
and starts it again. At the end the oracle of check_delivery.py judges the database: nothing lost, doubled or out of order,
and every record under its field gateway's id.
"""

import argparse
import contextlib
import json
import pathlib
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from check_delivery import broken_promises, check  # noqa: E402
from harness import Daemon, World, free_port, random_source, wait_until  # noqa: E402

RATE = 2_000


class RelayMachine:
    """One machine between: its consumer, its uplink, and the link to the next one."""

    def __init__(self, binaries, root, name, next_port):
        self.root = root / name
        self.root.mkdir()
        self.port, self.link_port = free_port(), free_port()
        self.directory = self.root / "relay"
        config = self.root / "relay.toml"
        config.write_text(f"""[gateway]
name = "{name}"
queue_dir = "{self.root}/queue"
spill_dir = "{self.root}/spill"

[consumer]
listen = "ws://127.0.0.1:{self.port}"
inbox = "spill:{self.directory}"
relays = ["site"]

[consumer.relay]
segment_bytes = "256KiB"
stream_bytes = "64MiB"

[[uplink]]
name = "cloud"
relay = "{self.directory}"
url = "ws://127.0.0.1:{self.link_port}"
reconnect_min = "50ms"
reconnect_max = "500ms"
""")
        (self.root / "queue").mkdir()
        programs = pathlib.Path(binaries)
        script = pathlib.Path(__file__).with_name("relay.py")
        self.consumer = Daemon(f"{name}-consumer", [programs / "spillway-consumer", "--config", config], self.root)
        self.uplink = Daemon(f"{name}-uplink", [programs / "spillway-uplink", "--config", config], self.root)
        self.link = Daemon(f"{name}-link", ["python3", script, self.link_port, next_port], self.root)
        self.daemons = [self.consumer, self.uplink, self.link]

    def streams(self):
        return sorted(path.parent for path in self.directory.glob("*-*/*/control"))

    def backlog(self):
        """Records that the next machine has not acknowledged, by the control pages and cursors of docs/format.md."""
        behind = 0
        for stream in self.streams():
            with contextlib.suppress(OSError, struct.error):
                spilled = struct.unpack_from("<Q", (stream / "control").read_bytes(), 40)[0]
                behind += spilled - World._cursor_in(stream)[1]  # the same layout as any cursor's
                continue
            behind += 1
        return behind


def field(binaries, root, index, port):
    world = World(binaries, folder=root / f"field-{index}", segment_bytes="1MiB", sync_interval="50ms")
    script = pathlib.Path(__file__).with_name("relay.py")
    world.link = Daemon("link", ["python3", script, world.link_port, port], world.root)
    return world


def write_end_config(root, port):
    path = root / "end.toml"
    path.write_text(f"""[consumer]
listen = "ws://127.0.0.1:{port}"
inbox = "sqlite:{root}/end.db"
relays = ["site", "region"]
""")
    return path


class Chain:
    def __init__(self, binaries, root, relays):
        end_port = free_port()
        self.root, self.inbox = root, root / "end.db"
        config = write_end_config(root, end_port)
        self.end = Daemon("end", [pathlib.Path(binaries) / "spillway-consumer", "--config", config], root)
        self.relays = []
        next_port = end_port
        for name in ("region", "site")[2 - relays:]:
            self.relays.insert(0, RelayMachine(binaries, root, name, next_port))
            next_port = self.relays[0].port
        self.fields = [field(binaries, root, index, next_port) for index in range(2)]
        self.fields[1].tallies = self.fields[0].tallies
        self.daemons = [self.end]
        for relay in self.relays:
            self.daemons += relay.daemons
        for world in self.fields:
            self.daemons += [world.agent, world.uplink, world.link]

    def start(self):
        for daemon in self.daemons:
            daemon.start()
        for world in self.fields:
            world.wait_ready()

    def drained(self):
        return all(world.drained() for world in self.fields) and not any(relay.backlog() for relay in self.relays)

    def close(self):
        for daemon in self.daemons:
            with contextlib.suppress(Exception):
                daemon.kill()
        for world in self.fields:
            world.close()

    def tell(self):
        for daemon in self.daemons:
            print(f"--- {daemon.name}\n{daemon.log_tail()}", file=sys.stderr)
        print(json.dumps({"fields": [[w.control(), w.acknowledged(), w.live_lanes()] for w in self.fields],
                          "backlog": [relay.backlog() for relay in self.relays]}), file=sys.stderr)  # fmt: skip


def kill_rounds(chain, chance, kills):
    producers = [chain.fields[index % 2].producer(index, 0, RATE).start() for index in range(4)]
    counts = {}
    for _ in range(kills):
        time.sleep(chance.uniform(0.0, 0.25))  # the random instant; nothing is being waited for
        victim = chance.choice(chain.daemons)
        counts[victim.name] = counts.get(victim.name, 0) + 1
        victim.kill()
        time.sleep(chance.choice((0.0, 0.05, 0.2)))
        victim.start()
        for other in (*chain.daemons, *producers):
            if not other.alive():
                raise RuntimeError(f"{other.name} ended by itself:\n{other.log_tail()}")
    tallies = chain.fields[0].tallies
    # One that is asked to stop before it listens for that would just die of it.
    wait_until(lambda: all((tallies / p.name.removeprefix("producer-")).exists() for p in producers), "the producers' start")
    for producer in producers:
        if producer.stop() != 0:
            raise RuntimeError(f"{producer.name} failed:\n{producer.log_tail()}")
    return counts


def check_identity(chain):
    """The gateways in the inbox are those in the field, and no relay."""
    ids = set()
    for world in chain.fields:
        lines = dict(line.split(" = ") for line in (world.spill_dir / "gateway").read_text().splitlines())
        ids.add(lines["id"])
    with contextlib.closing(sqlite3.connect(f"file:{chain.inbox}?mode=ro", uri=True)) as inbox:
        found = {row[0] for row in inbox.execute("SELECT DISTINCT gateway FROM record")}
    if found != ids:
        raise AssertionError(f"records stand under {found}, the field's gateways are {ids}")


def check_tools(chain):
    """verify and tail work on a foreign stream, and what was delivered is freed."""
    spillway = chain.fields[0].binaries / "spillway"
    for relay in chain.relays:
        streams = relay.streams()
        if len(streams) != 2:
            raise AssertionError(f"{relay.directory} holds {streams}")
        for stream in streams:
            for command in ([spillway, "verify", stream], [spillway, "tail", stream, "-n", "1"]):
                result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)
                if result.returncode != 0:
                    raise AssertionError(f"{command}: {result.returncode}\n{result.stdout}\n{result.stderr}")
            wait_until(lambda at=stream: len(list(at.glob("*.spill"))) == 1, f"what {stream} delivered to be freed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="folder with the built programs")
    parser.add_argument("--relays", type=int, default=1, choices=(1, 2))
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random_source(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="spillway-site-") as folder:
        chain = Chain(arguments.bin, pathlib.Path(folder), arguments.relays)
        try:
            chain.start()
            counts = kill_rounds(chain, chance, arguments.kills)
            wait_until(chain.drained, "the drain after the last kill")
            check_tools(chain)
            for daemon in chain.daemons:
                if "link" not in daemon.name and daemon.stop() != 0:
                    raise RuntimeError(f"{daemon.name} did not end well:\n{daemon.log_tail()}")
            report = check(chain.inbox, chain.fields[0].tallies, {"kills": counts})
            check_identity(chain)
        except BaseException:
            chain.tell()
            raise
        finally:
            chain.close()
    broken = broken_promises(report)
    print(json.dumps(report))
    if broken or not report["delivered"]:
        print(f"BROKEN with seed {arguments.seed}: {', '.join(broken) or 'nothing delivered'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
