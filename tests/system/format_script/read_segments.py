"""Reads a stream's records by the rules of docs/format.md alone; shares no code with the product but zstd's library.

records(DIR) yields (offset, lane id, record) of every valid data block, in offset order; lanes(DIR) the declared topics.
"""

import ctypes
import ctypes.util
import pathlib
import struct

import xxhash

HEADER = struct.Struct("<QIIQIBBHQQQQ")
DATA, LANE, DICTIONARY, SEAL, GAP = 1, 2, 4, 6, 7
PAGE = 4096
ZSTD = 1


def block_at(segment, at, salt, expected):
    """(kind, count, lane id, stored bytes, raw size, codec) of the valid block at this position; nothing if there is none."""
    if at + HEADER.size > len(segment):
        return None
    checksum, stored, raw, base, count, kind, codec, flags, lane, *_ = HEADER.unpack_from(segment, at)
    end = at + HEADER.size + stored
    if end > len(segment) or flags & ~1 or base != expected or not 1 <= kind <= GAP:
        return None
    if not (raw == stored if codec == 0 else codec == ZSTD and kind == DATA and 0 < stored < raw <= 262144):
        return None
    if checksum != xxhash.xxh3_64_intdigest(segment[at + 8 : end], salt):
        return None
    return kind, count, lane, segment[at + HEADER.size : end], raw, codec


def decoded(stored, raw, dictionaries):
    """What a compressed block stands for, by the dictionary that its zstd frame names."""
    library = ctypes.CDLL(ctypes.util.find_library("zstd"))
    for name in ("ZSTD_createDCtx", "ZSTD_decompress_usingDict", "ZSTD_freeDCtx"):
        getattr(library, name).restype = ctypes.c_void_p
    out = ctypes.create_string_buffer(raw)
    number = library.ZSTD_getDictID_fromFrame(stored, ctypes.c_size_t(len(stored)))
    dictionary = dictionaries[number] if number else b""
    context = ctypes.c_void_p(library.ZSTD_createDCtx())
    size = library.ZSTD_decompress_usingDict(context, out, ctypes.c_size_t(raw), stored, ctypes.c_size_t(len(stored)),
                                             dictionary, ctypes.c_size_t(len(dictionary)))  # fmt: skip
    library.ZSTD_freeDCtx(context)
    assert size == raw, "a compressed block decodes to something else than its raw size"
    return out.raw


def blocks(segment):
    """(offset, (kind, count, lane id, bytes)) of each valid block; of a compressed one the bytes that it stands for."""
    magic, version, header_size, checksum, salt, _, expected = struct.unpack_from("<8sIIQQQQ", segment)
    assert (magic, version, header_size) == (b"SPILLSEG", 1, PAGE), "not a segment"
    assert checksum == xxhash.xxh3_64_intdigest(segment[:16] + segment[24:256], 0), "the segment header's checksum"
    at = PAGE
    dictionaries = {}
    while True:
        block = block_at(segment, at, salt, expected)
        if block is None and at % PAGE:
            at = -(-at // PAGE) * PAGE
            block = block_at(segment, at, salt, expected)
        if block is None or block[0] == SEAL:
            return
        kind, count, lane, stored, raw, codec = block
        if kind == DICTIONARY:
            number = struct.unpack_from("<I", stored, 4)[0]
            assert number == 32768 + xxhash.xxh3_64_intdigest(stored[8:], 0) % 2147450880, "the dictionary's id"
            dictionaries[number] = stored
        yield expected, (kind, count, lane, decoded(stored, raw, dictionaries) if codec else stored)
        at += -(-(HEADER.size + len(stored)) // 64) * 64
        expected = struct.unpack_from("<Q", stored)[0] if kind == GAP else expected + count


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
