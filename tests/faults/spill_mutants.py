#!/usr/bin/env python3
"""Each sync that core/spill makes, left out, and each order turned round: the fault suite must find every one.

spill_mutants.py --build DIR [--only NAME] [--jobs N]

An edit must fit exactly one place of the sources, or it is stale and the run fails by its name. The edited file alone is
compiled, with the build's own flags, and linked before the library: the tests' objects and everything else stay. Then the
suites run one after the other until one is red. DIR is a configured build with the core's tests in it.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
SPILL = ROOT / "core/spill"
SUITE_LIMIT_S = 240

CUT, KILL, ERROR = "Seeds/RecoveryTest.AfterAPower*", "Seeds/RecoveryTest.AfterAKill*", "Seeds/RecoveryTest.AnError*"
REST = "*-Seeds/RecoveryTest.AfterA*:Seeds/RecoveryTest.AnError*"
LIFE = [("core_stream_test", "*"), ("core_recovery_test", REST), ("core_recovery_test", CUT), ("core_recovery_test", KILL),
        ("core_recovery_test", ERROR)]  # fmt: skip
GAPS = [("core_gap_table_test", "*"), *LIFE]
CURSOR = [("core_cursor_test", "*"), *LIFE]
ROT = [("core_bit_rot_test", "*NewestSegment*"), *LIFE]
REPAIR = [("core_repair_test", "RepairPowerCut.*")]
AGE = [("core_stream_age_test", "*")]
RESERVE = [("core_reserve_test", "*")]
PLACE = [("core_placement_test", "*")]

CHECKED = "SPILLWAY_CHECKED(%s);"


def without(statement):
    return CHECKED % statement, ""


# name, what is broken, suites, file, (old, new)
MUTANTS = [
    ("group_commit_syncs_no_file", "power-safe is said without a sync", LIFE, "stream_sync.cc",
     without("file->sync_data()")),
    ("group_commit_syncs_no_name", "a new segment's name is not synced", LIFE, "stream_sync.cc",
     ("return directory.empty() ? Result<void>{} : env->sync_directory(directory);", "return {};")),
    ("group_commit_forgets_the_segment_before", "only the newest segment is synced", LIFE, "stream_sync.cc",
     ("for (const auto& file : files) SPILLWAY_CHECKED(file->sync_data());", "SPILLWAY_CHECKED(files.back()->sync_data());")),
    ("append_goes_on_in_a_synced_page", "a page that was synced is written again", LIFE, "stream_sync.cc",
     ("    active_->skip_to_next_page();\n    sync_ =", "    sync_ =")),
    ("roll_on_and_on", "any number of segments waits for a sync", LIFE, "stream_sync.cc",
     ("while (unsynced_.size() > 1) {", "while (false) {")),
    ("rewrite_without_sync", "what a failed sync left is not synced in its new place", LIFE, "stream_sync.cc",
     without("copy.segment->file()->sync_data()")),
    ("rewrite_with_an_unsafe_name", "the rewritten segment's name is not synced", LIFE, "stream_sync.cc",
     ("name_segment_safely(info)", "name_segment(info)")),
    ("failed_sync_is_forgotten", "the writer after a kill is not told that a sync failed", LIFE, "stream_sync.cc",
     ("page_->set_suspect(true);", "")),
    ("failed_sync_is_asked_again", "a sync that failed is called done", LIFE, "stream_sync.cc",
     ("if (!outcome) return sync_failed(outcome.error());", "")),
    ("earlier_segments_vouched_for_too_early", "a block says that what is before is safe when it is not", LIFE,
     "stream_roll.cc", ("  const std::uint64_t begin = segment->tail();",
                        "  segment->note_earlier_segments_safe();\n  const std::uint64_t begin = segment->tail();")),
    ("journal_segment_without_sync", "a journal's first segment is not synced", LIFE, "stream_roll.cc",
     without("draft->file()->sync_data()")),
    ("names_are_never_safe", "no segment's name is synced before it is used", LIFE, "stream_roll.cc",
     ("if (auto synced = env_.sync_directory(folder_of(info.path)); !synced) {", "if (Result<void> synced; !synced) {")),
    ("recovered_segments_are_not_synced", "what a killed writer left is called power-safe", LIFE, "stream_open.cc",
     ("    SPILLWAY_CHECKED(file->sync_data());\n  }\n  return {};", "  }\n  return {};")),
    ("known_loss_is_not_written_down", "a loss found at start is in no table", ROT, "stream_open.cc",
     ("if (found.next_offset < next_offset_) {", "if (false) {")),
    ("drop_without_a_gap", "a quota drop is in no table", LIFE, "stream_retention.cc",
     ("if (first < next) {", "if (false) {")),
    ("drop_before_its_gap", "the oldest segment goes before its gap is written down", LIFE, "stream_retention.cc",
     ("  if (first < next) {\n    SPILLWAY_CHECKED(gaps_->record({first, next, reason, env_.utc_ns()}));\n"
      "  }\n  return remove_oldest();",
      "  SPILLWAY_CHECKED(remove_oldest());\n  return gaps_->record({first, next, reason, env_.utc_ns()});")),
    ("aged_by_its_own_begin", "a segment's age is that of its oldest record", AGE, "stream_limits.cc",
     ("  std::size_t next = 1;", "  std::size_t next = 0;")),
    ("aged_while_it_waits_for_a_sync", "what is only in memory is dropped", AGE, "stream_limits.cc",
     ("segments_.size() < 2 || waits_for_sync(segments_.front()) ||", "segments_.size() < 2 ||")),
    ("a_trickle_never_ages", "a segment that is not full is never ended", AGE, "stream_limits.cc",
     ("return wanted && quiet ? roll() : Result<void>{};", "return {};")),
    ("each_boot_begins_anew", "what earlier boots prove of the age is forgotten", AGE, "stream_age.cc",
     ("base_ns_ = at(last_boottime_ns);", "base_ns_ = last.elapsed_ns();")),
    ("records_take_the_reserve", "a full reject-new stream has no room for a new journal", RESERVE, "stream_limits.cc",
     ("return options_.when_full == WhenFull::kDropOldest ||", "return true ||")),
    ("head_that_is_owed_is_forgotten", "records stand behind a lane that their segment does not declare", RESERVE,
     "stream_append.cc", ("      head_is_owed_ = true;\n      return {};", "      return {};")),
    ("freed_names_are_not_synced", "a recycled file is written while its old name may come back", LIFE, "stream_retention.cc",
     without("env_.sync_directory(folder_of(path))")),
    ("acts_on_an_unsynced_cursor", "a segment goes by a cursor that a power cut takes back", LIFE, "stream_retention.cc",
     without("file->sync_data()")),
    ("move_without_sync", "a segment leaves memory before its copy is synced", PLACE, "stream_placement.cc",
     ("return to->sync_data();", "return {};")),
    ("move_without_a_name", "a segment leaves memory before its copy's name is synced", PLACE, "stream_placement.cc",
     ("  return env->sync_directory(directory);", "  return {};")),
    ("move_without_an_anchor", "the first segment that comes to the disk stands behind a hole", PLACE, "stream_placement.cc",
     ("    order.anchor = anchor_bytes(info->base_offset);", "")),
    ("move_is_not_waited_for", "a segment behind others in memory is called power-safe", PLACE, "stream_sync.cc",
     ("clean || memory_comes_first() ||", "clean ||")),
    ("move_behind_any_number", "any number of segments on the disk stands behind others in memory", PLACE, "stream_placement.cc",
     ("if (active_ && !is_active_in_memory() && first_in_memory() != nullptr) {", "if (false) {")),
    ("anchor_is_left_behind", "the last segment leaves the disk before the anchor is there", PLACE, "stream_retention.cc",
     without("anchor_at(std::min(end_limit(segments_, 0), next_offset_))")),
    ("anchor_under_what_memory_held", "what memory held was delivered, and what stands behind it on the disk counts as lost", PLACE,
     "stream_retention.cc", without("anchor_at(segments_[1].base_offset)")),
    ("anchor_without_sync", "an anchor gets its name before it is synced", PLACE, "anchor.cc", without("file->sync_data()")),
    ("anchor_without_a_name", "an anchor's name is not synced", PLACE, "anchor.cc",
     ("  return env.sync_directory(directory);", "  return {};")),
    ("gap_without_sync", "a gap is called written down before it is synced", GAPS, "gap_table.cc",
     without("file_->sync_data()")),
    ("gap_overwrites_an_unsynced_table", "the table that a killed writer left is not synced before the other goes", GAPS,
     "gap_table.cc", ("    // be safe by then.\n    SPILLWAY_CHECKED(file->sync_data());", "")),
    ("gap_in_one_table", "both tables are one: a torn write harms what counts", GAPS, "gap_table.cc",
     ("file_->write(next.sequence % 2 * kTableBytes, bytes)", "file_->write(0, bytes)")),
    ("gap_file_without_a_name", "the gap file's name is not synced", GAPS, "gap_table.cc",
     without("env.sync_directory(folder_of(path))")),
    ("cursor_without_sync", "an acknowledgement is called safe before it is synced", CURSOR, "cursor.cc",
     without("file_->sync_data()")),
    ("cursor_in_one_slot", "both slots are one: a torn write harms what counts", CURSOR, "cursor.cc",
     ("file_->write((1 - safe_index_) * kSlotStride", "file_->write(safe_index_ * kSlotStride")),
    ("cursor_relies_on_an_unsynced_slot", "the slot that a killed uplink left is not synced before the other goes", CURSOR,
     "cursor.cc", ("may be relied on.\n    SPILLWAY_CHECKED(file->sync_data());", "may be relied on.")),
    ("cursor_file_without_a_name", "the cursor file's name is not synced", CURSOR, "cursor.cc",
     without("env.sync_directory(folder_of(path))")),
    ("repaired_without_sync", "a repaired segment takes its place unsynced", REPAIR, "repair.cc",
     ("    at += round_up(buffer.size(), kBlockAlignment);\n  }\n  return into->sync_data();",
      "    at += round_up(buffer.size(), kBlockAlignment);\n  }\n  return {};")),
    ("damaged_file_kept_without_sync", "the damaged file's copy is not synced before the file goes", REPAIR, "repair.cc",
     ("  SPILLWAY_CHECKED(into->sync_data());\n  return env_.sync_directory(directory_);", "  return env_.sync_directory(directory_);")),
    ("repaired_in_place", "the segment's name is without a file for a moment", REPAIR, "repair.cc",
     ("  SPILLWAY_CHECKED(env_.rename(path_of(kRepairName), info.path));",
      "  SPILLWAY_CHECKED(env_.remove(info.path));\n  SPILLWAY_CHECKED(env_.sync_directory(directory_));\n"
      "  SPILLWAY_CHECKED(env_.rename(path_of(kRepairName), info.path));")),
]  # fmt: skip


class Build:
    def __init__(self, folder):
        self.folder = folder
        with open(folder / "compile_commands.json", encoding="utf-8") as file:
            self.compile = {pathlib.Path(entry["file"]): entry["command"] for entry in json.load(file)}
        self.links = {}

    def object_of(self, source, text, scratch):
        mutant = scratch / source.name
        mutant.write_text(text)
        words = shlex.split(self.compile[source])
        words = [word for word in words if word != "-Werror"] + ["-w", "-O1"]
        words[words.index("-o") + 1] = str(scratch / "mutant.o")
        words[words.index(str(source))] = str(mutant)
        subprocess.run(words, cwd=self.folder, check=True)
        return scratch / "mutant.o"

    def link(self, test, mutant, scratch):
        """The test's own link, with the mutant's object before the libraries."""
        if test not in self.links:
            commands = subprocess.run(["ninja", "-t", "commands", "-s", f"bin/{test}"], cwd=self.folder, check=True,
                                      capture_output=True, text=True).stdout  # fmt: skip
            self.links[test] = commands.strip().split(" && ")[1]
        words = shlex.split(self.links[test])
        at = words.index("-o")
        words[at + 1] = str(scratch / test)
        words.insert(at, str(mutant))
        subprocess.run(words, cwd=self.folder, check=True)
        return scratch / test


def first_red(build, suites, mutant, scratch):
    """The suite that found it; nothing if none did."""
    linked = {}
    for test, which in suites:
        if test not in linked:
            linked[test] = build.link(test, mutant, scratch)
        run = subprocess.run([linked[test], f"--gtest_filter={which}", "--gtest_fail_fast", "--gtest_brief=1"], check=False,
                             timeout=SUITE_LIMIT_S, capture_output=True, env={**os.environ, "TMPDIR": str(scratch)})  # fmt: skip
        if run.returncode != 0:
            return f"{test} {which}"
    return None


def try_mutant(build, entry):
    name, what, suites, file, (old, new) = entry
    source = SPILL / file
    text = source.read_text()
    began = time.monotonic()
    if text.count(old) != 1:
        return False, f"{name}: STALE, its edit fits {text.count(old)} places of {file}: write it anew"
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        try:
            red = first_red(build, suites, build.object_of(source, text.replace(old, new), scratch), scratch)
        except subprocess.TimeoutExpired:
            # A busy machine would find everything.
            return False, f"{name}: a suite did not end within {SUITE_LIMIT_S} s: hung by it, or only slow?"
        except subprocess.CalledProcessError as error:
            return False, f"{name}: it does not build: {error}"
    seconds = time.monotonic() - began
    if red:
        return True, f"{name}: found by {red} in {seconds:.0f} s"
    return False, f"{name}: SURVIVED {seconds:.0f} s: {what}"


def control_is_green(build):
    """The sources as they are, by the same way: who is always red would find anything."""
    source = SPILL / "gap_table.cc"
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        same = build.object_of(source, source.read_text(), scratch)
        return first_red(build, [("core_gap_table_test", "*"), ("core_cursor_test", "*"), ("core_stream_test", "*")], same, scratch) is None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--only", help="a part of the mutants' names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    build = Build(arguments.build.resolve())
    chosen = [entry for entry in MUTANTS if not arguments.only or arguments.only in entry[0]]
    if not control_is_green(build):
        print("the suites are red without any mutant")
        return 1
    good = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for found, line in pool.map(lambda entry: try_mutant(build, entry), chosen):
            print(line, flush=True)
            good += found
    print(f"{good} of {len(chosen)} mutants of the spill's write order found")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
