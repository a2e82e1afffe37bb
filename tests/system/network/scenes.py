"""The register of situations, and what runs them: each in a world of its own, several at a time.

A situation is a function that takes a Stage, sets up a world on it, does harm, heals, and judges; it returns one line for people
and raises what is wrong. Its group is the ctest case that runs it.
"""

import collections
import concurrent.futures
import contextlib
import pathlib
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from network_world import NetworkWorld  # noqa: E402

SITUATIONS = {}  # {name: (group, function)}
TOTALS = collections.Counter()


def situation(group):
    def register(function):
        SITUATIONS[function.__name__] = (group, function)
        return function

    return register


class Stage:
    """What one situation has for its own: the programs, a seed, and worlds that are cleared away after it."""

    def __init__(self, options, seed):
        self.options = options
        self.seed = seed
        self.cleanup = contextlib.ExitStack()

    def world(self, **options):
        return self.cleanup.enter_context(NetworkWorld(self.options.bin, self.options.bin / "network-forwarder", self.seed, **options))

    def loaded(self, rate=1000, **options):
        """A world whose load already reaches the inbox."""
        world = self.world(**options).start().load(rate)
        return world.wait_flowing()


def suffer(world, begin, heal, seconds=4.0, during=None):
    """The harm lasts so long, then the link heals; returns what it says of the convergence and the oracle."""
    begin()
    end = time.monotonic() + seconds
    if during:
        during()
    time.sleep(max(0.0, end - time.monotonic()))  # the harm itself, not a wait for something
    backlog = world.backlog()
    heal()
    return healed(world, f"backlog {backlog:,}")


def healed(world, text):
    """The link is good again, and the load still on: convergence, then the oracle."""
    took_s = world.converge()
    return verdict(world, world.finish(), f"{text}, converged {took_s:.1f} s after healing")


def verdict(world, report, text):
    packets = world.net.stats().values()
    TOTALS.update(records=report["delivered"], sessions=world.connections())
    TOTALS.update({f"packets {name}": sum(way[name] for way in packets)
                   for name in ("carried", "swallowed", "too_big", "lost", "queue_full", "duplicated", "reordered")})  # fmt: skip
    peaks = ", ".join(f"{name} {kib / 1024:.0f} MiB" for name, kib in report["memory_kib"].items())
    return f"{text}; {report['delivered']:,} records, {world.connections()} sessions, {peaks}"


def run_one(name, options, seed):
    """(seconds, what it said, what is wrong or nothing)"""
    began = time.monotonic()
    stage = Stage(options, seed)
    try:
        with stage.cleanup:
            said = SITUATIONS[name][1](stage)
        return time.monotonic() - began, said, None
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in one situation, the others are to run
        where = "".join(traceback.format_exception(error)[-3:])
        return time.monotonic() - began, "", where


def run_all(names, options, seed, say=print):
    """Runs the situations, several at a time; returns the names of those that failed."""
    failed = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = {pool.submit(run_one, name, options, seed + index): (name, seed + index) for index, name in enumerate(names)}
        for job in concurrent.futures.as_completed(jobs):
            name, its_seed = jobs[job]
            seconds, said, problem = job.result()
            say(f"{'FAILED' if problem else 'ok':<7}{name:<34}{seconds:6.1f} s  {said or f'seed {its_seed}'}{chr(10) + problem if problem else ''}",
                flush=True)  # fmt: skip
            if problem:
                failed.append(name)
    return failed
