"""A storm: harms drawn by a seed, one upon the other, links and processes alike; then it heals, and everything is there."""

import random
import signal
import time

from scenes import TOTALS, healed, situation

STORM_S = 25
PAUSE_S = (0.2, 2.5)
SCHEMES = ("ws", "ws", "wss")


def bad_packets(world, chance):
    """Any mixture of what a forwarder can do, each part of it left out as often as not."""
    ranges = {"delay_ms": (0, 400), "jitter_ms": (0, 200), "loss": (0, 0.35), "duplicate": (0, 0.3), "reorder": (0, 0.3),
              "hold_ms": (1, 100), "rate": (2_000, 500_000), "queue": (4_000, 200_000)}  # fmt: skip
    world.net.clear()
    settings = {key: chance.uniform(*span) for key, span in ranges.items() if chance.random() < 0.5}
    world.net.set(chance.choice(("up", "down", "both")), **settings)


def hole(world, chance):
    world.net.set(chance.choice(("up", "down", "both")), hole=1)


def small_mtu(world, chance):
    world.net.set("both", mtu=chance.choice((296, 576, 1280)))


def clear(world, _):
    world.net.clear()


def pull_the_cable(world, chance):
    world.net.near.link_down()
    time.sleep(chance.uniform(0, 1))
    world.net.near.link_up()


def forget(world, _):
    world.net.forget()


def new_address(world, chance):
    address = f"192.0.2.{chance.randint(2, 250)}"
    if address != world.net.near.address:
        world.net.near.change_address(address)


def kill_consumer(world, _):
    world.restart(world.consumer)


def kill_uplink(world, _):
    world.restart(world.uplink)


def kill_agent(world, _):
    world.agent.kill()
    world.agent.start()


def freeze(world, chance):
    frozen = chance.choice((world.consumer, world.uplink))
    frozen.process.send_signal(signal.SIGSTOP)
    time.sleep(chance.uniform(0, 1.5))
    frozen.process.send_signal(signal.SIGCONT)


HARMS = (bad_packets, bad_packets, bad_packets, hole, small_mtu, clear, clear, pull_the_cable, forget, new_address, kill_consumer,
         kill_uplink, kill_agent, freeze)  # fmt: skip


@situation("long")
def storm(stage):
    chance = random.Random(stage.seed)
    world = stage.loaded(chance.choice((100, 500, 2000)), scheme=chance.choice(SCHEMES))
    end = time.monotonic() + STORM_S
    done = []
    while time.monotonic() < end:
        harm = chance.choice(HARMS)
        harm(world, chance)
        done.append(harm.__name__)
        time.sleep(chance.uniform(*PAUSE_S))
    world.net.clear()
    TOTALS.update(f"harms: {name}" for name in done)
    try:
        return healed(world, f"{len(done)} harms")
    except (AssertionError, TimeoutError) as error:
        raise AssertionError(f"{error}\nafter {', '.join(done)}") from None
