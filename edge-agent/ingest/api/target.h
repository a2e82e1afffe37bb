// The paths of the API: which one a request's target names, and what it says there.
//
// Pure, over hostile text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "spillway/status.h"

namespace spillway::agent::api {

enum class TargetKind : std::uint8_t { kUnknown, kRecords, kSchema, kStatus, kMetrics, kOpenapi };

struct Target {
  TargetKind kind = TargetKind::kUnknown;
  std::string topic;  // unescaped: slashes may stand as they are, or as %2F
  std::string level;
  bool all_verdicts = false;
};

/// Nothing if an escape in it is broken.
[[nodiscard]] std::optional<Target> parse_target(std::string_view target);
/// Nothing for an unknown word; empty is accepted.
[[nodiscard]] std::optional<Level> level_of(std::string_view word);

}  // namespace spillway::agent::api
