// Storing out of order: how far the next offset moves. Shared by the inboxes.
//
// A key's offsets at or above `next` are a sea with islands: rows and gaps that came before what belongs
// in front of them. `beyond` is the end of the highest island; with none it is not above `next`, and then
// nothing stored has to be looked at.
//
// Pure. One thread.
//
// Invariants:
//  1. next moves only over ranges that begin at or below it.
//  2. Between two transactions no gap's row begins at or below next and ends above it; a row at next
//     itself there is only where a walk came to its bound, and the next one goes on from there.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "uplink/consumer/inbox/inbox.h"

namespace spillway::consumer {

/// Offsets from `first` up to `next`.
struct OffsetRange {
  std::uint64_t first = 0;
  std::uint64_t next = 0;
};

struct LoosePosition {
  std::uint64_t next = 0;
  std::uint64_t beyond = 0;

  [[nodiscard]] bool has_islands() const { return beyond > next; }
};

/// The rows that one transaction may walk over: what it costs is bounded, the rest waits for the next. A
/// gap is one step, however long it is, and is always passed.
inline constexpr std::size_t kWalkRowsMax = 100'000;

/// By what the batch alone brings. The islands that were there before are not looked at: while there
/// are any, walk() has to follow.
[[nodiscard]] LoosePosition move_over(LoosePosition from, const InboxBatch& batch);

/// What is stored, ascending; nothing at its end.
using NextRow = std::function<core::Result<std::optional<std::uint64_t>>()>;
using NextGap = std::function<core::Result<std::optional<OffsetRange>>()>;

/// Over rows from `next` on, and over gaps that begin at or above where the transaction began.
[[nodiscard]] core::Result<std::uint64_t> walk(std::uint64_t next, const NextRow& next_row,
                                               const NextGap& next_gap);

}  // namespace spillway::consumer
