"""The tables, as rows of text: for stdout and for the page alike."""

import dataclasses
import statistics

from report.figures import QUANTILES

NUMBER_CHARACTERS_MAX = 12
LOSSES = {"anything": "no sync", "batch": "each 1,000 synced", "interval": "group commit"}


@dataclasses.dataclass
class Table:
    title: str
    note: str
    head: list
    rows: list


def number(value, digits=0):
    if value is None:
        return "-"
    return f"{value:,.{digits}f}"


def short(value, unit=""):
    """1.2 M, 34 k."""
    if value is None:
        return "-"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {letter}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def enqueue_table(figures, subjects, sizes):
    rows = []
    for size in sizes:
        for subject in subjects:
            for drain in ("agent", "bench"):
                if not figures.index[subject, size, drain]:
                    continue
                values = [figures.median(subject, size, f"per_op/{name}", drain) for name in QUANTILES]
                taker = "the agent, to disk" if drain == "agent" else "a spinning process"
                rows.append([subject, str(size), taker, *(number(value) for value in values)])
    note = "ns for one call, the empty timer pair (subject `timer`) not taken off; median of rounds"
    return Table("Enqueue, operation by operation", note, ["subject", "bytes", "taken by", *QUANTILES], rows)


def transfer_table(figures, subjects, sizes, instructions):
    rows = []
    for size in sizes:
        for subject in subjects:
            if not figures.index[subject, size, "bench"] or subject == "timer":
                continue
            cost, rate, bandwidth, way, memory = (figures.median(subject, size, path) for path in (
                "back_to_back/ns", "back_to_back/records_per_s", "back_to_back/bytes_per_s", "one_way/p50", "memory_bytes"))  # fmt: skip
            count = instructions.get(subject) if size == 64 else None
            rows.append([subject, str(size), number(cost, 1), short(rate), short(bandwidth, "B"), number(way),
                         number(count, 1), short(memory, "B")])  # fmt: skip
    note = "back to back against a spinning consumer; one way with it waiting; memory that the producer's process gains"
    head = ["subject", "bytes", "ns/record", "records/s", "bytes/s", "one way p50 ns", "instructions", "memory"]
    return Table("Back to back, and one way", note, head, rows)


def durable_table(durable):
    rows = []
    keys = dict.fromkeys((line["size"], line["loss"], line["store"]) for line in durable)
    for size, loss, store in sorted(keys, key=lambda key: (key[0], list(LOSSES).index(key[1]))):
        found = [line for line in durable if (line["size"], line["loss"], line["store"]) == (size, loss, store)]
        rate, bandwidth = (statistics.median(line[key] for line in found) for key in ("records_per_s", "bytes_per_s"))
        rows.append([store, str(size), LOSSES[loss], number(rate), short(bandwidth, "B")])
    return Table("Durable append at saturation", "one appending thread; the last sync is in the time",
                 ["store", "bytes", "what is synced", "records/s", "bytes/s"], rows)  # fmt: skip


def google_table(google):
    rows = [[name, number(1e9 / rate, 2), short(rate)] for name, rate in google.items()]
    return Table("Google Benchmark", "one process; without a drain the lane is emptied between batches, outside the measured time",
                 ["benchmark", "ns/record", "records/s"], rows)  # fmt: skip


def bars_table(bars):
    rows = [[bar.verdict, bar.name, bar.measured, bar.rounds] for bar in bars]
    return Table("Bars", "compared inside a round, where both met the same ping-pong", ["", "bar", "measured", "from"], rows)


def left_out_table(left_out):
    return Table("Left out", "", ["subject", "why"], [[name, why] for name, why in sorted(left_out.items())])


def is_number(cell):
    return cell == "-" or cell[:1].isdigit() and len(cell) <= NUMBER_CHARACTERS_MAX


def as_text(table):
    widths = [max(len(row[i]) for row in [table.head, *table.rows]) for i in range(len(table.head))]
    lines = [f"\n== {table.title}" + (f" ({table.note})" if table.note else "")]
    for row in [table.head, *table.rows]:
        # Words to the left, numbers to the right.
        cells = [cell.rjust(width) if is_number(cell) else cell.ljust(width) for cell, width in zip(row, widths)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
