// Lag: how far each level stands behind the one before it, for `status`.
//
//   accepted ----> process-safe ----> power-safe            in each stream
//                      |
//                      +--> delivered                       for each uplink's cursor
//
// Drain thread, once a second. Costs a look at the lanes, of bounded length, and one small read per
// uplink; the append path pays nothing for it. Times are ages by BOOTTIME of the oldest record that
// has not reached the level (see Stream::age_ns for their resolution).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "edge-agent/drain/drain.h"
#include "spillway/core/stream.h"

namespace spillway::agent {

/// What lanes hold that no stream has yet.
struct LaneLag {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::uint64_t age_ns = 0;
  bool at_least = false;  // there is more than was looked at
};

struct LevelLag {
  std::uint64_t records = 0;
  std::uint64_t age_ns = 0;
};

struct DeliveredLag {
  std::string uplink;
  std::optional<LevelLag> lag;  // nothing: its cursor cannot be read
};

struct StreamLag {
  LaneLag process_safe;
  LevelLag power_safe;
  std::vector<DeliveredLag> delivered;
};

/// In the order of `streams`.
[[nodiscard]] std::vector<StreamLag> measure_lag(
    const std::vector<std::unique_ptr<core::Stream>>& streams, const Drain& drain, const Now& now);

}  // namespace spillway::agent
