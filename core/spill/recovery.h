// Recovery: what a stream's directory holds at start. Private to core/spill; the writer's thread,
// before any append.
//
//   list -> set aside or remove a newest file without a header -> after a power cut: remove a newest
//   segment behind a hole -> scan the last segment (and earlier ones while no data block has been
//   met, for the lanes' positions) -> decide whether the journal goes on
//
// The list is one of names: a header is read where it is asked for, so that a start costs the same with
// any backlog.
//
// A newest file whose header is not valid:
//  - its header is blank or an earlier segment's, or nothing was ever written behind it: a roll cut
//    short; it counts as empty and is removed (without its salt no block of it could be checked);
//  - otherwise it is damage: it is renamed to *.damaged and kept for `verify`.
//
// After a power cut the newest segment may be there, in parts, without the end of the one before it:
// a roll waits for no disk. Nothing in it was power-safe then, and it is removed: the stream ends
// before the hole. It counts as soon as one block in it says that all earlier segments were safe.
// Where a stream stands in memory, the same goes for a segment behind the anchor (anchor.h).
//
// A segment in which three agents of this boot have died in a row is set aside, too, wherever it
// stands (CrashGuard).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/spill/control_page.h"
#include "core/spill/lane_table.h"
#include "core/spill/schema_table.h"
#include "core/spill/segment_file.h"
#include "spillway/core/gap_table.h"

namespace spillway::core {

struct FoundStream {
  std::vector<SegmentInfo>
      segments;  // ascending; the last is inspected, others where it was needed
  LaneTable lanes;
  SchemaTable schemas;                               // those that the lanes name, and others
  std::vector<std::vector<std::byte>> dictionaries;  // of the segments that were scanned, in order
  std::uint64_t next_offset = 0;                     // behind the last segment's valid prefix
  std::uint64_t next_sequence = 0;                   // higher than that of any file that was there
  std::uint64_t tail = 0;                            // behind the last segment's last valid block
  std::uint64_t blocks_scanned = 0;
  std::uint64_t last_boottime_ns = 0;  // the latest that the last segment tells of its boot
  std::optional<format::ClockReading> last_clock;  // of the last segment
  std::uint64_t lost_until =
      0;                // a segment that was set aside begins here: nothing below is still to come
  bool sealed = false;  // the last segment is
  bool last_is_blank = false;                   // no record was ever written into the last segment
  std::string damage;                           // what was set aside
  std::optional<format::SegmentHeader> anchor;  // of a stream that stands in memory
};

/// Refuses (kNewerVersion) before anything is touched. Only segments tell: a newer version begins a segment of its own before it
/// writes anything else, and a power cut can put any version number into a page that was being rewritten.
[[nodiscard]] Result<void> refuse_newer_segments(env::Env& env, const StreamOptions& options);
/// `page`: in the journal that it names everything written is there, for no power was cut since.
[[nodiscard]] Result<FoundStream> find_stream(env::Env& env, const std::string& directory,
                                              const JournalFile& page, GapTable& gaps);

struct JournalDecision {
  bool goes_on = false;
  bool rewrite_unsynced =
      false;  // a sync had failed: `durable_offset` and above must be written again
  std::uint64_t durable_offset = 0;
  std::uint64_t next_offset =
      0;  // where the stream goes on; above the found one if known records are lost
  std::string reason;
  JournalReason why = JournalReason::kNewStream;  // where it does not go on
};

/// Invariant 4 of Stream.
[[nodiscard]] JournalDecision decide_journal(const FoundStream& found, const JournalFile& page,
                                             const ControlPage& control);

}  // namespace spillway::core
