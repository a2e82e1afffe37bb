"""How full a link is while a backlog drains: what the bottleneck of the forwarder carried, against what it could have."""

import time

from scenes import situation, verdict

RATE_BYTES_PER_S = 125_000  # 1 Mbit/s
ROUND_TRIP_MS = 600
# What a modem keeps ahead of its line: about one bandwidth-delay product, as such links have it.
QUEUE_BYTES = 80_000
FULL_MIN = 0.9
WARM_UP_S = 10  # TCP finds the rate: so many round trips of slow start, and what they overshoot
RECORD_BYTES = 512


# Debian's own choice first. BBR empties a link every ten seconds to look at the round trip, which costs one as long as this an
# eighth of its time, whoever uses it.
ALGORITHMS = ("cubic", "reno")


def link_use(stage, window_s, algorithms, full_min):
    """Incompressible records, so that what is measured is the way and not a compressor."""
    world = stage.world()
    algorithm = world.net.near.congestion_control(*algorithms)
    world.consumer.start()
    world.agent.start()
    world.wait_ready()
    enough = int((WARM_UP_S + window_s + 10) * RATE_BYTES_PER_S / RECORD_BYTES)
    producer = world.producer(0, 0, 50_000, lane_bytes="16MiB", record_bytes=RECORD_BYTES)
    producer.command += ["--count", str(enough), "--random-filling", "yes"]
    producer.start().process.wait(30)
    world.wait(lambda: world.control()[0] == enough, "the backlog")
    world.net.set("both", delay_ms=ROUND_TRIP_MS / 2, rate=RATE_BYTES_PER_S, queue=QUEUE_BYTES)
    world.uplink.start()
    world.wait_flowing()
    time.sleep(WARM_UP_S)  # measured is the drain, not its first seconds
    before, acked, began = world.net.stats()["up"], world.acknowledged(), time.monotonic()
    time.sleep(window_s)
    after, seconds = world.net.stats()["up"], time.monotonic() - began
    records = world.acknowledged() - acked
    if world.acknowledged() >= enough:
        raise AssertionError("the backlog ended before the measurement: it shows nothing")
    full = (after["carried_bytes"] - before["carried_bytes"]) / (RATE_BYTES_PER_S * seconds)
    payload = records * RECORD_BYTES / (RATE_BYTES_PER_S * seconds)
    figures = (f"1 Mbit/s, {ROUND_TRIP_MS} ms, {algorithm}: {full:.1%} full over {seconds:.0f} s, {payload:.1%} of it records acknowledged, "
               f"{after['queue_full'] - before['queue_full']} packets dropped by the modem")  # fmt: skip
    if full < full_min:
        raise AssertionError(f"less than {full_min:.0%}: {figures}")
    world.net.clear()
    return verdict(world, world.finish(), figures)


@situation("use")
def satellite_link_is_full(stage):
    return link_use(stage, 10, ALGORITHMS, FULL_MIN)


@situation("long")
def satellite_link_stays_full(stage):
    return link_use(stage, 30, ALGORITHMS, FULL_MIN)


@situation("long")
def satellite_link_by_the_kernels_choice(stage):
    """For the figure: whatever this kernel uses if nobody chooses."""
    return link_use(stage, 30, (), 0.8)
