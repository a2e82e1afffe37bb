// GapTable: the written-down ranges of offsets that were dropped, with reason and count; the file
// `gaps` of a stream.
//
// Two preallocated, checksummed tables in one file, written in turn: a full disk cannot keep a gap
// from being recorded, and a torn write harms only the older table. The agent writes (one thread),
// readers load.
//
// Invariants:
//  1. Ranges do not overlap: what was recorded first for an offset stays. Neighbours of one reason
//     are one entry.
//  2. When the table is full the two oldest entries are merged into one range, so that no range is
//     ever forgotten.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"

namespace spillway::core {

struct Gap {
  std::uint64_t first_offset = 0;
  std::uint64_t next_offset = 0;
  format::GapReason reason = format::GapReason::none;
  std::uint64_t recorded_utc_ns = 0;
  Uuid journal{};  // whose records they were, where that is told: a foreign stream's reader does
  [[nodiscard]] std::uint64_t count() const { return next_offset - first_offset; }
};

[[nodiscard]] std::string_view name_of(format::GapReason reason);

/// True if the gaps, ascending, name every offset of [first, next).
[[nodiscard]] bool cover(const std::vector<Gap>& gaps, std::uint64_t first, std::uint64_t next);

class GapTable {
 public:
  static constexpr std::uint32_t kEntriesMax = 1024;

  /// For the agent: opens or makes the table.
  [[nodiscard]] static Result<std::unique_ptr<GapTable>> open(env::Env& env,
                                                              const std::string& path);
  /// For readers and tools: what the file holds now, merged, ascending. An absent file is an empty
  /// table.
  [[nodiscard]] static Result<std::vector<Gap>> load(env::Env& env, const std::string& path);

  virtual ~GapTable() = default;
  /// Synced when this returns.
  [[nodiscard]] virtual Result<void> record(const Gap& gap) = 0;
  [[nodiscard]] virtual const std::vector<Gap>& all() const = 0;
};

}  // namespace spillway::core
