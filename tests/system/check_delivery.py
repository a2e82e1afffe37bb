#!/usr/bin/env python3
"""check_delivery.py INBOX TALLIES [--facts FILE] [--json]: was every record delivered once, and in order?

The oracle. It reads two things that no part of Spillway had a hand in together: the tallies that the producers kept in mappings of
their own (intent before each enqueue, done after it, so a kill leaves done <= n <= intent) and the rows of the consumer's
inbox. It shares no code with the engine, and exits 1 if anything was lost, doubled, out of order, altered or rejected.
"""

import argparse
import collections
import json
import pathlib
import sqlite3
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import Tally  # noqa: E402

U16, I32, U32, U64 = (struct.Struct("<" + code).unpack_from for code in ("H", "i", "I", "Q"))


def read_fields(record):
    """(producer, incarnation, sequence, check) of a Measurement: slots 0..3 of a FlatBuffers table."""
    table = U32(record, 0)[0]
    vtable = table - I32(record, table)[0]
    slots = [U16(record, vtable + 4 + 2 * slot)[0] for slot in range(4)]
    readers = (U32, U32, U64, U64)
    return tuple(read(record, table + slot)[0] if slot else 0 for read, slot in zip(readers, slots))


def expected_check(producer, incarnation, sequence):
    """The value that the producer computes from the record's identity, so that altered bytes are seen."""
    mixed = (sequence * 0x9E3779B97F4A7C15 + producer * 0xD1B54A32D192ED03 + incarnation) & (2**64 - 1)
    return mixed ^ (mixed >> 29)


class Verdict:
    def __init__(self):
        self.delivered = self.doubled = self.disordered = self.altered = self.foreign = self.holes = 0
        self.next_sequence = collections.defaultdict(int)
        self.missing = collections.defaultdict(set)
        self.newest_incarnation = collections.defaultdict(int)

    def take(self, payload):
        producer, incarnation, sequence, check = read_fields(payload)
        self.delivered += 1
        if check != expected_check(producer, incarnation, sequence):
            self.altered += 1
            return
        key = (producer, incarnation)
        expected = self.next_sequence[key]
        if incarnation < self.newest_incarnation[producer]:
            self.disordered += 1  # a dead producer's record came after its successor's
        self.newest_incarnation[producer] = max(incarnation, self.newest_incarnation[producer])
        if sequence == expected:
            self.next_sequence[key] = sequence + 1
        elif sequence > expected:
            self.missing[key].update(range(expected, min(sequence, expected + 1_000_000)))
            self.next_sequence[key] = sequence + 1
        elif sequence in self.missing[key]:
            self.missing[key].remove(sequence)
            self.disordered += 1
        else:
            self.doubled += 1

    def lost(self, tallies):
        """Records that a tally says were enqueued and that no row holds, and rows beyond what was ever tried."""
        lost = sum(len(missing) for missing in self.missing.values())
        for key, tally in tallies.items():
            count = self.next_sequence[key]
            lost += max(0, tally.done - count)
            self.foreign += max(0, count - tally.intent)
        self.foreign += sum(1 for key in self.next_sequence if key not in tallies)
        return lost


def read_tallies(folder):
    tallies = {}
    for path in sorted(pathlib.Path(folder).iterdir()):
        index, incarnation = path.name.split(".")
        tallies[int(index), int(incarnation)] = Tally(path)
    return tallies


def read_inbox(path, verdict):
    """Feeds every tally producer's row to the verdict in (stream, journal age, offset) order."""
    inbox = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    journals = inbox.execute(
        "SELECT gateway, stream, journal FROM record GROUP BY gateway, stream, journal ORDER BY MIN(received_at_ns)")
    for gateway, stream, journal in journals.fetchall():
        expected = None
        rows = inbox.execute(
            "SELECT record_offset, topic, payload FROM record WHERE gateway=? AND journal=? AND stream=? "
            "ORDER BY record_offset", (gateway, journal, stream))  # fmt: skip
        for offset, topic, payload in rows:
            verdict.holes += expected is not None and offset != expected
            expected = offset + 1
            if topic.startswith("demo/"):
                verdict.take(payload)
    counts = {
        "rows": inbox.execute("SELECT COUNT(*) FROM record").fetchone()[0],
        "gaps": inbox.execute("SELECT COUNT(*) FROM gap").fetchone()[0],
        "system": inbox.execute("SELECT COUNT(*) FROM record WHERE topic LIKE 'system/%'").fetchone()[0],
    }
    inbox.close()
    return counts


def percentile_ns(histogram, fraction):
    """The upper edge of the bucket that holds the percentile. Buckets: examples/tally_producer/tally.h."""
    total = sum(histogram)
    seen = 0
    for index, count in enumerate(histogram):
        seen += count
        if total and seen >= fraction * total:
            return bucket_edge_ns(index)
    return 0


def bucket_edge_ns(index):
    """16 linear buckets to each power of two: exact below 16 ns, within 6 % above."""
    if index < 16:
        return index
    exponent, step = index // 16, index % 16
    return (16 + step + 1) << (exponent - 1)


def check(inbox, tallies_folder, facts):
    verdict = Verdict()
    counts = read_inbox(inbox, verdict)
    tallies = read_tallies(tallies_folder)
    lost = verdict.lost(tallies)
    histogram = [sum(column) for column in zip(*(tally.histogram for tally in tallies.values()))]
    sensor_lost = max(0, facts.get("sensor_enqueued", 0) - counts["system"])
    return {
        "enqueued": sum(tally.done for tally in tallies.values()) + facts.get("sensor_enqueued", 0),
        "rejected": sum(tally.rejected for tally in tallies.values()) + facts.get("sensor_rejected", 0),
        "process_safe": facts.get("process_safe", counts["rows"]),
        "delivered": counts["rows"],
        "lost": lost + sensor_lost,
        "doubled": verdict.doubled + max(0, counts["system"] - facts.get("sensor_enqueued", counts["system"])),
        "out_of_order": verdict.disordered,
        "altered": verdict.altered + verdict.foreign,
        "offset_holes": verdict.holes,
        "gaps": counts["gaps"],
        "enqueue_p50_ns": percentile_ns(histogram, 0.50),
        "enqueue_p99_ns": percentile_ns(histogram, 0.99),
        "enqueue_p99_9_ns": percentile_ns(histogram, 0.999),
        **{key: facts[key] for key in ("longest_backlog", "drain_time_s", "records_per_s", "kills") if key in facts},
    }


MUST_BE_ZERO = ("rejected", "lost", "doubled", "out_of_order", "altered", "offset_holes", "gaps")


def broken_promises(report):
    return [name for name in MUST_BE_ZERO if report[name]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inbox")
    parser.add_argument("tallies")
    parser.add_argument("--facts", help="JSON file with what only the one who ran the processes can know")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    facts = json.loads(pathlib.Path(arguments.facts).read_text()) if arguments.facts else {}
    report = check(arguments.inbox, arguments.tallies, facts)
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"  {name.replace('_', ' '):<20} {value:>14,}")
    broken = broken_promises(report)
    if broken:
        print(f"BROKEN: {', '.join(broken)} must be 0", file=sys.stderr)
    if not report["delivered"]:
        print("BROKEN: nothing was delivered at all", file=sys.stderr)
    return 1 if broken or not report["delivered"] else 0


if __name__ == "__main__":
    sys.exit(main())
