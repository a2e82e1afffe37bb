#include "spillway/core/utc.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>

namespace spillway::core {
namespace {

std::string text_of(std::int64_t utc_s) {
  const std::tm parts = utc_calendar(utc_s);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S %a %j", &parts);
  return text.data();
}

TEST(Utc, IsTheCalendarBeforeAndAfterTheEndOf32BitTime) {
  EXPECT_EQ(text_of(0), "1970-01-01T00:00:00 Thu 001");
  EXPECT_EQ(text_of(-1), "1969-12-31T23:59:59 Wed 365");
  EXPECT_EQ(text_of(951'825'600), "2000-02-29T12:00:00 Tue 060");
  EXPECT_EQ(text_of(2'147'483'647), "2038-01-19T03:14:07 Tue 019");
  EXPECT_EQ(text_of(2'147'483'648), "2038-01-19T03:14:08 Tue 019");
  // The last second that a certificate can name.
  EXPECT_EQ(text_of(253'402'300'799), "9999-12-31T23:59:59 Fri 365");
}

TEST(Utc, GoesBackToSeconds) {
  for (const std::int64_t utc_s :
       {std::int64_t{-86'401}, std::int64_t{0}, std::int64_t{951'825'600},
        std::int64_t{2'147'483'648}, std::int64_t{253'402'300'799}}) {
    EXPECT_EQ(utc_seconds(utc_calendar(utc_s)), utc_s);
  }
}

TEST(Utc, HasLimits) {
  EXPECT_EQ(utc_calendar(std::numeric_limits<std::int64_t>::max()).tm_year, 32'767 - 1900);
  EXPECT_EQ(utc_calendar(std::numeric_limits<std::int64_t>::min()).tm_year, -32'767 - 1900);
}

}  // namespace
}  // namespace spillway::core
