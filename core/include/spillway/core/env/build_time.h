// When this build was made: no clock that stands before it can be right.
#pragma once

#include <cstdint>

namespace spillway::core::env {

/// Nanoseconds UTC; SOURCE_DATE_EPOCH where the build was given one.
[[nodiscard]] std::uint64_t built_at_ns();

}  // namespace spillway::core::env
