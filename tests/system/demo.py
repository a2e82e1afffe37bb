#!/usr/bin/env python3
"""demo.py --bin DIR [--seconds N] [--seed S]: the whole way of a record, with everything on it killed once.

Starts a consumer, a gateway's agent and uplink, the system sensor and four more producers; cuts the link for several
seconds; kills -9 the agent, the uplink, the consumer and one producer in turn; restores, waits for the drain; then lets an
independent check (check_delivery.py) judge what arrived. Exits non-zero if anything was lost, doubled or out of order.
"""

import argparse
import contextlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

PRODUCERS = 4
RATE = 14_000  # records a second, each
LINK_CUT_S = 5.0


class Watcher(threading.Thread):
    """Looks at the backlog twice a second, says how things stand, and remembers the longest backlog."""

    def __init__(self, world, quiet):
        super().__init__(daemon=True)
        self.world, self.quiet = world, quiet
        self.longest, self.done = 0, threading.Event()
        self.began = time.monotonic()

    def run(self):
        while not self.done.wait(0.5):
            spilled, durable = self.world.control()
            acknowledged = self.world.acknowledged()
            self.longest = max(self.longest, spilled - acknowledged)
            if not self.quiet:
                print(f"  {time.monotonic() - self.began:5.1f} s   process-safe {spilled:>10,}   power-safe {durable:>10,}"
                      f"   delivered {acknowledged:>10,}   backlog {spilled - acknowledged:>9,}", flush=True)  # fmt: skip


def say(text):
    print(text, flush=True)


def kill_and_restart(daemon, down_s=0.5):
    say(f"* kill -9 {daemon.name}")
    daemon.kill()
    time.sleep(down_s)  # how long it stays dead is part of the story, not a wait for something
    daemon.start()


def start_everything(world, sensor_seconds):
    for daemon in (world.consumer, world.link, world.agent, world.uplink):
        daemon.start()
    world.wait_ready()
    producers = [world.producer(index, 0, RATE).start() for index in range(PRODUCERS)]
    sensor_report = world.root / "sensor.json"
    sensor = subprocess.Popen(
        [world.binaries / "spillway-sensor", "--queue-dir", world.queue_dir, "--rate", "200", "--seconds",
         str(sensor_seconds), "--json"], stdout=open(sensor_report, "wb"), stderr=subprocess.STDOUT)  # fmt: skip
    return producers, sensor, sensor_report


def run_the_story(world, producers, seconds):
    step = (seconds - LINK_CUT_S) / 7
    time.sleep(step)
    say(f"* the link is cut for {LINK_CUT_S:.0f} s; the producers go on")
    world.link.kill()
    time.sleep(LINK_CUT_S)
    say("* the link is back")
    world.link.start()
    time.sleep(step)
    kill_and_restart(world.agent)
    time.sleep(step)
    kill_and_restart(world.uplink)
    time.sleep(step)
    say(f"* kill -9 {producers[1].name}; its successor starts at once")
    producers[1].kill()
    producers[1] = world.producer(1, 1, RATE).start()
    time.sleep(step)
    kill_and_restart(world.consumer)
    time.sleep(2 * step)


def drain(world, producers, sensor):
    for producer in producers:
        if producer.stop() != 0:
            raise RuntimeError(f"{producer.name} failed:\n{producer.log_tail()}")
    sensor.wait(30)
    say("* the producers have ended; waiting for the drain")
    began = time.monotonic()
    process_safe = wait_until(world.drained, "lanes, spill and link to drain")
    return process_safe, time.monotonic() - began


def show_rows(inbox, count=5):
    """Rows of the inbox as JSON; the payload of a tally producer's record is a FlatBuffer, shown as hexadecimal."""
    say(f"\n{count} rows of the consumer's inbox:")
    connection = sqlite3.connect(f"file:{inbox}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    query = ("SELECT * FROM record WHERE (journal, stream, record_offset) IN (SELECT journal, stream, MAX(record_offset) "
             "FROM record GROUP BY topic) ORDER BY topic DESC LIMIT ?")
    for row in connection.execute(query, (count,)):
        fields = {**row, "payload": row["payload"].hex()}
        say("  " + json.dumps(fields))
    connection.close()


def judge(world, facts):
    facts_path = world.root / "facts.json"
    facts_path.write_text(json.dumps(facts))
    say("\nthe independent check says:")
    return subprocess.run(
        [sys.executable, pathlib.Path(__file__).with_name("check_delivery.py"), world.inbox, world.tallies, "--facts",
         facts_path], check=False).returncode  # fmt: skip


def play(world, seconds, quiet):
    watcher = Watcher(world, quiet)
    say(f"spillway demo: {PRODUCERS} producers at {RATE:,} records/s each and the system sensor, for {seconds:.0f} s")
    producers, sensor, sensor_report = start_everything(world, seconds)
    watcher.start()
    run_the_story(world, producers, seconds)
    process_safe, drain_time = drain(world, producers, sensor)
    watcher.done.set()
    sensed = json.loads(sensor_report.read_text())
    show_rows(world.inbox)
    facts = {
        "process_safe": process_safe,
        "longest_backlog": watcher.longest,
        "drain_time_s": round(drain_time, 2),
        "records_per_s": round(process_safe / seconds),
        "sensor_enqueued": sensed["enqueued"],
        "sensor_rejected": sensed["rejected"],
    }
    for daemon in (world.uplink, world.consumer, world.agent):
        daemon.stop()
    return judge(world, facts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="folder with the built programs")
    parser.add_argument("--seconds", type=float, default=26.0, help="how long the producers run")
    parser.add_argument("--keep", help="keep everything in this folder (default: a temporary one)")
    parser.add_argument("--quiet", action="store_true", help="no line every half second")
    arguments = parser.parse_args()
    with World(arguments.bin, arguments.keep) as world:
        try:
            verdict = play(world, arguments.seconds, arguments.quiet)
        except (TimeoutError, RuntimeError) as error:
            say(f"FAILED: {error}")
            for daemon in (world.agent, world.uplink, world.consumer):
                say(f"--- {daemon.log_path}\n{daemon.log_tail()}")
            return 3
    say("\nnothing lost, nothing doubled, nothing out of order" if verdict == 0 else "\nthe demo FAILED")
    return verdict


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
