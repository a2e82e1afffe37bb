// Time windows as people write them: "[DAYS ]HH:MM-HH:MM".
#include <array>
#include <charconv>

#include "spillway/core/config.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 7> kDays{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::uint8_t kEveryDay = 0x7F;

/// -1: no such day.
int day_of(std::string_view name) {
  for (std::size_t i = 0; i < kDays.size(); ++i) {
    if (kDays[i] == name) return static_cast<int>(i);
  }
  return -1;
}

/// "mon" or "mon-fri" (also "sat-mon"); no bit: it is neither.
std::uint8_t day_bits(std::string_view part) {
  const std::size_t dash = part.find('-');
  const int first = day_of(part.substr(0, dash));
  const int last = dash == std::string_view::npos ? first : day_of(part.substr(dash + 1));
  if (first < 0 || last < 0) return 0;
  unsigned bits = 0;
  for (int day = first;; day = (day + 1) % 7) {
    bits |= 1U << day;
    if (day == last) return static_cast<std::uint8_t>(bits);
  }
}

bool parse_days(std::string_view text, std::uint8_t& days) {
  days = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::uint8_t bits = day_bits(text.substr(at, end - at));
    if (bits == 0) return false;
    days = static_cast<std::uint8_t>(days | bits);
    at = end + 1;
  }
  return true;
}

bool parse_minute(std::string_view text, std::uint16_t& minute) {
  if (text.size() != 5 || text[2] != ':') return false;
  unsigned hours = 0;
  unsigned minutes = 0;
  const char* const begin = text.data();
  const auto hour_end = std::from_chars(begin, begin + 2, hours);
  const auto minute_end = std::from_chars(begin + 3, begin + 5, minutes);
  if (hour_end.ptr != begin + 2 || minute_end.ptr != begin + 5 || minutes > 59) return false;
  minute = static_cast<std::uint16_t>(hours * 60 + minutes);
  return minute <= TimeWindow::kMinutesADay;
}

bool parse_times(std::string_view text, TimeWindow& window) {
  constexpr std::size_t kBytes = std::string_view("HH:MM-HH:MM").size();
  return text.size() == kBytes && text[5] == '-' &&
         parse_minute(text.substr(0, 5), window.begin_minute) &&
         parse_minute(text.substr(6), window.end_minute) &&
         window.begin_minute < TimeWindow::kMinutesADay && window.begin_minute != window.end_minute;
}

std::string clock_text(std::uint16_t minute) {
  const auto two = [](int number) {
    return std::string(number < 10 ? "0" : "") + std::to_string(number);
  };
  return two(minute / 60) + ":" + two(minute % 60);
}

}  // namespace

Result<TimeWindow> parse_time_window(std::string_view text) {
  TimeWindow window;
  const std::size_t space = text.find(' ');
  const bool has_days = space != std::string_view::npos;
  const bool days_ok = !has_days || parse_days(text.substr(0, space), window.days);
  if (days_ok && parse_times(has_days ? text.substr(space + 1) : text, window)) return window;
  return fail(ErrorCode::kInvalidArgument,
              "\"" + std::string(text) +
                  "\" is not a time window: write \"22:00-06:00\", \"sat,sun 00:00-24:00\" or "
                  "\"mon-fri 18:30-07:00\"");
}

std::string text_of(const TimeWindow& window) {
  std::string days;
  for (std::size_t i = 0; i < kDays.size() && window.days != kEveryDay; ++i) {
    if ((window.days >> i & 1U) == 0) continue;
    days += (days.empty() ? "" : ",") + std::string(kDays[i]);
  }
  return days + (days.empty() ? "" : " ") + clock_text(window.begin_minute) + "-" +
         clock_text(window.end_minute);
}

}  // namespace spillway::core
