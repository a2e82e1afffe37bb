"""Messages as a sink makes them, by hand: what a source's test publishes with another client than Spillway's own."""

import uuid


def ident(number):
    return str(uuid.UUID(int=number + (4 << 76) + (8 << 60)))


def origin(gateway, stream="telemetry", journal=None, first=0, name=""):
    """The headers that every message has."""
    headers = {
        "spillway-gateway": ident(gateway),
        "spillway-journal": journal or ident(1000 + gateway),
        "spillway-journal-sequence": "1",
        "spillway-journal-first": str(first),
        "spillway-stream": stream,
    }
    if name:
        headers["spillway-gateway-name"] = name
    return headers


def record(gateway, offset, topic="sensor/a", lane=7, utc_ns=None, boot=9, boottime_ns=1, **options):
    headers = {
        "spillway-kind": "record",
        **origin(gateway, **options),
        "spillway-offset": str(offset),
        "spillway-lane": str(lane),
        "spillway-topic": topic,
        "spillway-producer": "test",
        "spillway-boot": ident(boot),
        "spillway-boottime": str(boottime_ns),
    }
    if utc_ns is not None:
        headers["spillway-time"] = str(utc_ns)
    return headers


def gap(gateway, first, next_offset, reason="quota", **options):
    return {
        "spillway-kind": "gap",
        **origin(gateway, **options),
        "spillway-offset": str(first),
        "spillway-next-offset": str(next_offset),
        "spillway-reason": reason,
    }


def clock(gateway, boottime_ns, utc_ns, boot=9, **options):
    return {
        "spillway-kind": "clock",
        **origin(gateway, **options),
        "spillway-boot": ident(boot),
        "spillway-time": str(utc_ns),
        "spillway-boottime": str(boottime_ns),
    }


def lane(gateway, lane_end, topic="sensor/a", number=7, closed=True, **options):
    return {
        "spillway-kind": "lane",
        **origin(gateway, **options),
        "spillway-lane": str(number),
        "spillway-topic": topic,
        "spillway-producer": "test",
        "spillway-boot": ident(9),
        "spillway-lane-end": str(lane_end),
        "spillway-rejected": "0",
        "spillway-closed": "1" if closed else "0",
    }
