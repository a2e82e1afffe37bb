"""The oracle of the capture's tests: reads the captured records as a person would (`spillway tail --json`), checks that none
is doubled and that order holds, and replays them into a replica that is compared with the source.

Nothing here knows how the capture works inside, nor how the spill is laid out.
"""

import base64
import collections
import json
import subprocess

CHANGES = ("insert", "update", "delete", "snapshot")


class Doubled(AssertionError):
    """A record came twice."""


def tail(binaries, directory):
    """All records of the stream in this directory, in order, as the `tail` command prints them."""
    command = [str(binaries / "spillway"), "tail", str(directory), "--json"]
    output = subprocess.run(command, check=True, capture_output=True, timeout=600).stdout
    for line in output.splitlines():
        document = json.loads(line)
        assert "gap" not in document, f"the stream has a gap: {document}"
        yield document


def plain(value):
    """A value as Python has it: bytes are told from text."""
    kind = value["kind"]
    if kind == "nothing":
        return None
    if kind == "integer":
        return value["integer"]
    if kind == "real":
        return float(value["real"]) if value["real"] is not None else None
    if kind == "text" and "text" in value:
        return value["text"]
    data = bytes(value.get("blob", b""))
    return data.decode() if kind == "text" else data


class Change:
    """One change, of one record or of several that were put together again."""

    def __init__(self, record):
        self.record = record
        self.table = record["table"]
        self.operation = record["operation"]
        self.key_in_source = (record["epoch"], record["position"], record["index"])
        self.parts = 0
        self.sides = {side: collections.OrderedDict() for side in ("key", "old", "new")}
        self.kinds = {side: {} for side in ("key", "old", "new")}
        self.add(record)

    def add(self, record):
        assert record["part"] == self.parts, f"part {record['part']} of {self.key_in_source} comes after {self.parts}"
        self.parts += 1
        self.transaction_end = record["transaction_end"]
        for side, values in self.sides.items():
            for value in record.get(side) or []:
                column = value["column"]
                piece = plain_slice(value)
                if value["at"]:
                    values[column] += piece
                else:
                    values[column] = piece
                self.kinds[side][column] = value["kind"]

    def whole(self):
        if self.parts != self.record["parts"]:
            return False
        for side, values in self.sides.items():
            for column, value in values.items():
                if isinstance(value, bytes) and self.kinds[side][column] == "text":
                    values[column] = value.decode()
        return True


def plain_slice(value):
    """A slice of text is bytes until all of them are there."""
    if value["size"] and value["kind"] in ("text", "blob"):
        return bytes(value.get("blob") or b"")
    return plain(value)


class Captured:
    """All changes of a stream, checked for doubles and for order."""

    def __init__(self, documents):
        self.changes = []
        self.records = 0
        self.maybe_repeated = 0
        seen = set()
        open_changes = {}
        last = {}
        for document in documents:
            record = document.get("record")
            if record is None or "epoch" not in record:
                continue
            self.records += 1
            self.maybe_repeated += record["maybe_repeated"]
            identity = (record["epoch"], record["position"], record["index"], record["part"])
            if identity in seen:
                raise Doubled(f"{identity} came twice: {record}")
            seen.add(identity)
            order = identity[1:]
            place = (record["epoch"], document["topic"])
            assert order > last.get(place, ()), f"{document['topic']}: {order} came behind {last[place]}"
            last[place] = order
            if record["part"] == 0:
                open_changes[document["topic"]] = Change(record)
            else:
                open_changes[document["topic"]].add(record)
            change = open_changes[document["topic"]]
            if change.whole():
                self.changes.append(change)
        self.epochs = sorted({change.record["epoch"] for change in self.changes})

    def in_source_order(self):
        """As the source made them, over all tables; epochs in the order in which they came."""
        epochs = {}
        for change in self.changes:
            epochs.setdefault(change.record["epoch"], len(epochs))
        return sorted(self.changes, key=lambda c: (epochs[c.record["epoch"]], *c.key_in_source[1:]))

    def counts(self):
        return dict(collections.Counter(change.operation for change in self.changes))

    def transactions(self):
        """[(transaction, changes)] in the source's order; each must end with its one last change."""
        groups = []
        for change in self.in_source_order():
            transaction = (change.record["epoch"], change.record["transaction"])
            if not groups or groups[-1][0] != transaction:
                # A snapshot that was cut off ends with its epoch.
                if groups and groups[-1][0][0] == transaction[0]:
                    assert groups[-1][1][-1].transaction_end, f"transaction {groups[-1][0]} has no end"
                groups.append((transaction, []))
            assert not groups[-1][1] or not groups[-1][1][-1].transaction_end, f"{transaction} goes on behind its end"
            groups[-1][1].append(change)
        assert len({transaction for transaction, _ in groups}) == len(groups), "a transaction's changes are not together"
        return groups


class Replica:
    """Tables as dictionaries from key to row, made of changes alone."""

    def __init__(self):
        self.tables = collections.defaultdict(dict)

    def apply(self, change):
        table = self.tables[change.table]
        key = tuple(change.sides["key"].values())
        if change.operation in ("snapshot_begin", "truncate"):
            table.clear()
        elif change.operation == "delete":
            table.pop(key, None)
        elif change.operation in ("insert", "snapshot"):
            table[key] = dict(change.sides["new"])
        elif change.operation == "update":
            table.pop(key, None)
            new = change.sides["new"]
            key_names = list(change.sides["key"])
            table[tuple(new.get(name, old) for name, old in zip(key_names, key))] = dict(new)
        elif change.operation == "schema" and not change.sides["new"]:
            table.clear()
        return self


def encode(value):
    """For messages."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
