"""What the report computes, on made-up measurements with known answers. Run: python3 bench/report/report_test.py."""

import pathlib
import random
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from report import bars, page, table  # noqa: E402
from report.figures import Figures, clock_step, median_within_step, value_at  # noqa: E402
from report.machine import regime  # noqa: E402


def line(turn, subject, cost, kind="far", drain="bench", size=64):
    half = {"near": 60.0, "far": 220.0, "moved": 220.0}[kind]
    return {"round": turn, "subject": subject, "size": size, "drain": drain, "regime": kind, "back_to_back": {"ns": cost},
            "per_op": {"p50": cost, "buckets": [[cost, 10]]}, "ping_pong": {"before": half, "after": half}}  # fmt: skip


def cost(one):
    return value_at(one, "back_to_back/ns")


class Rounds(unittest.TestCase):
    def test_only_measurements_of_one_round_and_one_regime_are_compared(self):
        figures = Figures([
            line(0, "spillway-put", 40), line(0, "floor", 20, "near"),
            line(1, "spillway-put", 44), line(1, "floor", 40),
            line(2, "spillway-put", 44, "moved"), line(2, "floor", 10, "moved"),
            line(3, "spillway-put", 44),
        ])  # fmt: skip
        self.assertEqual(figures.pairs(64, bars.OURS, ("floor", "bench"), cost), [("far", 44, 40)])

    def test_medians_are_of_the_regime_that_most_measurements_met(self):
        figures = Figures([line(turn, "floor", value) for turn, value in enumerate((30, 31, 90))] + [line(3, "floor", 10, "near")])
        self.assertEqual(figures.main_regime, "far")
        self.assertEqual(figures.median("floor", 64, "back_to_back/ns"), 31)

    def test_a_core_that_was_moved_meanwhile_is_seen(self):
        for before, after, kind in ((60, 70, "near"), (230, 210, "far"), (230, 60, "moved")):
            self.assertEqual(regime({"ping_pong": {"before": before, "after": after}}), kind)


class Percentiles(unittest.TestCase):
    def test_a_stepping_clock_does_not_move_the_median(self):
        chance = random.Random(1)
        for true in (31.0, 34.0, 37.5):
            read = [int((chance.random() * 10 + true) // 10) * 10 for _ in range(20000)]
            buckets = sorted((float(value), read.count(value)) for value in set(read))
            self.assertAlmostEqual(median_within_step(buckets, 10.0), true, delta=0.2)

    def test_the_step_is_found(self):
        self.assertAlmostEqual(clock_step([(19.6, 500), (29.8, 9000), (40.1, 500)]), 10.2)
        self.assertEqual(clock_step([(19.6, 500), (20.0, 9000), (20.4, 500)]), 0.0)


class Verdicts(unittest.TestCase):
    def test_each_bar_holds_up_to_its_bound_and_not_beyond(self):
        pairs = [("far", 40.0, 32.0), ("far", 41.0, 33.0), ("far", 39.0, 31.0)]
        for make, allowed, refused in (
            (lambda bound: bars.at_most("b", pairs, bound), 1.26, 1.24),
            (lambda bound: bars.above("b", pairs, bound), 8, 7.9),
            (lambda bound: bars.at_least("b", [(k, peer, ours) for k, ours, peer in pairs], bound), 1.24, 1.26),
            (lambda bound: bars.at_least("b", pairs, bound, True, "records/s", False), 1.24, 1.26),
        ):
            self.assertEqual(make(allowed).verdict, "holds")
            self.assertEqual(make(refused).verdict, "short")

    def test_what_was_not_measured_is_said_and_never_holds(self):
        empty = {"paced": [], "drain": [], "durable": [], "producers": [], "instructions": {}, "idle": [], "wakes": []}
        verdicts = {bar.verdict for bar in bars.all_bars(empty, Figures([]))}
        self.assertEqual(verdicts, {"not measured", "see there"})

    def test_a_ring_at_one_kilohertz_is_short(self):
        paced = [{"hz": hz, "rings": 1, "per_op": {"p50": 100.0, "count": 10}} for hz in (10, 1000)]
        self.assertEqual([bar.verdict for bar in bars.paced_bars(paced)], ["short", "reported"])

    def test_an_agent_that_takes_more_than_half_a_percent_of_a_core_for_nothing_is_short(self):
        judged = [next(bars.waking_bars([{"lanes": 256, "share": share}], [])).verdict for share in (0.005, 0.0051)]
        self.assertEqual(judged, ["holds", "short"])
        wake = {"pause_s": 1.6, "count": 3, "p50_us": 1.0, "max_us": 2.0}
        self.assertEqual([bar.verdict for bar in bars.waking_bars([], [wake])], ["not measured", "reported"])


class Output(unittest.TestCase):
    def test_text_and_page_show_every_cell(self):
        made = table.Table("Title <b>", "note", ["subject", "ns"], [["a & b", "12.5"], ["short", "-"]])
        text = table.as_text(made)
        for cell in ("a & b", "12.5", "short"):
            self.assertIn(cell, text)
        self.assertIn("a &amp; b", page.table_html(made))
        self.assertIn("Title &lt;b&gt;", page.table_html(made))

    def test_a_plot_has_one_curve_for_each_subject_that_was_measured(self):
        drawn = page.plot("p", {"a": [(10.0, 90), (20.0, 10)], "b": [(30.0, 5)], "c": []})
        self.assertEqual(drawn.count("<polyline"), 2)
        self.assertEqual(page.plot("p", {"c": []}), "")


if __name__ == "__main__":
    unittest.main()
