"""The bars: what the product promises of its speed, each printed as 'holds' or 'short' with both numbers.

Every comparison is made inside a round and inside one regime of the cache-line ping-pong; what is judged is the median
over the rounds of the regime that most of them met.
"""

import dataclasses
import statistics

from report.figures import clock_step, median_within_step, value_at

SIZES = (64, 256, 1024)
OURS_AGENT = ("spillway-put", "agent")
OURS = ("spillway-put", "bench")
TIMER = ("timer", "bench")
IDLE_SHARE_MAX = 0.005


@dataclasses.dataclass
class Bar:
    name: str
    measured: str  # both numbers, in words
    verdict: str  # holds, short, reported, or: not measured
    rounds: str = ""


def gathered(pairs):
    """The pairs of the regime that has most of them, and what to say of it."""
    regimes = {}
    for regime, ours, peer in pairs:
        regimes.setdefault(regime, []).append((ours, peer))
    if not regimes:
        return [], ""
    regime = max(regimes, key=lambda name: len(regimes[name]))
    count = len(regimes[regime])
    return regimes[regime], f"{count} {regime} round{'' if count == 1 else 's'}"


def not_measured(name):
    return Bar(name, "", "not measured")


def judge(holds, gated):
    return ("holds" if holds else "short") if gated else "reported"


def above(name, pairs, allowed, gated=True, unit="ns"):
    """Ours at most the other's plus so much."""
    chosen, rounds = gathered(pairs)
    if not chosen:
        return not_measured(name)
    extra = statistics.median(ours - peer for ours, peer in chosen)
    ours, peer = (statistics.median(side) for side in zip(*chosen))
    text = f"{ours:.1f} {unit} against {peer:.1f}: +{extra:.1f}, allowed +{allowed:g}"
    return Bar(name, text, judge(extra <= allowed, gated), rounds)


def at_most(name, pairs, factor, gated=True, unit="ns"):
    """Ours at most so many times the other's."""
    chosen, rounds = gathered(pairs)
    if not chosen:
        return not_measured(name)
    ratio = statistics.median(ours / peer for ours, peer in chosen)
    ours, peer = (statistics.median(side) for side in zip(*chosen))
    text = f"{ours:.1f} {unit} against {peer:.1f}: {ratio:.2f} times, allowed {factor:g}"
    return Bar(name, text, judge(ratio <= factor, gated), rounds)


def at_least(name, pairs, factor, gated=True, unit="ns", cheaper=True):
    """The other's at least so many times ours (cheaper), or ours so many times the other's (faster)."""
    chosen, rounds = gathered(pairs)
    if not chosen:
        return not_measured(name)
    ratio = statistics.median(peer / ours if cheaper else ours / peer for ours, peer in chosen)
    ours, peer = (statistics.median(side) for side in zip(*chosen))
    digits = 1 if unit == "ns" else 0
    text = f"{ours:,.{digits}f} {unit} against {peer:,.{digits}f}: {ratio:.2f} times, wanted {factor:g}"
    return Bar(name, text, judge(ratio >= factor, gated), rounds)


def enqueue_bars(figures):
    step = clock_step(figures.merged_buckets("timer", 64, "bench", "per_op"))

    def p50(line):
        return median_within_step([tuple(pair) for pair in value_at(line, "per_op/buckets") or []], step)

    for size in SIZES:
        gated = size <= 256
        pairs = figures.pairs(size, OURS_AGENT, TIMER, p50)
        yield above(f"enqueue p50, {size} B, agent draining to disk, above the empty timer pair", pairs, 10, gated)
        for quantile, allowed in (("p99", 40), ("p99.9", 100)):
            pairs = figures.pairs(size, OURS_AGENT, TIMER, lambda line, q=quantile: value_at(line, f"per_op/{q}"))
            yield above(f"enqueue {quantile}, {size} B, the same", pairs, allowed, gated)


def back_to_back_bars(figures):
    def cost(line):
        return value_at(line, "back_to_back/ns")

    for size in SIZES:
        yield at_most(f"back to back, {size} B, against the floor ring", figures.pairs(size, OURS, ("floor", "bench"), cost), 1.25)
    for size, factor in zip(SIZES, (50, 15, 5)):
        yield at_least(f"back to back, {size} B, cheaper than iceoryx", figures.pairs(size, OURS, ("iceoryx", "bench"), cost), factor)
    yield at_least("back to back, 64 B, cheaper than Boost message_queue",
                   figures.pairs(64, OURS, ("boost-message-queue", "bench"), cost), 4)  # fmt: skip
    for size in SIZES:
        pairs = figures.pairs(size, OURS, ("boost-spsc", "bench"), cost)
        yield at_least(f"back to back, {size} B, cheaper than boost::lockfree::spsc_queue", pairs, 1, size <= 256)


def one_way_bars(figures):
    for size in SIZES:
        found = []
        for line in figures.index["spillway-put", size, "bench"]:
            half = (line["ping_pong"]["before"] + line["ping_pong"]["after"]) / 2
            if line["regime"] != "moved" and value_at(line, "one_way/p50"):
                found.append((line["regime"], line["one_way"]["p50"], half))
        yield at_most(f"one way p50, {size} B, against half a cache-line round trip", found, 1.3 if size <= 256 else 2.2)


def paced_bars(paced):
    for hz in (1000, 10):
        found = [line for line in paced if line["hz"] == hz]
        if not found:
            yield not_measured(f"paced at {hz} Hz, doorbell rings")
            continue
        rings = sum(line["rings"] for line in found)
        p50 = statistics.median(line["per_op"]["p50"] for line in found)
        text = f"{rings} rings for {sum(line['per_op']['count'] for line in found)} records, p50 {p50:.0f} ns with cold caches"
        yield Bar(f"paced at {hz} Hz, doorbell rings (none allowed at 1 kHz)", text, judge(rings == 0, hz == 1000))


def waking_bars(idle, wakes):
    if not idle:
        yield not_measured("agent idle")
    for line in idle:
        text = f"{100 * line['share']:.2f} % of a core, allowed {100 * IDLE_SHARE_MAX:g} %"
        yield Bar(f"agent idle with {line['lanes']} lanes", text, judge(line["share"] <= IDLE_SHARE_MAX, True))
    for line in wakes:
        state = "asleep on its bell" if line["pause_s"] > 1 else "napping (5 ms)"
        text = f"p50 {line['p50_us']:.0f} µs, max {line['max_us']:.0f} µs of {line['count']}"
        yield Bar(f"put to process-safe, as the producer sees it, the agent {state}", text, "reported")


def drain_bars(drain):
    for size in SIZES:
        found = [line for line in drain if line["size"] == size]
        pairs = [("all", line["ours_ns_per_record"], line["floor_ns_per_record"]) for line in found]
        yield at_most(f"drain into a warm segment, {size} B, against memcpy + XXH3", pairs, 2)


def durable_bars(durable):
    def rates(size, store, loss):
        return {line["round"]: line["records_per_s"] for line in durable
                if (line["size"], line["store"], line["loss"]) == (size, store, loss)}  # fmt: skip

    for size in SIZES:
        ours = rates(size, "spillway", "interval")
        sqlite = rates(size, "sqlite", "batch")
        others = [rates(size, store, "interval") for store in ("lmdb", "rocksdb")]
        best = {turn: max(rate.get(turn, 0) for rate in others) for turn in ours}
        pairs = [("all", ours[turn], sqlite[turn]) for turn in ours if turn in sqlite]
        yield at_least(f"durable append, {size} B, 1 ms group commit, against SQLite FULL by 1,000", pairs, 10, True, "records/s", False)
        pairs = [("all", ours[turn], best[turn]) for turn in ours if best[turn]]
        yield at_least(f"durable append, {size} B, the same, against the better of LMDB and RocksDB", pairs, 5, True, "records/s", False)


def producer_bars(producers, instructions):
    one, ten = ({line["round"]: line for line in producers if line["producers"] == count} for count in (1, 10))
    pairs = [(one[turn]["regime"], ten[turn]["records_per_s"], one[turn]["records_per_s"]) for turn in one
             if turn in ten and one[turn]["regime"] == ten[turn]["regime"] != "moved"]  # fmt: skip
    yield at_least("ten producers together, 64 B, against one", pairs, 0.9, True, "records/s", False)
    name = "instructions per record, 64 B, ten producers against one"
    counts = [instructions.get(key) for key in ("spillway-put", "spillway-put, ten producers")]
    if None in counts:
        yield not_measured(name)
    else:
        yield Bar(name, f"{counts[1]:.1f} against {counts[0]:.1f}", judge(abs(counts[1] - counts[0]) < 1, True))


def elsewhere():
    yield Bar("no system call in an enqueue", "tests/shm/no_syscall_test.py, in ./run test", "see there")
    yield Bar("no allocation in an enqueue", "tests/shm/allocation_test.cc, in ./run test", "see there")


def all_bars(results, figures):
    return [
        *enqueue_bars(figures),
        *paced_bars(results["paced"]),
        *waking_bars(results["idle"], results["wakes"]),
        *back_to_back_bars(figures),
        *one_way_bars(figures),
        *drain_bars(results["drain"]),
        *durable_bars(results["durable"]),
        *producer_bars(results["producers"], results["instructions"]),
        *elsewhere(),
    ]
