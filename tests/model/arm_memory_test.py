#!/usr/bin/env python3
"""ARM's ordering: the lane, the doorbell, the stream's tail and the cursor, in the instructions that the compiler makes.

First the model itself (arm_memory.py), on classic tests whose verdicts are in the literature. Then each protocol of shared
memory with a release, an acquire or a fence in it, for ARMv8 (ldar, stlr) and for ARMv7 (dmb): what may never be seen is not
seen, and with any one of its orders weakened it is, or the table says what else forbids it on ARM. That the machine code has
these instructions is shown by tests/arm/ordering_test.py; that no other order of steps hurts, by lane_test.cc.
"""

import sys
import unittest

from arm_memory import allows, executions

# name, threads, registers that may or may not be seen, whether they may.
CLASSICS = [
    ("MP", [["W x 1", "W y 1"], ["R a y", "R b x"]], {"a": 1, "b": 0}, True),
    ("MP+po+addr", [["W x 1", "W y 1"], ["R a y", "R b x addr:a"]], {"a": 1, "b": 0}, True),
    ("MP+dmb+po", [["W x 1", "dmb", "W y 1"], ["R a y", "R b x"]], {"a": 1, "b": 0}, True),
    ("MP+dmb+ctrl", [["W x 1", "dmb", "W y 1"], ["R a y", "branch a", "R b x"]], {"a": 1, "b": 0}, True),
    ("MP+dmb+addr", [["W x 1", "dmb", "W y 1"], ["R a y", "R b x addr:a"]], {"a": 1, "b": 0}, False),
    ("MP+dmb.st+dmb.ld", [["W x 1", "dmb.st", "W y 1"], ["R a y", "dmb.ld", "R b x"]], {"a": 1, "b": 0}, False),
    ("MP+rel+acq", [["W x 1", "W.rel y 1"], ["R.acq a y", "R b x"]], {"a": 1, "b": 0}, False),
    ("MP+rel+acqpc", [["W x 1", "W.rel y 1"], ["R.acqpc a y", "R b x"]], {"a": 1, "b": 0}, False),
    ("SB", [["W x 1", "R a y"], ["W y 1", "R b x"]], {"a": 0, "b": 0}, True),
    ("SB+dmbs", [["W x 1", "dmb", "R a y"], ["W y 1", "dmb", "R b x"]], {"a": 0, "b": 0}, False),
    ("SB+dmb+dmb.st", [["W x 1", "dmb", "R a y"], ["W y 1", "dmb.st", "R b x"]], {"a": 0, "b": 0}, True),
    ("SB+rel-acqs", [["W.rel x 1", "R.acq a y"], ["W.rel y 1", "R.acq b x"]], {"a": 0, "b": 0}, False),
    ("SB+rel-acqpcs", [["W.rel x 1", "R.acqpc a y"], ["W.rel y 1", "R.acqpc b x"]], {"a": 0, "b": 0}, True),
    ("LB", [["R a x", "W y 1"], ["R b y", "W x 1"]], {"a": 1, "b": 1}, True),
    ("LB+data+po", [["R a x", "W y 1 data:a"], ["R b y", "W x 1"]], {"a": 1, "b": 1}, True),
    ("LB+ctrls", [["R a x", "branch a", "W y 1"], ["R b y", "branch b", "W x 1"]], {"a": 1, "b": 1}, False),
    ("LB+rel+data", [["R a x", "W.rel y 1"], ["R b y", "W x 1 data:b"]], {"a": 1, "b": 1}, False),
    ("2+2W", [["W x 1", "W y 2"], ["W y 1", "W x 2"]], {"x": 1, "y": 1}, True),
    ("2+2W+dmbs", [["W x 1", "dmb", "W y 2"], ["W y 1", "dmb", "W x 2"]], {"x": 1, "y": 1}, False),
    ("R+dmbs", [["W x 1", "dmb", "W y 1"], ["W y 2", "dmb", "R a x"]], {"y": 2, "a": 0}, False),
    ("R+rel+po", [["W x 1", "W.rel y 1"], ["W y 2", "R a x"]], {"y": 2, "a": 0}, True),
    ("S+rel+data", [["W x 2", "W.rel y 1"], ["R a y", "W x 1 data:a"]], {"a": 1, "x": 2}, False),
    ("CoRR", [["W x 1"], ["R a x", "R b x"]], {"a": 1, "b": 0}, False),
    ("WRC+data+addr", [["W x 1"], ["R a x", "W y 1 data:a"], ["R b y", "R c x addr:b"]], {"a": 1, "b": 1, "c": 0}, False),
    ("WRC+po+addr", [["W x 1"], ["R a x", "W y 1"], ["R b y", "R c x addr:b"]], {"a": 1, "b": 1, "c": 0}, True),
    ("IRIW+addrs", [["W x 1"], ["W y 1"], ["R a x", "R b y addr:a"], ["R c y", "R d x addr:c"]],
     {"a": 1, "b": 0, "c": 1, "d": 0}, False),
    ("IRIW", [["W x 1"], ["W y 1"], ["R a x", "R b y"], ["R c y", "R d x"]], {"a": 1, "b": 0, "c": 1, "d": 0}, True),
    ("PPOCA", [["W x 1", "dmb", "W y 1"], ["R a y", "branch a", "W z 1", "R b z", "R c x addr:b"]], {"a": 1, "b": 1, "c": 0}, True),
    ("PPOAA", [["W x 1", "dmb", "W y 1"], ["R a y", "W z 1 addr:a", "R b z", "R c x addr:b"]], {"a": 1, "b": 1, "c": 0}, False),
    ("SB+membarrier", [["W x 1", "membarrier", "R a y"], ["W y 1", "R b x"]], {"a": 0, "b": 0}, False),
    ("MP+membarrier", [["W x 1", "membarrier", "W y 1"], ["R a y", "R b x"]], {"a": 1, "b": 0}, False),
]  # fmt: skip

# The mapping of C++'s orders: a line of a protocol that begins with one of these words becomes these instructions.
MAPPINGS = {
    "ARMv8": {"release": ["W.rel {}"], "acquire": ["R.acq {}"], "acquire-rcpc": ["R.acqpc {}"], "fence": ["dmb"]},
    "ARMv7": {"release": ["dmb", "W {}"], "acquire": ["R {}", "dmb"], "acquire-rcpc": ["R {}", "dmb"], "fence": ["dmb"]},
}
RELAXED = {"release": ["W {}"], "acquire": ["R {}"], "fence": [], "membarrier": []}

# name, the threads, what may never be seen, and orders whose loss ARM forgives: line -> why, or 'WORD of thread N on MACHINE'.
PROTOCOLS = [
    ("lane: a record's bytes are there when its commit word is",
     [["W payload 1", "W ticks 1", "W terminator 2", "release commit 1"],
      ["acquire seen commit", "branch seen", "R bytes payload"]],
     {"seen": 1, "bytes": 0}, {}),
    ("lane: behind a committed record stands its terminator, not an older byte",
     [["W terminator 2", "release commit 1"],
      ["acquire seen commit", "branch seen", "acquire next terminator"]],
     {"seen": 1, "next": 0}, {"acquire next terminator": "it is the last in line: nothing here is read behind it"}),
    ("lane: the padding's word publishes the record behind it",
     [["W payload 1", "W word 1", "release padding 1"],
      ["acquire pad padding", "branch pad", "acquire seen word", "branch seen", "R bytes payload"]],
     {"pad": 1, "seen": 0},
     {"acquire seen word": "the padding's acquire is before it"}),
    ("lane: a batch's first word publishes all of it",
     [["W first 1", "W second 1", "W word 1", "release commit 1"],
      ["acquire seen commit", "branch seen", "acquire more word", "branch more", "R bytes second"]],
     {"seen": 1, "more": 0}, {"acquire more word": "the first word's acquire is before it"}),
    ("lane: what was not drained is not written over",
     [["R bytes payload", "release consumed 1"],
      ["acquire room consumed", "branch room", "W payload 2"]],
     {"bytes": 2, "room": 1}, {"acquire room consumed": "a store waits for the branch before it; C++ has no such rule"}),
    ("lane: what the agent appended is there when consumed says so",
     [["W spill 1", "release consumed 1"], ["acquire seen consumed", "branch seen", "R bytes spill"]],
     {"seen": 1, "bytes": 0}, {}),
    ("lane: a waiting producer sees the room or is seen waiting",
     [["W waiting 1", "fence", "acquire room consumed"], ["release consumed 1", "fence", "R waits waiting"]],
     {"room": 0, "waits": 0},
     {"acquire room consumed": "the fences do it", "release consumed 1": "the fences do it"}),
    ("lane: a refused record is counted before consumed is past it",
     [["release refused 1", "release consumed 1"], ["acquire seen consumed", "branch seen", "acquire count refused"]],
     {"seen": 1, "count": 0},
     {"release refused 1": "the release of consumed is behind it", "acquire count refused": "it is the last in line"}),
    ("doorbell: a commit is seen before the sleep, or sees the arming",
     [["release commit 1", "R bell armed"], ["release armed 1", "membarrier", "acquire seen commit"]],
     {"bell": 0, "seen": 0},
     {"release commit 1": "membarrier does it", "release armed 1": "membarrier does it", "acquire seen commit": "membarrier does it"}),
    ("doorbell: the same with a lane that fences by itself, where there is no membarrier",
     [["release commit 1", "fence", "R bell armed"], ["release armed 1", "fence", "acquire seen commit"]],
     {"bell": 0, "seen": 0},
     {"release commit 1": "the fences do it", "release armed 1": "the fences do it", "acquire seen commit": "the fences do it",
      "fence of thread 1 on ARMv8": "an ldar waits for the stlr before it"}),
    ("stream's tail: the block is in the segment when next says so",
     [["W header 1", "W block 1", "release next 1"], ["acquire tail next", "branch tail", "R bytes block"]],
     {"tail": 1, "bytes": 0}, {}),
    ("stream's tail: who sees power-safe sees process-safe",
     [["release next 1", "release durable 1"], ["acquire safe durable", "branch safe", "acquire tail next"]],
     {"safe": 1, "tail": 0},
     {"release next 1": "the release of durable is behind it", "acquire tail next": "it is the last in line"}),
    ("bus guard: an address belongs to the size that was published with it",
     [["W address 1", "release bytes 1"], ["acquire size bytes", "branch size", "R from address"]],
     {"size": 1, "from": 0}, {}),
]  # fmt: skip


def instructions(line, table):
    word, _, rest = line.partition(" ")
    return [form.format(rest) for form in table[word]] if word in table else [line]


def program(threads, mapping, weak=None):
    """The threads' instructions; the line at `weak` (thread, index) has lost its order."""
    return [[instruction for index, line in enumerate(thread)
             for instruction in instructions(line, RELAXED if (number, index) == weak else mapping)]
            for number, thread in enumerate(threads)]  # fmt: skip


class TheModelItself(unittest.TestCase):
    def test_gives_the_verdicts_of_the_literature(self):
        for name, threads, wanted, verdict in CLASSICS:
            with self.subTest(name):
                self.assertEqual(verdict, allows(threads, **wanted))


class Protocols(unittest.TestCase):
    def test_what_may_never_be_seen_is_not_seen(self):
        for name, threads, never, _ in PROTOCOLS:
            for machine, mapping in MAPPINGS.items():
                with self.subTest(name, machine=machine):
                    self.assertTrue(allows(program(threads, mapping)), "it runs at all")
                    self.assertFalse(allows(program(threads, mapping), **never))

    def test_ldapr_for_ldar_would_do(self):
        mapping = {**MAPPINGS["ARMv8"], "acquire": MAPPINGS["ARMv8"]["acquire-rcpc"]}
        for name, threads, never, _ in PROTOCOLS:
            with self.subTest(name):
                self.assertFalse(allows(program(threads, mapping), **never))

    def test_each_order_is_needed(self):
        weakened = 0
        for name, threads, never, forgiven in PROTOCOLS:
            unused = set(forgiven)
            for number, thread in enumerate(threads):
                for index, line in enumerate(thread):
                    if line.split()[0] not in RELAXED:
                        continue
                    for machine, mapping in MAPPINGS.items():
                        with self.subTest(name, machine=machine, weakened=line):
                            seen = allows(program(threads, mapping, (number, index)), **never)
                            keys = {line, f"{line} of thread {number} on {machine}"} & set(forgiven)
                            self.assertEqual(not keys, seen, [forgiven[key] for key in keys] or "nothing else forbids it")
                            unused -= keys
                    weakened += 1
            self.assertFalse(unused, "forgiven, and not in the protocol")
        print(f"{len(PROTOCOLS)} protocols, {weakened} orders weakened", file=sys.stderr)


class Cursor(unittest.TestCase):
    """A cursor's slot is written and read by the kernel, with no order between its words: its checksum alone makes it whole."""

    def test_a_slot_is_the_old_one_the_new_one_or_refused(self):
        # Each word is 0 in the old slot and 2 in the new one; a checksum fits the words that it was made of.
        words = ("sequence", "journal", "offset", "checksum")
        reader = [f"R {word[0]} {word}" for word in words]
        seen = {tuple(dict(outcome)[word[0]] for word in words)
                for outcome in executions([[f"W {word} 2" for word in words], reader])}  # fmt: skip
        self.assertEqual(16, len(seen), "every mixture may be read, so the test shows something")
        accepted = {slot for slot in seen if len(set(slot[:3])) == 1 and slot[3] == slot[0]}
        self.assertEqual({(0, 0, 0, 0), (2, 2, 2, 2)}, accepted)


if __name__ == "__main__":
    unittest.main(verbosity=2)
