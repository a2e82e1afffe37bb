"""How full a link is while a backlog drains: what the bottleneck of the forwarder carried, against what it could have."""

import time

from scenes import situation, verdict

FULL_MIN = 0.9
# Where every change is tested, beside other work on the machine, a window too small or a stall has to show; the rate itself is
# measured by the long suite and by `./run bench link`.
FULL_MIN_ON_A_BUSY_MACHINE = 0.7
RECORD_BYTES = 512


class Line:
    """A bottleneck. Its modem keeps a little more than one bandwidth-delay product ahead of it, as such things do."""

    def __init__(self, name, rate_bytes_per_s, round_trip_ms, warm_up_s):
        self.name, self.rate, self.round_trip_ms = name, rate_bytes_per_s, round_trip_ms
        self.queue_bytes = 1.07 * rate_bytes_per_s * round_trip_ms / 1000
        self.warm_up_s = warm_up_s  # TCP finds the rate: so many round trips of slow start, and what they overshoot


SATELLITE = Line("1 Mbit/s, 600 ms", 125_000, 600, 10)
LTE = Line("50 Mbit/s, 40 ms", 6_250_000, 40, 2)


# Debian's own choice first. BBR empties a link every ten seconds to look at the round trip, which costs one as long as this an
# eighth of its time, whoever uses it.
ALGORITHMS = ("cubic", "reno")


def link_use(stage, line, window_s, algorithms=ALGORITHMS, full_min=FULL_MIN):
    """Incompressible records, so that what is measured is the way and not a compressor."""
    world = stage.world(segment_bytes="8MiB", max_bytes="1GiB")
    algorithm = world.net.near.congestion_control(*algorithms)
    world.consumer.start()
    world.agent.start()
    world.wait_ready()
    enough = int((line.warm_up_s + window_s + 5) * line.rate / RECORD_BYTES)
    producer = world.producer(0, 0, 60_000, lane_bytes="16MiB", record_bytes=RECORD_BYTES)
    producer.command += ["--count", str(enough), "--random-filling", "yes"]
    producer.start().process.wait(30)
    world.wait(lambda: world.control()[0] == enough, "the backlog")
    world.net.set("both", delay_ms=line.round_trip_ms / 2, rate=line.rate, queue=line.queue_bytes)
    world.uplink.start()
    world.wait_flowing()
    time.sleep(line.warm_up_s)  # measured is the drain, not its first seconds
    before, acked, began = world.net.stats()["up"], world.acknowledged(), time.monotonic()
    time.sleep(window_s)
    after, seconds = world.net.stats()["up"], time.monotonic() - began
    records = world.acknowledged() - acked
    if world.acknowledged() >= enough:
        raise AssertionError("the backlog ended before the measurement: it shows nothing")
    full = (after["carried_bytes"] - before["carried_bytes"]) / (line.rate * seconds)
    payload = records * RECORD_BYTES / (line.rate * seconds)
    figures = (f"{line.name}, {algorithm}: {full:.1%} full over {seconds:.0f} s, {payload:.1%} of it records acknowledged, "
               f"{after['queue_full'] - before['queue_full']} packets dropped by the modem")  # fmt: skip
    if full < full_min:
        raise AssertionError(f"less than {full_min:.0%}: {figures}")
    world.net.clear()
    return verdict(world, world.finish(), figures)


@situation("use")
def satellite_link_is_full(stage):
    return link_use(stage, SATELLITE, 10, full_min=FULL_MIN_ON_A_BUSY_MACHINE)


@situation("long")
def satellite_link_stays_full(stage):
    return link_use(stage, SATELLITE, 30)


@situation("long")
def satellite_link_by_the_kernels_choice(stage):
    """For the figure: whatever this kernel uses if nobody chooses."""
    return link_use(stage, SATELLITE, 30, (), 0.8)


@situation("long")
def fast_link_is_full(stage):
    """What the forwarder itself can carry is seen here, too."""
    return link_use(stage, LTE, 5)
