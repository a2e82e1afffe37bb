// The latest time that was known for certain, over restarts and wrong clocks.
#include "uplink/link/known_time.h"

#include <gtest/gtest.h>

#include <span>
#include <string>

#include "spillway/core/env/sim_env.h"

namespace spillway::uplink::test {
namespace {

constexpr std::uint64_t kHour = 3'600'000'000'000;
constexpr std::uint64_t kToday = 1'800'000'000'000'000'000;
constexpr const char* kPath = "/spill/cloud.utc";

class KnownTimeTest : public ::testing::Test {
 protected:
  KnownTimeTest() { EXPECT_TRUE(env_.make_directories("/spill")); }
  void leave(const std::string& text) {
    ASSERT_TRUE(
        core::env::replace_file(env_, kPath, std::as_bytes(std::span(text.data(), text.size()))));
  }
  core::env::SimEnv env_{1};
};

TEST_F(KnownTimeTest, OutlivesARestartIntoAClockOf1970) {
  env_.set_utc_ns(kToday, true);
  {
    KnownTime time(env_, kPath);
    EXPECT_EQ(time.utc_ns(), 0U);
    time.look();
    EXPECT_GE(time.utc_ns(), kToday);
  }
  env_.set_utc_ns(1'000'000'000, false);
  KnownTime time(env_, kPath);
  time.look();
  EXPECT_GE(time.utc_ns(), kToday);
}

TEST_F(KnownTimeTest, IsWrittenSeldom) {
  env_.set_utc_ns(kToday, true);
  KnownTime time(env_, kPath);
  time.look();
  env_.set_utc_ns(kToday + KnownTime::kWriteEveryNs / 2, true);
  time.look();
  EXPECT_GE(time.utc_ns(), kToday + KnownTime::kWriteEveryNs / 2);
  EXPECT_LT(KnownTime(env_, kPath).utc_ns(), kToday + kHour) << "in memory only so far";
  env_.set_utc_ns(kToday + 2 * KnownTime::kWriteEveryNs, true);
  time.look();
  EXPECT_GE(KnownTime(env_, kPath).utc_ns(), kToday + 2 * KnownTime::kWriteEveryNs);
}

TEST_F(KnownTimeTest, AClockThatWasSetWrongIsForgotten) {
  env_.set_utc_ns(kToday + 365 * 24 * kHour, true);
  KnownTime time(env_, kPath);
  time.look();
  env_.set_utc_ns(kToday, true);
  time.look();
  EXPECT_LT(time.utc_ns(), kToday + kHour);
  EXPECT_LT(KnownTime(env_, kPath).utc_ns(), kToday + kHour) << "and in the file";
  // A little behind is what clocks do: the later one stands.
  env_.set_utc_ns(kToday - kHour, true);
  time.look();
  EXPECT_GE(time.utc_ns(), kToday);
}

TEST_F(KnownTimeTest, AFileThatMakesNoSenseCountsForNothing) {
  for (const char* text : {"", "x\n", "12", "18446744073709551615\n", "-5\n", "1 \n"}) {
    leave(text);
    EXPECT_EQ(KnownTime(env_, kPath).utc_ns(), 0U) << text;
  }
  leave(std::string(1000, '1'));
  EXPECT_EQ(KnownTime(env_, kPath).utc_ns(), 0U);
  leave("1800000000000000000\n");
  EXPECT_EQ(KnownTime(env_, kPath).utc_ns(), kToday);
}

}  // namespace
}  // namespace spillway::uplink::test
