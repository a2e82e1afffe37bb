"""From single measurements to figures: medians over rounds, and comparisons inside a round.

A measurement is one JSON line of a program with `round` and `regime` added. Two measurements are compared only where
they are of one round and of one regime, because the host moves the cores and that alone is worth a factor of 2 to 8.
"""

import collections
import statistics

QUANTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")


def value_at(line, path):
    for key in path.split("/"):
        line = line.get(key) if isinstance(line, dict) else None
        if line is None:
            return None
    return line


class Figures:
    def __init__(self, lines):
        self.lines = lines
        counted = collections.Counter(line["regime"] for line in lines if line["regime"] != "moved")
        self.regimes = dict(counted)
        self.main_regime = counted.most_common(1)[0][0] if counted else "far"
        self.index = collections.defaultdict(list)
        for line in lines:
            self.index[line["subject"], line["size"], line["drain"]].append(line)

    def of(self, subject, size, drain="bench", regime=None):
        found = self.index[subject, size, drain]
        return [line for line in found if line["regime"] == (regime or self.main_regime)]

    def median(self, subject, size, path, drain="bench"):
        """Of the main regime; where the subject never met it, of whatever there is."""
        lines = self.of(subject, size, drain) or self.index[subject, size, drain]
        values = [value for value in (value_at(line, path) for line in lines) if value is not None]
        return statistics.median(values) if values else None

    def pairs(self, size, ours, peer, read):
        """(regime, our value, the peer's) for each round in which both met the same regime. ours, peer: (subject, drain)."""
        found = []
        for mine in self.index[ours[0], size, ours[1]]:
            for other in self.index[peer[0], size, peer[1]]:
                alike = mine["round"] == other["round"] and mine["regime"] == other["regime"] != "moved"
                values = (read(mine), read(other)) if alike else (None, None)
                if None not in values:
                    found.append((mine["regime"], *values))
        return found

    def merged_buckets(self, subject, size, drain, part):
        """All rounds' counts of the main regime together, for a plot."""
        counts = collections.Counter()
        for line in self.of(subject, size, drain) or self.index[subject, size, drain]:
            for value, count in value_at(line, f"{part}/buckets") or []:
                counts[value] += count
        return sorted(counts.items())


def clock_step(buckets):
    """The step in which the counter is read, from the values of empty timer pairs; 0 if there is none to see."""
    total = sum(count for _, count in buckets)
    common = [value for value, count in buckets if count > total / 1000]
    gaps = [after - before for before, after in zip(common, common[1:])]
    return min((gap for gap in gaps if gap > 3.0), default=0.0)


def median_within_step(buckets, step):
    """The 50th percentile. Where the counter steps, a constant duration reads as one of two values, and only their mean
    says what it is: then the mean of the readings within one and a half steps of the median."""
    total = sum(count for _, count in buckets)
    if total == 0:
        return None
    below, middle = 0, buckets[-1][0]
    for value, count in buckets:
        below += count
        if below >= total / 2:
            middle = value
            break
    near = [(value, count) for value, count in buckets if abs(value - middle) <= 1.5 * step]
    return sum(value * count for value, count in near) / sum(count for _, count in near)
