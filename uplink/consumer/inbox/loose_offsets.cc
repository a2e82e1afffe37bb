#include "uplink/consumer/inbox/loose_offsets.h"

#include <algorithm>

namespace spillway::consumer {

LoosePosition move_over(LoosePosition from, const InboxBatch& batch) {
  std::vector<OffsetRange> ranges;
  ranges.reserve(batch.runs.size() + batch.gaps.size());
  for (const InboxRun& run : batch.runs) {
    ranges.push_back({run.first_offset, run.first_offset + run.count});
  }
  for (const InboxGap& gap : batch.gaps) ranges.push_back({gap.first_offset, gap.next_offset});
  std::sort(ranges.begin(), ranges.end(),
            [](const OffsetRange& a, const OffsetRange& b) { return a.first < b.first; });
  LoosePosition moved = from;
  for (const OffsetRange& range : ranges) {
    if (range.first <= moved.next) moved.next = std::max(moved.next, range.next);
    moved.beyond = std::max(moved.beyond, range.next);
  }
  return moved;
}

core::Result<std::uint64_t> walk(std::uint64_t next, const NextRow& next_row,
                                 const NextGap& next_gap) {
  SPILLWAY_TRY(gap, next_gap());
  const auto pass_gaps = [&]() -> core::Result<void> {
    while (gap && gap->first <= next) {
      next = std::max(next, gap->next);
      SPILLWAY_TRY(another, next_gap());
      gap = another;
    }
    return {};
  };
  for (std::size_t rows = 0; rows < kWalkRowsMax; ++rows) {
    SPILLWAY_CHECKED(pass_gaps());
    SPILLWAY_TRY(row, next_row());
    if (!row || *row > next) return next;
    // One below it lies inside a gap that was passed.
    if (*row == next) ++next;
  }
  SPILLWAY_CHECKED(pass_gaps());
  return next;
}

}  // namespace spillway::consumer
