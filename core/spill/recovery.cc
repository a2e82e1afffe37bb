#include "core/spill/recovery.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <set>

#include "core/spill/anchor.h"
#include "core/spill/paths.h"
#include "core/spill/stream_listing.h"
#include "spillway/core/crash_guard.h"

namespace spillway::core {

namespace {

constexpr int kAsideTriesMax = 8;

/// True if nothing was ever written where a block would stand.
Result<bool> is_blank_at(env::Env& env, const SegmentInfo& info, std::uint64_t position) {
  SPILLWAY_TRY(file, env.open(info.path, env::OpenMode::kRead));
  std::array<std::byte, kBlockHeaderBytes> first{};
  SPILLWAY_TRY(got, file->read(position, first));
  return std::all_of(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(got),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

/// True if a block of the segment says that everything before the segment was power-safe.
Result<bool> vouches_for_earlier(env::Env& env, const SegmentInfo& info) {
  SPILLWAY_TRY(file, env.open(info.path, env::OpenMode::kRead));
  FileWindow window(std::move(file));
  SegmentScan scan(info.header);
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) return false;
    if ((block->header.flags() & kEarlierSegmentsSafe) != 0) return true;
  }
}

/// True if the only segment was begun while others, in memory, stood between the anchor and it.
Result<bool> is_behind_the_anchor(env::Env& env, const FoundStream& found, const GapTable& gaps) {
  if (found.segments.empty() || !found.anchor) return false;
  const SegmentInfo& only = found.segments.back();
  const std::uint64_t begin = found.anchor->base_offset();
  if (begin >= only.base_offset || cover(gaps.all(), begin, only.base_offset)) return false;
  if (!only.readable) return true;
  if (only.header.journal_first_offset() == only.base_offset) return false;
  SPILLWAY_TRY(vouches, vouches_for_earlier(env, only));
  return !vouches;
}

/// True if the segment before the newest, as far as it is on the disk, does not reach it: nothing in
/// the newest was power-safe then.
Result<bool> is_behind_a_hole(env::Env& env, FoundStream& found, const GapTable& gaps,
                              CrashGuard& guard) {
  if (found.segments.size() < 2) return is_behind_the_anchor(env, found, gaps);
  const SegmentInfo& newest = found.segments.back();
  SegmentInfo& before = found.segments[found.segments.size() - 2];
  SPILLWAY_CHECKED(inspect_segment(env, before));
  if (newest.readable) {
    // A journal's first segment begins when all before it is power-safe.
    if (before.readable && before.journal() != newest.journal()) return false;
    SPILLWAY_TRY(vouches, vouches_for_earlier(env, newest));
    if (vouches) return false;
  }
  // Another unreadable header is damage, which takes nothing from the newest.
  if (!before.readable) return before.never_begun;
  guard.begin(before.path);
  SPILLWAY_TRY(end, end_of_segment(env, before));
  return end < newest.base_offset && !cover(gaps.all(), end, newest.base_offset);
}

/// True if the stream's end was written in this boot: what a process wrote is there. The page's
/// journal was begun in this boot, so a segment of an earlier one ends the search.
Result<bool> is_of_this_boot(env::Env& env, FoundStream& found, const JournalFile& page) {
  if (!page.found()) return false;
  const Uuid named = uuid_of(*page.found()->journal());
  for (std::size_t index = found.segments.size(); index-- > 0;) {
    SegmentInfo& info = found.segments[index];
    SPILLWAY_CHECKED(inspect_segment(env, info));
    if (!info.readable) continue;
    if (info.journal() == named) return true;
    if (uuid_of(*info.header.boot_id()) != env.boot_id()) return false;
  }
  return false;
}

/// Removes the newest segment, or sets it aside as damaged.
Result<void> drop_newest(env::Env& env, const std::string& directory, FoundStream& found,
                         bool damaged) {
  const SegmentInfo newest = found.segments.back();
  if (damaged) {
    SPILLWAY_CHECKED(env.rename(newest.path, newest.path + kDamagedSuffix));
    found.damage = newest.path + ": " + newest.problem;
    found.lost_until = std::max(found.lost_until, newest.base_offset);
  } else {
    SPILLWAY_CHECKED(env.remove(newest.path));
  }
  SPILLWAY_CHECKED(env.sync_directory(directory));
  found.segments.pop_back();
  return {};
}

/// Out of the way of those that count: under this name nothing else could stand.
Result<void> set_aside(env::Env& env, const std::string& path, const std::string& why,
                       FoundStream& found) {
  std::string target = path + kDamagedSuffix;
  for (int tries = 0; tries < kAsideTriesMax; ++tries) {
    SPILLWAY_TRY(taken, env.exists(target));
    if (!taken) break;
    target += kDamagedSuffix;
  }
  found.damage = path + ": " + why;
  SPILLWAY_CHECKED(env.rename(path, target));
  return env.sync_directory(folder_of(path));
}

/// Directories, sockets and the like under the names of segments.
Result<void> set_no_files_aside(env::Env& env, const std::string& directory, FoundStream& found) {
  SPILLWAY_TRY(names, env.list(directory));
  SPILLWAY_TRY(sized, env.list_sizes(directory));
  std::set<std::string> files;
  for (const auto& file : sized) files.insert(file.name);
  for (const std::string& name : names) {
    SegmentInfo info;
    if (files.contains(name) || !parse_segment_file_name(name, info.sequence, info.base_offset)) {
      continue;
    }
    SPILLWAY_CHECKED(set_aside(env, join(directory, name), "it is no file", found));
  }
  return {};
}

/// True if a segment of this name may have been written behind `before` (null: none is known).
bool could_follow(const SegmentInfo* before, const SegmentInfo& info) {
  constexpr std::uint64_t kReachedByNone = kSegmentNumberEnd / 2;
  constexpr std::uint64_t kSegmentBytesLimit = 1ULL << 32;
  constexpr std::uint64_t kStepsMax = 1 << 20;  // numbers are given one by one; files may be lost
  constexpr std::uint64_t kRecordsPerBlockMax = kDecodedBytesMax / frame_bytes(1);
  if (info.sequence >= kReachedByNone || info.base_offset >= kReachedByNone) return false;
  if (before == nullptr || info.base_offset <= before->base_offset) return true;
  const std::uint64_t steps = info.sequence - before->sequence;
  const std::uint64_t bytes = std::min(std::max(before->bytes, info.bytes), kSegmentBytesLimit);
  const std::uint64_t records = bytes / kBlockHeaderBytes * kRecordsPerBlockMax;
  return steps <= kStepsMax && info.base_offset - before->base_offset <= steps * records;
}

/// An unreadable file whose name no writer of this stream can have given it: neither offsets nor numbers
/// go up to it.
Result<void> set_strangers_aside(env::Env& env, FoundStream& found) {
  auto& segments = found.segments;
  // The listing has inspected the newest readable one, and all behind it.
  const auto known = std::find_if(segments.rbegin(), segments.rend(),
                                  [](const SegmentInfo& info) { return info.readable; });
  const SegmentInfo* before = known == segments.rend() ? nullptr : &*known;
  const auto behind = before == nullptr ? segments.begin() : known.base();
  for (auto info = behind; info != segments.end(); ++info) {
    if (could_follow(before, *info)) continue;
    SPILLWAY_CHECKED(
        set_aside(env, info->path, info->problem + ", and its name is none of this stream", found));
  }
  segments.erase(
      std::remove_if(behind, segments.end(),
                     [before](const SegmentInfo& info) { return !could_follow(before, info); }),
      segments.end());
  return {};
}

/// The segment that has killed three agents in a row, if there is one.
Result<void> set_deadly_aside(env::Env& env, const std::string& directory, FoundStream& found,
                              const CrashGuard& guard, GapTable& gaps) {
  auto& segments = found.segments;
  const auto deadly = std::find_if(segments.begin(), segments.end(), [&](const SegmentInfo& info) {
    return guard.is_deadly(info.path);
  });
  if (deadly == segments.end()) return {};
  deadly->problem = "three agents in a row have died reading it";
  if (deadly + 1 == segments.end()) return drop_newest(env, directory, found, true);
  const auto index = static_cast<std::size_t>(deadly - segments.begin());
  const Gap lost{deadly->base_offset, end_limit(segments, index), format::GapReason::damage,
                 env.utc_ns()};
  SPILLWAY_CHECKED(gaps.record(lost));
  found.damage = deadly->path + ": " + deadly->problem;
  SPILLWAY_CHECKED(env.rename(deadly->path, deadly->path + kDamagedSuffix));
  SPILLWAY_CHECKED(env.sync_directory(directory));
  segments.erase(deadly);
  return {};
}

/// Until the newest segment is one that counts.
Result<void> drop_newest_that_do_not_count(env::Env& env, const std::string& directory,
                                           FoundStream& found, const JournalFile& page,
                                           const GapTable& gaps, CrashGuard& guard) {
  while (!found.segments.empty()) {
    SegmentInfo& newest = found.segments.back();
    SPILLWAY_CHECKED(inspect_segment(env, newest));
    guard.begin(newest.path);
    bool unwritten = newest.never_begun;
    if (!unwritten && !newest.readable) {
      SPILLWAY_TRY(blank, is_blank_at(env, newest, kSegmentHeaderBytes));
      unwritten = blank;
    }
    if (!unwritten) {
      SPILLWAY_TRY(of_this_boot, is_of_this_boot(env, found, page));
      SPILLWAY_TRY(behind_a_hole,
                   of_this_boot ? Result<bool>(false) : is_behind_a_hole(env, found, gaps, guard));
      unwritten = behind_a_hole;
    }
    if (!unwritten && newest.readable) return {};
    SPILLWAY_CHECKED(drop_newest(env, directory, found, !unwritten));
  }
  return {};
}

/// When a block of the last segment was written, as far as it says.
void learn_time(FoundStream& found, const ScannedBlock& block) {
  std::uint64_t boottime_ns = block.header.anchor_boottime_ns();
  if (block.kind() == format::BlockKind::clock) {
    format::ClockReading reading;
    if (block.stored.size() != sizeof(reading)) return;
    std::memcpy(&reading, block.stored.data(), sizeof(reading));
    found.last_clock = reading;
    boottime_ns = reading.boottime_ns();
  }
  found.last_boottime_ns = std::max(found.last_boottime_ns, boottime_ns);
}

/// Scans one segment into the lanes; true if it holds a data block.
Result<bool> scan_segment(env::Env& env, FoundStream& found, std::size_t index) {
  const SegmentInfo& info = found.segments[index];
  SPILLWAY_TRY(file, env.open(info.path, env::OpenMode::kRead));
  FileWindow window(std::move(file));
  SegmentScan scan(info.header);
  scan.set_limit(end_limit(found.segments, index));
  bool any_data = false;
  std::vector<std::vector<std::byte>> dictionaries;
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) break;
    found.lanes.learn(*block);
    found.schemas.learn(*block);
    if (block->kind() == format::BlockKind::dictionary) {
      dictionaries.emplace_back(block->stored.begin(), block->stored.end());
    }
    any_data = any_data || block->kind() == format::BlockKind::data;
    if (index + 1 == found.segments.size()) learn_time(found, *block);
    ++found.blocks_scanned;
  }
  // Earlier segments are scanned later.
  found.dictionaries.insert(found.dictionaries.begin(),
                            std::make_move_iterator(dictionaries.begin()),
                            std::make_move_iterator(dictionaries.end()));
  if (index + 1 == found.segments.size()) {
    found.next_offset = scan.next_offset();
    found.tail = scan.position();
    found.sealed = scan.sealed();
    // Both places where the walk would have looked for a record.
    SPILLWAY_TRY(unwritten, is_unwritten(info.header, found.tail, found.next_offset, window));
    SPILLWAY_TRY(page_unwritten, is_unwritten(info.header, round_up(found.tail, kPageBytes),
                                              found.next_offset, window));
    found.last_is_blank = !any_data && !found.sealed && unwritten && page_unwritten;
  }
  return any_data;
}

Result<FoundStream> search(env::Env& env, const std::string& directory, const JournalFile& page,
                           GapTable& gaps, CrashGuard& guard) {
  FoundStream found;
  SPILLWAY_CHECKED(set_no_files_aside(env, directory, found));
  SPILLWAY_TRY(segments, list_segment_names(env, directory, Sizes::kWanted));
  found.segments = std::move(segments);
  SPILLWAY_CHECKED(set_strangers_aside(env, found));
  if (!found.segments.empty()) found.next_sequence = found.segments.back().sequence + 1;
  SPILLWAY_TRY(anchor, load_anchor(env, directory));
  found.anchor = anchor;
  if (anchor) {
    found.next_sequence = std::max(found.next_sequence, anchor->segment_sequence());
    found.next_offset = anchor->base_offset();  // unless a segment says better
  }
  SPILLWAY_CHECKED(set_deadly_aside(env, directory, found, guard, gaps));
  SPILLWAY_CHECKED(drop_newest_that_do_not_count(env, directory, found, page, gaps, guard));
  for (std::size_t index = found.segments.size(); index-- > 0;) {
    SPILLWAY_CHECKED(inspect_segment(env, found.segments[index]));
    if (!found.segments[index].readable) continue;
    guard.begin(found.segments[index].path);
    SPILLWAY_TRY(any_data, scan_segment(env, found, index));
    if (any_data) break;
  }
  return found;
}

}  // namespace

Result<void> refuse_newer_segments(env::Env& env, const StreamOptions& options) {
  SPILLWAY_TRY(there, env.exists(options.directory));
  if (!there) return {};
  // With sizes: what is no file is not opened.
  SPILLWAY_CHECKED(list_segment_names(env, options.directory, Sizes::kWanted));
  SPILLWAY_CHECKED(load_anchor(env, options.directory));
  return {};
}

Result<FoundStream> find_stream(env::Env& env, const std::string& directory,
                                const JournalFile& page, GapTable& gaps) {
  CrashGuard guard(env, join(directory, kGuardName));
  auto found = search(env, directory, page, gaps, guard);
  guard.done();
  return found;
}

JournalDecision decide_journal(const FoundStream& found, const JournalFile& page,
                               const ControlPage& control) {
  JournalDecision decision;
  decision.next_offset = std::max(found.next_offset, found.lost_until);
  const auto& known = page.found();
  if (found.segments.empty() && !found.anchor) {
    decision.reason = found.damage.empty() ? "the stream is new" : found.damage;
    // Numbers that were given in this boot are not given again, or one would name two losses.
    if (known && known->next_offset() > decision.next_offset) {
      decision.next_offset = known->next_offset();
      decision.why = JournalReason::kWiped;
      decision.reason = "nothing is here of what was written up to offset " +
                        std::to_string(decision.next_offset) +
                        " in this boot: the spill was wiped or replaced";
    }
    return decision;
  }
  const Uuid journal =
      found.segments.empty() ? uuid_of(*found.anchor->journal()) : found.segments.back().journal();
  decision.next_offset = std::max(decision.next_offset, control.durable_hint(journal));
  decision.why = JournalReason::kOtherBoot;
  if (!known) {
    decision.reason = "no journal page of this boot: the power was lost or the spill was moved";
    return decision;
  }
  if (uuid_of(*known->journal()) != journal) {
    decision.why = JournalReason::kOtherJournal;
    decision.reason = "the journal page names another journal";
    return decision;
  }
  decision.next_offset = std::max(decision.next_offset, known->next_offset());
  if (decision.next_offset > found.next_offset) {
    decision.why = JournalReason::kRecordsGone;
    decision.reason = "records " + std::to_string(found.next_offset) + " to " +
                      std::to_string(decision.next_offset) + " can no longer be read";
    return decision;
  }
  if (found.segments.empty()) {
    decision.reason = "no segment is left";
    return decision;
  }
  decision.goes_on = true;
  decision.rewrite_unsynced = known->suspect() != 0;
  decision.durable_offset = std::min(known->durable_offset(), found.next_offset);
  return decision;
}

}  // namespace spillway::core
