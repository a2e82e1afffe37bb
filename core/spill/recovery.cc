#include "core/spill/recovery.h"

#include <algorithm>
#include <array>

#include "core/spill/paths.h"

namespace spillway::core {

namespace {

/// True if nothing was ever written where a block would stand.
Result<bool> is_blank_at(env::Env& env, const SegmentInfo& info, std::uint64_t position) {
  SPILLWAY_TRY(file, env.open(info.path, env::OpenMode::kRead));
  std::array<std::byte, kBlockHeaderBytes> first{};
  SPILLWAY_TRY(got, file->read(position, first));
  return std::all_of(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(got),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

Result<void> drop_unreadable_newest(env::Env& env, const std::string& directory,
                                    FoundStream& found) {
  while (!found.segments.empty() && !found.segments.back().readable) {
    const SegmentInfo newest = found.segments.back();
    SPILLWAY_TRY(blank, is_blank_at(env, newest, kSegmentHeaderBytes));
    if (blank) {
      SPILLWAY_CHECKED(env.remove(newest.path));
    } else {
      SPILLWAY_CHECKED(env.rename(newest.path, newest.path + ".damaged"));
      found.damage = newest.path + ": " + newest.problem;
      found.lost_until = std::max(found.lost_until, newest.base_offset);
    }
    SPILLWAY_CHECKED(env.sync_directory(directory));
    found.segments.pop_back();
  }
  return {};
}

/// Scans one segment into the lanes; true if it holds a data block.
Result<bool> scan_segment(env::Env& env, FoundStream& found, std::size_t index) {
  const SegmentInfo& info = found.segments[index];
  SPILLWAY_TRY(file, env.open(info.path, env::OpenMode::kRead));
  FileWindow window(std::move(file));
  SegmentScan scan(info.header);
  scan.set_limit(end_limit(found.segments, index));
  bool any_data = false;
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) break;
    found.lanes.learn(*block);
    any_data = any_data || block->kind() == format::BlockKind::data;
    ++found.blocks_scanned;
  }
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

}  // namespace

Result<void> refuse_newer_segments(env::Env& env, const StreamOptions& options) {
  SPILLWAY_TRY(there, env.exists(options.directory));
  if (there) SPILLWAY_CHECKED(list_segments(env, options.directory));
  return {};
}

Result<FoundStream> find_stream(env::Env& env, const std::string& directory) {
  FoundStream found;
  SPILLWAY_TRY(segments, list_segments(env, directory));
  found.segments = std::move(segments);
  if (!found.segments.empty()) found.next_sequence = found.segments.back().sequence + 1;
  SPILLWAY_CHECKED(drop_unreadable_newest(env, directory, found));
  for (std::size_t index = found.segments.size(); index-- > 0;) {
    if (!found.segments[index].readable) continue;
    SPILLWAY_TRY(any_data, scan_segment(env, found, index));
    if (any_data) break;
  }
  return found;
}

JournalDecision decide_journal(const FoundStream& found, const JournalFile& page,
                               const ControlPage& control) {
  JournalDecision decision;
  decision.next_offset = std::max(found.next_offset, found.lost_until);
  if (found.segments.empty()) {
    decision.reason = found.damage.empty() ? "the stream is new" : found.damage;
    return decision;
  }
  const Uuid journal = found.segments.back().journal();
  decision.next_offset = std::max(decision.next_offset, control.durable_hint(journal));
  const auto& known = page.found();
  if (!known) {
    decision.reason = "no journal page of this boot: the power was lost or the spill was moved";
    return decision;
  }
  if (uuid_of(*known->journal()) != journal) {
    decision.reason = "the journal page names another journal";
    return decision;
  }
  decision.next_offset = std::max(decision.next_offset, known->next_offset());
  if (decision.next_offset > found.next_offset) {
    decision.reason = "records " + std::to_string(found.next_offset) + " to " +
                      std::to_string(decision.next_offset) + " can no longer be read";
    return decision;
  }
  decision.goes_on = true;
  decision.rewrite_unsynced = known->suspect() != 0;
  decision.durable_offset = std::min(known->durable_offset(), found.next_offset);
  return decision;
}

}  // namespace spillway::core
