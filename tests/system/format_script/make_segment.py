"""make_segment.py DIR: a stream of one segment with three records, written from docs/format.md alone."""
import pathlib
import struct
import sys

import xxhash

SALT, LANE, BOOT, JOURNAL, GATEWAY = 0x5A17, 0x1A2B3C4D5E6F7081, bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48))


def block(base_offset, count, kind, lane_id, lane_end, ticks, boottime_ns, stored):
    rest = struct.pack("<IIQIBBHQQQQ", len(stored), len(stored), base_offset, count, kind, 0, 0, lane_id, lane_end, ticks, boottime_ns)
    whole = struct.pack("<Q", xxhash.xxh3_64_intdigest(rest + stored, SALT)) + rest + stored
    return whole + bytes(-len(whole) % 64)


def frame(record, ticks):
    return struct.pack("<IHHQ", len(record) + 1, 0, 0, ticks) + record + bytes(-len(record) % 16)


head = struct.pack("<6Q16s16s16sQ64s64x", SALT, 0, 0, 65536, 0, 0, JOURNAL, GATEWAY, BOOT, 5_000, b"telemetry")
start = struct.pack("<8sII", b"SPILLSEG", 1, 4096)
head = start + struct.pack("<Q", xxhash.xxh3_64_intdigest(start + head, 0)) + head
clock = block(0, 0, 5, 0, 0, 0, 0, BOOT + struct.pack("<QQB7x", 6_000, 1_700_000_000_000_000_000, 1))
identity = struct.pack("<4Q16s3I4B256s64s128x", LANE, 4_000, 10**9, 0, BOOT, 42, 1000, 65536, 3, 18, 4, 0, b"sensor/boiler/temp", b"pump")
lane = block(0, 0, 2, LANE, 0, 0, 0, identity + struct.pack("<QB7x", 0, 0))
frames = frame(b"one", 7_000) + frame(b"second record 16", 7_100) + frame(b"3", 7_200)
data = block(0, 3, 1, LANE, len(frames), 7_300, 7_300, frames)
path = pathlib.Path(sys.argv[1]) / f"{0:010}-{0:020}.spill"
path.write_bytes((head.ljust(4096, b"\0") + clock + lane + data).ljust(65536, b"\0"))
