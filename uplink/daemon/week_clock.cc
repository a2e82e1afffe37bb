#include "uplink/daemon/week_clock.h"

#include <ctime>

namespace spillway::uplink {

std::uint32_t minute_of_week(std::uint64_t utc_ns, bool local) {
  const auto seconds = static_cast<std::time_t>(utc_ns / 1'000'000'000);
  std::tm parts{};
  if (local) {
    ::localtime_r(&seconds, &parts);
  } else {
    ::gmtime_r(&seconds, &parts);
  }
  const int day = (parts.tm_wday + 6) % 7;
  return static_cast<std::uint32_t>((day * 24 + parts.tm_hour) * 60 + parts.tm_min);
}

}  // namespace spillway::uplink
