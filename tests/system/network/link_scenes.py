"""Situations of the link itself: what a bad network does to packets, by the forwarder or by the kernel's own means."""

import time

from scenes import healed, situation, suffer

# A half-open link is noticed in seconds: pings tell, and not the kernel's retransmissions, which take a quarter of an hour.
NOTICED_S = 15


@situation("link")
def cut(stage):
    """The cable is pulled: the device is down, its routes are gone, and later it is back."""
    world = stage.loaded()
    return suffer(world, world.net.near.link_down, world.net.near.link_up)


@situation("link")
def cut_again_and_again(stage):
    """A loose contact: down and up ten times, at any moment."""
    world = stage.loaded()

    def flap():
        for turn in range(10):
            world.net.near.link_up()
            time.sleep(0.05 + 0.07 * turn)
            world.net.near.link_down()
            time.sleep(0.3 - 0.02 * turn)

    return suffer(world, world.net.near.link_down, world.net.near.link_up, 1.0, flap)


@situation("link")
def silence(stage):
    """Half-open: packets vanish both ways, and no side is told."""
    world = stage.loaded()
    return suffer(world, lambda: world.net.set("both", hole=1), world.net.clear, 6)


@situation("link")
def silence_is_noticed(stage):
    """While packets vanish the uplink finds out by itself that nobody is there."""
    world = stage.loaded()
    world.net.set("both", hole=1)
    began = time.monotonic()
    before = world.disconnections()
    world.wait(lambda: world.disconnections() > before, "the uplink to notice the silence", NOTICED_S)
    noticed_s = time.monotonic() - began
    world.net.clear()
    return healed(world, f"noticed after {noticed_s:.1f} s")


@situation("link")
def peer_killed_without_a_word(stage):
    """The far machine dies in the dark: no FIN, no RST, and what comes back knows nothing of the connection."""
    world = stage.loaded()
    return suffer(world, lambda: world.net.set("both", hole=1), world.net.clear, 4, lambda: world.restart(world.consumer))


@situation("link")
def one_way_up(stage):
    """What the gateway sends vanishes; what comes to it comes."""
    world = stage.loaded()
    return suffer(world, lambda: world.net.set("up", hole=1), world.net.clear, 5)


@situation("link")
def one_way_down(stage):
    """What the gateway sends arrives; no answer ever does."""
    world = stage.loaded()
    return suffer(world, lambda: world.net.set("down", hole=1), world.net.clear, 5)


@situation("link")
def one_byte_a_second(stage):
    world = stage.loaded()
    return suffer(world, lambda: world.net.set("both", rate=1, queue=20_000), world.net.clear, 5)


@situation("link")
def a_third_of_packets_lost(stage):
    world = stage.loaded(300)
    return suffer(world, lambda: world.net.set("both", loss=0.3), world.net.clear, 8)


@situation("link")
def satellite(stage):
    """A round trip of 600 ms +- 200 ms: records flow, and nobody cuts the session."""
    world = stage.loaded()
    before = world.connections()

    def watch():
        world.wait_flowing(10)
        time.sleep(3)  # time for a wrong timeout to strike
        world.wait_flowing(5)

    said = suffer(world, lambda: world.net.set("both", delay_ms=300, jitter_ms=100), world.net.clear, 9, watch)
    if world.connections() != before:
        raise AssertionError(f"{world.connections()} sessions, {before} before: a slow link was taken for a dead one\n{world.uplink.log_tail()}")
    return said


@situation("link")
def reordering(stage):
    world = stage.loaded()
    said = suffer(world, lambda: world.net.set("both", delay_ms=5, reorder=0.25, hold_ms=30), world.net.clear, 4, world.wait_flowing)
    return f"{said}; {world.net.stats()['up']['reordered']} packets overtaken"


@situation("link")
def duplication(stage):
    world = stage.loaded()
    said = suffer(world, lambda: world.net.set("both", duplicate=0.5), world.net.clear, 4, world.wait_flowing)
    return f"{said}; {world.net.stats()['up']['duplicated']} packets doubled"


@situation("link")
def large_packets_vanish(stage):
    """An MTU black hole: small packets pass, so that the link seems to stand, and large ones never do."""
    world = stage.loaded(3000)
    said = suffer(world, lambda: world.net.set("both", mtu=576), world.net.clear, 6)
    if not world.net.stats()["up"]["too_big"]:
        raise AssertionError("no packet was too big: this run shows nothing")
    return said


def lives_on(world, harm):
    """The old connection is dead for ever, and the link itself is good at once: so the 30 s count from the harm."""
    time.sleep(0.5)  # the session is in full swing
    harm()
    began = time.monotonic()
    sent = world.control()[0] + 1
    world.wait(lambda: world.acknowledged() >= sent, "records by a new session")
    return healed(world, f"flows again after {time.monotonic() - began:.1f} s")


@situation("link")
def middle_box_forgets(stage):
    """A NAT loses its memory: packets of the connection that stands vanish for good, a new one would pass at once."""
    world = stage.loaded()
    return lives_on(world, world.net.forget)


@situation("link")
def gateway_changes_its_address(stage):
    """The modem dialled in anew: the old connection hears nothing any more."""
    world = stage.loaded()
    return lives_on(world, lambda: world.net.near.change_address("192.0.2.77"))


@situation("link")
def consumer_frozen(stage):
    """The far kernel answers, the process does not (SIGSTOP): no packet tells that anything is wrong."""
    world = stage.loaded()
    return suffer(world, lambda: world.consumer.process.send_signal(19), lambda: world.consumer.process.send_signal(18), 5)
