#include "uplink/policy/time_windows.h"

#include <gtest/gtest.h>

#include "uplink/daemon/week_clock.h"

namespace spillway::uplink::test {
namespace {

constexpr std::uint32_t kHour = 60;
constexpr std::uint32_t kDay = 24 * kHour;

std::vector<core::TimeWindow> windows(const std::vector<std::string>& texts) {
  std::vector<core::TimeWindow> out;
  for (const std::string& text : texts) out.push_back(core::parse_time_window(text).value());
  return out;
}

TEST(TimeWindows, WithoutAnyItIsAlwaysOpen) { EXPECT_TRUE(is_open({}, 1234)); }

TEST(TimeWindows, OverMidnightAndOverTheWeeksEnd) {
  const auto night = windows({"22:00-06:00"});
  for (std::uint32_t day = 0; day < 7; ++day) {
    EXPECT_TRUE(is_open(night, day * kDay));
    EXPECT_TRUE(is_open(night, day * kDay + 6 * kHour - 1));
    EXPECT_FALSE(is_open(night, day * kDay + 6 * kHour));
    EXPECT_FALSE(is_open(night, day * kDay + 22 * kHour - 1));
    EXPECT_TRUE(is_open(night, day * kDay + 22 * kHour));
    EXPECT_EQ(minutes_until_open(night, day * kDay + 12 * kHour), 10 * kHour);
  }
}

TEST(TimeWindows, OfDaysBelongToTheDayOnWhichTheyBegin) {
  const auto sunday = windows({"sun 20:00-04:00"});
  EXPECT_TRUE(is_open(sunday, 6 * kDay + 23 * kHour));
  EXPECT_TRUE(is_open(sunday, 3 * kHour));  // Monday morning
  EXPECT_FALSE(is_open(sunday, 4 * kHour));
  EXPECT_EQ(minutes_until_open(sunday, 4 * kHour), 6 * kDay + 16 * kHour);
  const auto several = windows({"mon-fri 00:00-01:00", "sat,sun 00:00-24:00"});
  EXPECT_TRUE(is_open(several, 5 * kDay + 13 * kHour));
  EXPECT_EQ(minutes_until_open(several, 4 * kDay + 2 * kHour), 22 * kHour);
}

/// Property: it opens exactly when it says.
TEST(TimeWindows, OpenWhenTheySayAndNotBefore) {
  const auto odd = windows({"tue 03:07-03:08", "fri-sun 23:59-00:01", "thu 12:00-11:59"});
  for (std::uint32_t minute = 0; minute < kMinutesAWeek; ++minute) {
    const std::uint32_t until = minutes_until_open(odd, minute);
    ASSERT_TRUE(is_open(odd, (minute + until) % kMinutesAWeek)) << minute;
    if (until != 0) {
      ASSERT_EQ(minutes_until_open(odd, (minute + 1) % kMinutesAWeek), until - 1) << minute;
    }
  }
}

TEST(WeekClock, TheWeekBeginsOnMonday) {
  // 1970-01-01 was a Thursday.
  EXPECT_EQ(minute_of_week(0, false), 3 * kDay);
  EXPECT_EQ(minute_of_week(4ULL * 86'400 * 1'000'000'000 + 61'000'000'000, false), 1U);
}

}  // namespace
}  // namespace spillway::uplink::test
