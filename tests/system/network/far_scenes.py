"""Situations of the far end: a consumer that dies at its worst moments, its disk, and what may stand in its place."""

import mmap
import random
import signal
import struct
import time

from harness import wait_until
from certificates import make_certificates
from impostors import NameServer, Portal
from network_world import CONSUMER_PORT
from scenes import healed, situation, suffer

HOST = "consumer.field.test"
# One small commit of the inbox is about eight writes and syncs.
COMMIT_CALLS = 10
# A record that was acknowledged too early is missed only if its segment is gone by then: so they are soon full, and a killed
# consumer stays away until the agent has given them back.
LARGE_RECORDS = 500
AWAY_S = 0.3
YEAR_NS = 365 * 24 * 3600 * 10**9


class KillPage:
    """The page by which kill_at_commit.c is told where to kill."""

    def __init__(self, folder):
        self.path = folder / "kill-page"
        self.path.write_bytes(bytes(16))
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 16)

    def arm(self, calls, after):
        struct.pack_into("<2I", self.page, 0, calls, after)

    def seen(self):
        return struct.unpack_from("<Q", self.page, 8)[0]


@situation("far")
def consumer_killed_around_its_commit(stage):
    """kill -9 before and after each write and sync of a commit, one after the other."""
    world = stage.world()
    page = KillPage(world.root)
    world.with_library(world.consumer, stage.options.kill_at_commit, KILL_AT_COMMIT=page.path)
    world.start(supervise=False).load(2000, LARGE_RECORDS).wait_flowing()
    kills = 0
    for calls in range(1, COMMIT_CALLS + 1):
        for after in (0, 1):
            page.arm(calls, after)
            world.wait(lambda: not world.consumer.alive(), f"the kill at call {calls}")
            kills += world.consumer.process.returncode == -signal.SIGKILL
            time.sleep(AWAY_S)
            world.consumer.start()
            world.wait_flowing()
    if kills != 2 * COMMIT_CALLS:
        raise AssertionError(f"{kills} kills of {2 * COMMIT_CALLS}: the consumer ended by itself\n{world.consumer.log_tail()}")
    return healed(world, f"{kills} kills at exact places")


@situation("far")
def consumer_killed_at_random(stage):
    world = stage.world().start().load(3000, LARGE_RECORDS).wait_flowing()
    chance = random.Random(stage.seed)
    for _ in range(12):
        time.sleep(chance.uniform(0.01, 0.4))
        world.restart(world.consumer, AWAY_S)
    return healed(world, "12 kills")


@situation("far")
def both_ends_killed_at_random_on_a_bad_link(stage):
    world = stage.world().start().load(1000, LARGE_RECORDS).wait_flowing()
    world.net.set("both", delay_ms=40, jitter_ms=30, loss=0.05, duplicate=0.05, reorder=0.05)
    chance = random.Random(stage.seed)
    for _ in range(10):
        time.sleep(chance.uniform(0.05, 0.6))
        world.restart(chance.choice((world.consumer, world.uplink)), AWAY_S)
    world.net.clear()
    return healed(world, "10 kills")


@situation("far")
def consumers_disk_full(stage):
    """The inbox's file system has no room; the consumer may wait or end (its supervisor starts it again)."""
    world = stage.loaded(2000, inbox_bytes=24 << 20)
    filler = world.inbox.parent / "filler"

    def fill():
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError:
                pass

    def stands_still():
        before = world.acknowledged()
        time.sleep(1)  # a second without progress is what is looked for
        return world.acknowledged() == before

    def until_it_hurts():
        world.wait(stands_still, "the full disk to be felt")

    said = suffer(world, fill, filler.unlink, 5, until_it_hurts)
    return f"{said}, {world.supervisor.restarts} restarts by the supervisor"


def names_fail(stage, mode):
    world = stage.world(host=HOST)
    names = NameServer(world.net.near, world.net.far.address)
    stage.cleanup.callback(names.close)
    world.start().load().wait_flowing()

    def break_names():
        names.mode = mode
        asked = names.asked
        world.restart(world.consumer)  # so that its name is needed again
        wait_until(lambda: names.asked > asked, "the uplink to ask for the name", 20)

    return suffer(world, break_names, lambda: setattr(names, "mode", "right"), 4)


@situation("names")
def name_does_not_exist(stage):
    return names_fail(stage, "no such name")


@situation("names")
def name_server_fails(stage):
    return names_fail(stage, "server failed")


@situation("names")
def name_server_is_silent(stage):
    return names_fail(stage, "silent")


def wall_clock_at(stage, off_by_ns):
    """A world over TLS whose gateway has another wall clock; set_clock(ns) sets it."""
    world = stage.world(scheme="wss")
    clock = world.root / "wall-clock"
    clock.write_bytes(struct.pack("<q", off_by_ns))
    with open(clock, "r+b") as file:
        page = mmap.mmap(file.fileno(), 8)
    for daemon in (world.agent, world.uplink):
        world.with_library(daemon, stage.options.wall_clock, WALL_CLOCK=clock)
    return world, lambda off_by: struct.pack_into("<q", page, 0, off_by)


@situation("names")
def gateway_in_1970(stage):
    """A gateway without a clock battery: certificates that are valid today are valid for it, too, before its clock is set."""
    world, set_clock = wall_clock_at(stage, -time.time_ns() + 3600 * 10**9)
    world.start().load().wait_flowing()
    set_clock(0)
    return healed(world, "flowed in 1970")


@situation("names")
def gateway_in_2100(stage):
    """A clock far ahead takes every certificate for expired; when it is set right the link comes by itself."""
    world, set_clock = wall_clock_at(stage, 74 * YEAR_NS)
    world.start().load()
    world.wait(lambda: "certificate" in world.uplink.log_path.read_text(), "the uplink to tell of the certificate")
    if world.connections():
        raise AssertionError("an expired certificate was accepted")
    set_clock(0)
    return healed(world, "refused in 2100")


def portal_stands_between(stage, scheme):
    world = stage.world(scheme=scheme)
    world.start(supervise=False).load().wait_flowing()
    certificate = None
    if scheme == "wss":
        own = world.root / "portal"
        own.mkdir()
        make_certificates(own, world.host)
        certificate = (own / "server.pem", own / "server.key")
    portal = []

    def begin():
        world.consumer.kill()
        portal.append(Portal(world.net.far, CONSUMER_PORT, certificate))
        stage.cleanup.callback(portal[0].close)

    def heal():
        portal[0].close()
        world.consumer.start()

    said = suffer(world, begin, heal, 4)
    if scheme == "ws" and portal[0].answered < 4:
        raise AssertionError(f"the portal was asked only {portal[0].answered} times")
    if scheme == "wss" and portal[0].answered:
        raise AssertionError("the uplink spoke HTTP to somebody without a trusted certificate")
    return f"{said}; the portal answered {portal[0].answered} times"


@situation("names")
def captive_portal(stage):
    return portal_stands_between(stage, "ws")


@situation("names")
def captive_portal_before_tls(stage):
    return portal_stands_between(stage, "wss")
