#!/usr/bin/env python3
"""kill_test.py --bin DIR [--kills N] [--seed S] [--minutes M]: kill -9 anything at any instant, while producers run.

Each round kills one of agent, uplink, consumer, link or a producer at a random instant and starts it again (a producer's
successor is a new incarnation). At the end everything drains and the oracle of check_delivery.py judges: nothing lost,
nothing doubled, nothing out of order. With --minutes it goes on for that long, in worlds of --kills each: the soak.
"""

import argparse
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from check_delivery import broken_promises, check  # noqa: E402
from harness import World, random_source, wait_until  # noqa: E402

PRODUCERS = 3
RATE = 4_000
VICTIMS = ("agent", "uplink", "consumer", "link", "producer")
WEIGHTS = (40, 20, 20, 10, 10)
MEMORY_FIRST = 'placement = "memory-first"\nmemory_bytes = "2MiB"'


def kill_rounds(world, chance, kills):
    producers = [world.producer(index, 0, RATE).start() for index in range(PRODUCERS)]
    counts = dict.fromkeys(VICTIMS, 0)
    for _ in range(kills):
        time.sleep(chance.uniform(0.0, 0.3))  # the random instant; nothing is being waited for
        victim = chance.choices(VICTIMS, WEIGHTS)[0]
        counts[victim] += 1
        index = chance.randrange(PRODUCERS)
        daemon = producers[index] if victim == "producer" else getattr(world, victim)
        daemon.kill()
        time.sleep(chance.choice((0.0, 0.0, 0.05, 0.3)))
        if victim == "producer":
            daemon = producers[index] = world.producer(index, daemon.incarnation_next, RATE)
        daemon.start()
        for other in (world.agent, world.uplink, world.consumer, world.link, *producers):
            if not other.alive():
                raise RuntimeError(f"{other.name} ended by itself:\n{other.log_tail()}")
    return producers, counts


def one_world(binaries, seed, kills, stream_keys):
    """Runs `kills` rounds in a fresh world and returns the oracle's report."""
    chance = random_source(seed)
    with World(binaries, segment_bytes="1MiB", sync_interval=chance.choice(("20ms", "200ms", "0")), stream_keys=stream_keys) as world:
        try:
            for daemon in (world.consumer, world.link, world.agent, world.uplink):
                daemon.start()
            world.wait_ready()
            producers, counts = kill_rounds(world, chance, kills)
            # One that is asked to stop before it listens for that would just die of it.
            wait_until(lambda: all((world.tallies / p.name.removeprefix("producer-")).exists() for p in producers),
                       "the producers' start")  # fmt: skip
            for producer in producers:
                if producer.stop() != 0:
                    raise RuntimeError(f"{producer.name} failed:\n{producer.log_tail()}")
            wait_until(world.drained, "the drain after the last kill")
            for daemon in (world.uplink, world.consumer, world.agent):
                daemon.stop()
        except (TimeoutError, RuntimeError):
            for daemon in (world.agent, world.uplink, world.consumer):
                print(f"--- {daemon.name} (seed {seed})\n{daemon.log_tail()}", file=sys.stderr)
            print(json.dumps({"spilled": world.control(), "acknowledged": world.acknowledged(),
                              "lanes": world.live_lanes()}), file=sys.stderr)  # fmt: skip
            raise
        report = check(world.inbox, world.tallies, {"kills": counts})
        if broken_promises(report):
            print(f"--- agent (seed {seed})\n{world.agent.log_tail(200)}", file=sys.stderr)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="folder with the built programs")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory-first", action="store_true", help="the stream stands in memory while the link keeps up")
    parser.add_argument("--minutes", type=float, default=0.0, help="go on with the next seed until this much time has passed")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    seed, worlds, kills, records = arguments.seed, 0, 0, 0
    while True:
        report = one_world(arguments.bin, seed, arguments.kills, MEMORY_FIRST if arguments.memory_first else "")
        broken = broken_promises(report)
        print(f"seed {seed}: {json.dumps(report)}", flush=True)
        if broken or not report["delivered"]:
            print(f"BROKEN with seed {seed}: {', '.join(broken) or 'nothing delivered'}", file=sys.stderr)
            return 1
        seed, worlds, kills, records = seed + 1, worlds + 1, kills + arguments.kills, records + report["delivered"]
        if time.monotonic() >= end:
            break
    print(f"{worlds} worlds, {kills} kills, {records:,} records: 0 lost, 0 doubled, 0 out of order")
    return 0


if __name__ == "__main__":
    sys.exit(main())
