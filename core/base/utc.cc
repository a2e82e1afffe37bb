#include "spillway/core/utc.h"

#include <algorithm>
#include <chrono>

namespace spillway::core {

namespace {

using Day = std::chrono::sys_days;
constexpr std::int64_t kDaySeconds = 86'400;

}  // namespace

std::tm utc_calendar(std::int64_t utc_s) {
  constexpr std::int64_t kFirst = Day{std::chrono::year::min() / 1 / 1}.time_since_epoch().count();
  constexpr std::int64_t kLast = Day{std::chrono::year::max() / 12 / 31}.time_since_epoch().count();
  std::int64_t day = utc_s / kDaySeconds;
  std::int64_t rest = utc_s % kDaySeconds;
  if (rest < 0) {
    rest += kDaySeconds;
    --day;
  }
  const Day date{std::chrono::days{std::clamp(day, kFirst, kLast)}};
  const std::chrono::year_month_day calendar{date};
  const auto new_year = Day{calendar.year() / 1 / 1};
  std::tm parts{};
  parts.tm_year = static_cast<int>(calendar.year()) - 1900;
  parts.tm_mon = static_cast<int>(static_cast<unsigned>(calendar.month())) - 1;
  parts.tm_mday = static_cast<int>(static_cast<unsigned>(calendar.day()));
  parts.tm_hour = static_cast<int>(rest / 3600);
  parts.tm_min = static_cast<int>(rest % 3600 / 60);
  parts.tm_sec = static_cast<int>(rest % 60);
  parts.tm_wday = static_cast<int>(std::chrono::weekday{date}.c_encoding());
  parts.tm_yday = static_cast<int>((date - new_year).count());
  return parts;
}

std::int64_t utc_seconds(const std::tm& calendar) {
  const Day date{std::chrono::year{calendar.tm_year + 1900} /
                 std::chrono::month{static_cast<unsigned>(calendar.tm_mon + 1)} /
                 std::chrono::day{static_cast<unsigned>(calendar.tm_mday)}};
  return std::int64_t{date.time_since_epoch().count()} * kDaySeconds + calendar.tm_hour * 3600 +
         calendar.tm_min * 60 + calendar.tm_sec;
}

}  // namespace spillway::core
