"""Reads a stream's records by the rules of docs/format.md alone; shares no code with the product.

records(DIR) yields (offset, lane id, record) of every valid data block, in offset order; lanes(DIR) the declared topics.
"""

import pathlib
import struct

import xxhash

HEADER = struct.Struct("<QIIQIBBHQQQQ")
DATA, LANE, SEAL, GAP = 1, 2, 6, 7
PAGE = 4096


def block_at(segment, at, salt, expected):
    """(kind, count, lane id, stored bytes) of the valid block at this position; nothing if there is none."""
    if at + HEADER.size > len(segment):
        return None
    checksum, stored, raw, base, count, kind, codec, flags, lane, *_ = HEADER.unpack_from(segment, at)
    end = at + HEADER.size + stored
    if end > len(segment) or flags & ~1 or codec or raw != stored or base != expected or not 1 <= kind <= GAP:
        return None
    if checksum != xxhash.xxh3_64_intdigest(segment[at + 8 : end], salt):
        return None
    return kind, count, lane, segment[at + HEADER.size : end]


def blocks(segment):
    magic, version, header_size, checksum, salt, _, expected = struct.unpack_from("<8sIIQQQQ", segment)
    assert (magic, version, header_size) == (b"SPILLSEG", 1, PAGE), "not a segment"
    assert checksum == xxhash.xxh3_64_intdigest(segment[:16] + segment[24:256], 0), "the segment header's checksum"
    at = PAGE
    while True:
        block = block_at(segment, at, salt, expected)
        if block is None and at % PAGE:
            at = -(-at // PAGE) * PAGE
            block = block_at(segment, at, salt, expected)
        if block is None or block[0] == SEAL:
            return
        yield expected, block
        at += -(-(HEADER.size + len(block[3])) // 64) * 64
        expected = struct.unpack_from("<Q", block[3])[0] if block[0] == GAP else expected + block[1]


def segments(folder):
    paths = sorted(pathlib.Path(folder).glob("[0-9]*-*.spill"), key=lambda path: int(path.name.split("-")[0]))
    return [path.read_bytes() for path in paths]


def records(folder):
    for segment in segments(folder):
        for offset, (kind, count, lane, stored) in blocks(segment):
            at = 0
            for number in range(count if kind == DATA else 0):
                size = struct.unpack_from("<I", stored, at)[0] - 1
                yield offset + number, lane, stored[at + 16 : at + 16 + size]
                at += -(-(16 + size) // 16) * 16


def lanes(folder):
    """{lane id: topic}"""
    return {lane: stored[64 : 64 + stored[61]].decode() for segment in segments(folder)
            for _, (kind, _, lane, stored) in blocks(segment) if kind == LANE}  # fmt: skip
