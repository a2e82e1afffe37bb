#include "uplink/policy/time_windows.h"

#include <algorithm>

namespace spillway::uplink {

namespace {

using core::TimeWindow;

constexpr std::uint32_t kDay = TimeWindow::kMinutesADay;

std::uint32_t length_of(const TimeWindow& window) {
  const std::uint32_t end = window.end_minute;
  return end > window.begin_minute ? end - window.begin_minute : end + kDay - window.begin_minute;
}

/// Minutes from the week's `minute` on to the next begin of the window on this day.
std::uint32_t until_begin(const TimeWindow& window, std::uint32_t day, std::uint32_t minute) {
  return (day * kDay + window.begin_minute + kMinutesAWeek - minute) % kMinutesAWeek;
}

}  // namespace

std::uint32_t minutes_until_open(std::span<const TimeWindow> windows, std::uint32_t minute) {
  if (windows.empty()) return 0;
  std::uint32_t least = kMinutesAWeek;
  for (const TimeWindow& window : windows) {
    for (std::uint32_t day = 0; day < 7; ++day) {
      if ((window.days >> day & 1U) == 0) continue;
      const std::uint32_t until = until_begin(window, day, minute % kMinutesAWeek);
      // It began so long ago, a week at most.
      const std::uint32_t since = (kMinutesAWeek - until) % kMinutesAWeek;
      if (since < length_of(window)) return 0;
      least = std::min(least, until);
    }
  }
  return least;
}

bool is_open(std::span<const TimeWindow> windows, std::uint32_t minute) {
  return minutes_until_open(windows, minute) == 0;
}

}  // namespace spillway::uplink
