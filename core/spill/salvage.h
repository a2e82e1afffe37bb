// Salvage: everything in a damaged segment that can still be proven, as the plan for a segment that
// takes its place. Private to core/spill, for repair; one thread; reads only.
//
// Invariants:
//  1. A block goes into the plan only if it is valid by the rules of SegmentScan under the segment's
//     salt, but for the offset: that may be above the expected one. The offsets between become a gap
//     block, so the plan's blocks follow on each other again.
//  2. One flipped bit is healed where a block was due (heal.h).
//  3. A lane whose declaration is lost is declared again with the identity found nearest: later in
//     the segment, then in the segments before, then behind. With position 0, for positions only
//     grow. Without any identity its data is lost.
//  4. The plan needs no more room than the segment has.
#pragma once

#include <string>
#include <vector>

#include "core/spill/segment_file.h"
#include "spillway/core/gap_table.h"

namespace spillway::core {

struct SalvagedBlock {
  std::uint64_t position = 0;   // in the damaged segment
  std::size_t bytes = 0;        // header and stored bytes
  std::vector<std::byte> made;  // not empty: what stands here instead of what stands there
};

struct SalvagePlan {
  std::vector<SalvagedBlock> blocks;
  std::vector<Gap> lost;
  std::uint64_t next_offset = 0;  // behind the last block
  std::uint64_t records = 0;
  std::uint64_t blocks_healed = 0;
};

/// `segments[index]` must be readable (its header may have been healed). `known_next`: the segment is
/// the newest one, and offsets below this are known to have been used.
[[nodiscard]] Result<SalvagePlan> plan_salvage(env::Env& env,
                                               const std::vector<SegmentInfo>& segments,
                                               std::size_t index, std::uint64_t known_next);

}  // namespace spillway::core
