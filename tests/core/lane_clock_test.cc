#include "spillway/core/lane_clock.h"

#include "spill_helpers.h"

namespace spillway::core {
namespace {

format::ClockReading reading(std::uint64_t boottime, std::uint64_t utc, bool certain) {
  format::ClockReading clock;
  clock.mutate_boottime_ns(boottime);
  clock.mutate_utc_ns(utc);
  clock.mutate_certain(certain ? 1 : 0);
  return clock;
}

format::BlockHeader block(std::uint64_t anchor_ticks, std::uint64_t anchor_ns) {
  format::BlockHeader header;
  header.mutate_lane_id(1);
  header.mutate_anchor_ticks(anchor_ticks);
  header.mutate_anchor_boottime_ns(anchor_ns);
  return header;
}

TEST(LaneClockTest, TicksCountBackFromTheAnchor) {
  EXPECT_EQ(boottime_of_ticks(1000, 3000, 10'000'000'000, 1000), 8'000'000'000U);
  EXPECT_EQ(boottime_of_ticks(2999, 3000, 10'000'000'000, 2'000'000'000), 10'000'000'000U);
}

TEST(LaneClockTest, HostileTicksStayBetweenZeroAndTheAnchor) {
  EXPECT_EQ(boottime_of_ticks(5000, 3000, 77, 1000), 77U);
  EXPECT_EQ(boottime_of_ticks(0, UINT64_MAX, 77, 1), 0U);
  EXPECT_EQ(boottime_of_ticks(0, UINT64_MAX, 77, UINT64_MAX), 0U);
  EXPECT_EQ(boottime_of_ticks(0, UINT64_MAX - 1, 77, UINT64_MAX), 77U);
  EXPECT_EQ(boottime_of_ticks(0, 5, 77, 0), 77U);
}

TEST(LaneClockTest, ABootsReadingTurnsTicksIntoUtcEvenForWhatCameBefore) {
  LaneClock clock;
  clock.learn_lane(testing::make_identity(1));
  clock.learn_reading(reading(5'000, 1'000'000, true));
  const ProducedAt at = clock.produced_at(block(100, 4'000), 90);
  EXPECT_EQ(at.utc_ns, 1'000'000U - 1'000U - 10U);
  EXPECT_TRUE(at.certain);
}

TEST(LaneClockTest, TimesNeverRunBackwardsWithinALane) {
  LaneClock clock;
  clock.learn_lane(testing::make_identity(1));
  clock.learn_reading(reading(5'000, 1'000'000, true));
  const std::uint64_t first = clock.produced_at(block(100, 4'000), 90).utc_ns;
  clock.learn_reading(reading(6'000, 900'000, true));  // the wall clock was set back
  EXPECT_EQ(clock.produced_at(block(200, 4'100), 190).utc_ns, first);
}

TEST(LaneClockTest, NeitherDoesBoottimeWhereTheCountersRateIsALittleWrong) {
  LaneClock clock;
  clock.learn_lane(testing::make_identity(1));
  const std::uint64_t first = clock.produced_at(block(10'000, 50'000), 10'000).boottime_ns;
  EXPECT_EQ(first, 50'000U);
  // By its own anchor the next one was 100 ns before.
  EXPECT_EQ(clock.produced_at(block(20'000, 59'800), 10'100).boottime_ns, first);
  EXPECT_EQ(clock.produced_at(block(20'000, 59'800), 20'000).boottime_ns, 59'800U);
}

TEST(LaneClockTest, AnUncertainClockInTheFutureDoesNotHoldACertainOneThere) {
  LaneClock clock;
  clock.learn_lane(testing::make_identity(1));
  clock.learn_reading(reading(1'000, 9'000'000, false));
  EXPECT_FALSE(clock.produced_at(block(100, 1'000), 100).certain);
  clock.learn_reading(reading(2'000, 50'000, true));
  clock.learn_reading(reading(3'000, 9'000'000, false));  // ignored: certain is the last word
  const ProducedAt at = clock.produced_at(block(200, 2'000), 200);
  EXPECT_TRUE(at.certain);
  EXPECT_EQ(at.utc_ns, 50'000U);
}

TEST(LaneClockTest, WithoutAReadingOrALaneTheTimeIsUnknown) {
  LaneClock clock;
  EXPECT_FALSE(clock.produced_at(block(1, 1), 1).certain);
  clock.learn_lane(testing::make_identity(1));
  EXPECT_EQ(clock.produced_at(block(1, 1), 1).utc_ns, 0U);
}

}  // namespace
}  // namespace spillway::core
