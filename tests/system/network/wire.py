"""The native link's bytes, written and read from uplink/protocol.fbs and docs/format.md alone: FlatBuffers by hand, and blocks.

Shares no code with the engine. A table is a dict {slot: value}; a value is a Scalar, an Id, bytes ([ubyte]), a str, a Table, or a
list of Tables. read() gives the same back, as what its accessor says it is.
"""

import struct

import xxhash

HELLO, WELCOME, BLOCKS, GAP, ACK, REFUSAL = range(1, 7)
DATA, LANE, CLOCK = 1, 2, 5
DELIVERED = 1


# --- writing a FlatBuffer: each thing stands behind the one that points to it ---


class Scalar:
    def __init__(self, code, value):
        self.bytes = struct.pack("<" + code, value)


class Id:
    """A struct of 16 bytes, which stands in its table."""

    def __init__(self, value):
        self.bytes = bytes(value)


class Table(dict):
    pass


def u8(value):
    return Scalar("B", value)


def u16(value):
    return Scalar("H", value)


def u64(value):
    return Scalar("Q", value)


class Writer:
    def __init__(self):
        self.out = bytearray(4)

    def pad(self, alignment, ahead=0):
        while (len(self.out) + ahead) % alignment:
            self.out.append(0)

    def point(self, at):
        struct.pack_into("<I", self.out, at, len(self.out) - at)

    def table(self, table, pointer):
        inline, size = {}, 4
        # The largest first, so that each is aligned; an Id's bytes need no alignment.
        for slot, value in sorted(table.items(), key=lambda item: -self.alignment(item[1])):
            width = len(value.bytes) if isinstance(value, (Scalar, Id)) else 4
            size = -(-size // self.alignment(value)) * self.alignment(value)
            inline[slot], size = size, size + width
        slots = max(table, default=-1) + 1
        self.pad(2)
        vtable = len(self.out)
        self.out += struct.pack("<HH", 4 + 2 * slots, size)
        self.out += b"".join(struct.pack("<H", inline.get(slot, 0)) for slot in range(slots))
        self.pad(8)
        self.point(pointer)
        at = len(self.out)
        self.out += struct.pack("<i", at - vtable) + bytes(size - 4)
        for slot, value in table.items():
            place = at + inline[slot]
            if isinstance(value, (Scalar, Id)):
                self.out[place : place + len(value.bytes)] = value.bytes
            else:
                self.behind(value, place)

    @staticmethod
    def alignment(value):
        if isinstance(value, Id):
            return 1
        return len(value.bytes) if isinstance(value, Scalar) else 4

    def behind(self, value, pointer):
        if isinstance(value, Table):
            return self.table(value, pointer)
        self.pad(4)
        self.point(pointer)
        if isinstance(value, (bytes, bytearray)):
            self.out += struct.pack("<I", len(value)) + value
        elif isinstance(value, str):
            self.out += struct.pack("<I", len(value.encode())) + value.encode() + b"\0"
        else:
            start = len(self.out) + 4
            self.out += struct.pack("<I", len(value)) + bytes(4 * len(value))
            for index, entry in enumerate(value):
                self.table(entry, start + 4 * index)
        return None


def message(kind, body):
    writer = Writer()
    writer.table(Table({0: u8(kind), 1: body}), 0)
    return bytes(writer.out)


# --- reading one ---


class View:
    """A table that was received; each accessor gives a default where the field is absent."""

    def __init__(self, data, at):
        self.data, self.at = data, at
        self.vtable = at - struct.unpack_from("<i", data, at)[0]
        self.slots = (struct.unpack_from("<H", data, self.vtable)[0] - 4) // 2

    def place(self, slot):
        if slot >= self.slots:
            return 0
        offset = struct.unpack_from("<H", self.data, self.vtable + 4 + 2 * slot)[0]
        return self.at + offset if offset else 0

    def number(self, slot, code):
        place = self.place(slot)
        return struct.unpack_from("<" + code, self.data, place)[0] if place else 0

    def id(self, slot):
        place = self.place(slot)
        return self.data[place : place + 16]

    def target(self, slot):
        place = self.place(slot)
        return place + struct.unpack_from("<I", self.data, place)[0] if place else 0

    def table(self, slot):
        return View(self.data, self.target(slot))

    def bytes(self, slot):
        at = self.target(slot)
        if not at:
            return b""
        size = struct.unpack_from("<I", self.data, at)[0]
        return self.data[at + 4 : at + 4 + size]

    def text(self, slot):
        return self.bytes(slot).decode()

    def tables(self, slot):
        at = self.target(slot)
        count = struct.unpack_from("<I", self.data, at)[0] if at else 0
        return [View(self.data, at + 4 + 4 * i + struct.unpack_from("<I", self.data, at + 4 + 4 * i)[0]) for i in range(count)]


def read(data):
    """(kind, View of the body)"""
    root = View(data, struct.unpack_from("<I", data, 0)[0])
    return root.number(0, "B"), root.table(1)


# --- the messages ---


def hello(gateway, journal, first=0, following=0, stream="telemetry", version=1, name="test/liar"):
    """One stream with one journal."""
    held = Table({0: Id(journal), 1: u64(0), 2: u64(first), 3: u64(following)})
    streams = [Table({0: stream, 1: u64(first), 2: [held]})]
    return message(HELLO, Table({0: u16(version), 1: Id(gateway), 2: name, 3: "cloud", 4: streams}))


def welcome(wanted, window=4 << 20, version=1):
    """`wanted`: for each stream a list of (journal, next offset)."""
    streams = [Table({0: u16(index), 1: [Table({0: Id(journal), 1: u64(offset)}) for journal, offset in journals]})
               for index, journals in enumerate(wanted)]  # fmt: skip
    return message(WELCOME, Table({0: u16(version), 1: u64(window), 2: streams}))


def ack(journal, following, stream=0, durability=DELIVERED):
    return message(ACK, Table({0: u16(stream), 1: Id(journal), 2: u64(following), 3: u8(durability)}))


def blocks(journal, salt, data, stream=0):
    return message(BLOCKS, Table({0: u16(stream), 1: Id(journal), 2: [Table({0: u64(salt), 1: data})]}))


def gap(journal, first, following, reason=1, stream=0, count=None):
    count = following - first if count is None else count
    return message(GAP, Table({0: u16(stream), 1: Id(journal), 2: u64(first), 3: u64(following), 4: u8(reason), 5: u64(count)}))


def refusal(code, text):
    return message(REFUSAL, Table({0: u8(code), 1: text}))


# --- blocks ---


def block(salt, base, count, kind, stored, lane=0, lane_end=0, anchor=0, raw=None):
    raw = len(stored) if raw is None else raw
    rest = struct.pack("<IIQIBBHQQQQ", len(stored), raw, base, count, kind, 0, 0, lane, lane_end, anchor, anchor)
    return struct.pack("<Q", xxhash.xxh3_64_intdigest(rest + stored, salt)) + rest + stored


def frames(records):
    return b"".join(struct.pack("<IHHQ", len(record) + 1, 0, 0, 1) + record + bytes(-len(record) % 16) for record in records)


def lane_block(salt, base, lane, topic="liar/one", producer="liar"):
    identity = struct.pack("<4Q16s3I4B256s64s128x", lane, 1, 10**9, 0, bytes(16), 1, 0, 65536, 3, len(topic), len(producer), 0,
                           topic.encode(), producer.encode())  # fmt: skip
    return block(salt, base, 0, LANE, identity + struct.pack("<QB7x", 0, 0), lane)


def data_block(salt, base, records, lane, lane_end=1 << 20):
    return block(salt, base, len(records), DATA, frames(records), lane, lane_end, 2)


def data_end(views):
    """The offset behind the last record in the runs of a Blocks message; 0 if it has none."""
    end = 0
    for run in views:
        data, at = run.bytes(1), 0
        while at < len(data):
            stored, _, base, count, kind = struct.unpack_from("<IIQIB", data, at + 8)
            end = max(end, base + count) if kind == DATA else end
            at += 64 + stored
    return end
