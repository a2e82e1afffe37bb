"""What stands in a Kafka topic, judged: read by Kafka's own console consumer, compared with the producers' own tallies.

It shares no code with the engine and asks nothing of Spillway: identities are the messages' headers, contents are what the
producers said that they would enqueue.
"""

import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from check_delivery import Verdict, read_tallies  # noqa: E402

ESCAPED = {"n": 10, "t": 9, "r": 13, "\\": 92}


def unescape(text):
    """The bytes that Kafka's BytesDeserializer has printed: \\xNN for what is not printable."""
    out = bytearray()
    at = 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] == "x":
            out.append(int(text[at + 2 : at + 4], 16))
            at += 4
        else:
            out.append(ord(text[at]))
            at += 1
    return bytes(out)


class TopicReport:
    """Counts of what a reader with read_committed sees."""

    def __init__(self, messages, tallies=None):
        self.records = self.doubled = 0
        self.kinds = collections.Counter()
        self.identities = set()
        self.offsets = collections.defaultdict(list)
        self.partitions = collections.defaultdict(set)
        verdict = Verdict()
        for partition, _, headers, key, value in messages:
            self.kinds[headers["spillway-kind"]] += 1
            if headers["spillway-kind"] != "record":
                continue
            self._take(partition, headers, key)
            if headers["spillway-topic"].startswith("demo/"):
                verdict.take(unescape(value))
        self.altered, self.disordered, self.lost, self.foreign = verdict.altered, verdict.disordered, 0, 0
        if tallies is not None:
            self.lost = verdict.lost(read_tallies(tallies))
            self.foreign = verdict.foreign
        # A key stands in one partition, or it has no order.
        self.split_keys = sum(len(partitions) > 1 for partitions in self.partitions.values())

    def _take(self, partition, headers, key):
        identity = (headers["spillway-gateway"], headers["spillway-journal"], headers["spillway-stream"], int(headers["spillway-offset"]))
        self.records += 1
        self.doubled += identity in self.identities
        self.identities.add(identity)
        self.partitions[key].add(partition)
        assert key == f"{headers['spillway-gateway-name']}/{headers['spillway-topic']}", key

    def holes(self):
        """Offsets that are missing between a journal's first and last."""
        offsets = collections.defaultdict(set)
        for gateway, journal, stream, offset in self.identities:
            offsets[gateway, journal, stream].add(offset)
        return sum(max(some) - min(some) + 1 - len(some) for some in offsets.values())

    def facts(self):
        return {
            "records": self.records, "doubled": self.doubled, "lost": self.lost, "foreign": self.foreign,
            "altered": self.altered, "disordered": self.disordered, "holes": self.holes(), "split_keys": self.split_keys,
            "kinds": dict(self.kinds),
        }  # fmt: skip

    def broken(self):
        facts = self.facts()
        return {key: value for key, value in facts.items() if key not in ("records", "kinds") and value != 0}
