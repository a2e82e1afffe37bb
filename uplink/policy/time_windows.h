// Whether a link's time windows are open, and for how long.
//
// Pure: the minute of the week is told (0 is Monday, 00:00). Any thread. The wall clock decides here
// when a link may be used and nothing else; where it is not set, windows are open, for data that waits
// for a clock may be lost to a quota, and what the link may cost is the budget's to say.
#pragma once

#include <cstdint>
#include <span>

#include "spillway/core/config.h"

namespace spillway::uplink {

inline constexpr std::uint32_t kMinutesAWeek = 7 * core::TimeWindow::kMinutesADay;

/// Without any window it is always open.
[[nodiscard]] bool is_open(std::span<const core::TimeWindow> windows, std::uint32_t minute);
/// Minutes until it opens, at most a week; 0: it is open.
[[nodiscard]] std::uint32_t minutes_until_open(std::span<const core::TimeWindow> windows,
                                               std::uint32_t minute);

}  // namespace spillway::uplink
