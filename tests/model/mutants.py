#!/usr/bin/env python3
"""Broken copies of the lane's ring headers, each in a namespace of its own. mutants.py WRITER READER OUTPUT

What an order or a store less does, the machine tries by itself at each operation (mutants_test.cc). Here stand the
mistakes that need another line of code: each is an edit that must fit exactly one place of the headers. One that no
longer fits is written down as stale, and the test fails by its name.
"""

import pathlib
import re
import sys

# name, what is broken, (old, new): in either header.
EDITS = [
    ("no_free_header", "a claim may take the terminator's place",
     "return end + core::kFrameHeaderBytes - consumed_seen_ <= capacity_;", "return end - consumed_seen_ <= capacity_;"),
    ("skip_not_counted", "a claim does not count the padding before it",
     "if (!fits(place.end))", "if (!fits(place.end - place.skip))"),
    ("batch_skip_not_counted", "a batch's claim does not count the padding before it",
     "if (!ring_.fits(end_ + skip + frame))", "if (!ring_.fits(end_ + frame))"),
    ("batch_forgets_itself", "a batch's claim does not count the records before it in the batch",
     "if (!ring_.fits(end_ + skip + frame))", "if (!ring_.fits(ring_.position_ + skip + frame))"),
    ("consumed_never_renewed", "the producer never looks at consumed again",
     "consumed_seen_ = consumed_->load(std::memory_order_acquire);", ""),
    ("terminator_at_claimed_end", "the terminator stands behind the claim, not behind the record",
     "position_ + claimed_skip_ + core::frame_bytes(size)};", "position_ + claimed_skip_ + core::frame_bytes(claimed_size_)};"),
    ("position_by_claim", "the position moves by what was claimed",
     "position_ = place.end;\n  claimed_size_ = 0;",
     "position_ += claimed_skip_ + core::frame_bytes(claimed_size_);\n  claimed_size_ = 0;"),
    ("padding_first", "the padding is published before the record behind it",
     "    word_of(frame).store(word, std::memory_order_relaxed);",
     "    word_of(data + place.start).store(core::kCommitPadding, std::memory_order_release);\n"
     "    word_of(frame).store(word, std::memory_order_release);"),
    ("batch_shows_its_first", "a batch writes its first word before it is whole",
     "if (!first || claimed_skip_ != 0) {", "if (!first || claimed_skip_ != 0 || offset == start) {"),
    ("batch_position_too_early", "a batch moves the position before it is published",
     "end_ += claimed_skip_ + core::frame_bytes(claimed_size_);",
     "end_ += claimed_skip_ + core::frame_bytes(claimed_size_);\n  ring_.position_ = end_;"),
    ("claim_writes_through", "a claim zeroes the word behind the free header, too",
     "  prefetch_behind(place.end, frame);",
     "  word_at(offset_of(place.end + 16)).store(0, std::memory_order_relaxed);"),
    ("resume_without_spill", "the position comes from shared memory alone",
     "consume(std::max(consumed, spilled_end));", "consume(consumed);"),
    ("resume_without_publishing", "a restarted agent does not publish where it is",
     "consume(std::max(consumed, spilled_end));", "position_ = std::max(consumed, spilled_end);"),
    ("walk_skips_padding_twice", "a run that ends before padding counts the padding twice",
     "const std::uint64_t length = skipped + run.bytes + run.padding;",
     "const std::uint64_t length = skipped + run.bytes + 2 * run.padding;"),
    ("walk_forgets_what_it_skipped", "a run behind padding does not count the padding",
     "const std::uint64_t length = skipped + run.bytes + run.padding;",
     "const std::uint64_t length = run.bytes + run.padding;"),
    ("walk_reads_through", "a walk does not stop where nothing is committed",
     "if (word == core::kCommitNothing) return {at - offset, 0, WalkEnd::kEmpty, nullptr};",
     "if (word == core::kCommitNothing && at == offset) return {0, 0, WalkEnd::kEmpty, nullptr};"),
]  # fmt: skip


def body_of(header):
    """A header's text without its includes and its pragma: those stand once, in front."""
    return re.sub(r"^#(include|pragma).*\n", "", header, flags=re.MULTILINE)


def edited(texts, old, new):
    """The texts with the edit; nothing if it does not fit exactly one place."""
    if sum(text.count(old) for text in texts) != 1:
        return None
    return [text.replace(old, new) for text in texts]


def main():
    headers = [pathlib.Path(name).read_text() for name in sys.argv[1:3]]
    texts = [body_of(header) for header in headers]
    # A broken line may leave a variable unused: no warnings.
    parts = ["// Made by tests/model/mutants.py. Do not edit.\n#pragma once\n#pragma GCC system_header\n"]
    parts += sorted({line + "\n" for header in headers for line in re.findall(r"^#include.*", header, re.MULTILINE)})
    lines = []
    for name, what, old, new in EDITS:
        mutant = edited(texts, old, new)
        if mutant:
            parts += [text.replace("namespace spillway::shm {", f"namespace spillway::shm::{name} {{") for text in mutant]
        lines.append(f'  {"MUTANT" if mutant else "STALE"}({name}, "{what}") \\')
    parts.append("\n#define SPILLWAY_EACH_MUTANT(MUTANT, STALE) \\\n" + "\n".join(lines) + "\n\n")
    pathlib.Path(sys.argv[3]).write_text("".join(parts))


if __name__ == "__main__":
    main()
