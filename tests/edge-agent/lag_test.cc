// How far each level stands behind: measured on a drain whose disk and far end are slow.
#include "edge-agent/daemon/lag.h"

#include <gtest/gtest.h>

#include "fake_lanes.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::agent {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr const char* kTopic = "sensor/a";

class LagTest : public ::testing::Test {
 protected:
  LagTest() { lanes_.add(kTopic, "p"); }

  void start(std::uint64_t sync_interval_ns, std::uint64_t max_age_ns = 0) {
    core::StreamOptions options;
    options.name = "s";
    options.directory = "/spill/s";
    options.journal_page_path = "/run/journal/s";
    options.segment_bytes = 64 * 1024;
    options.max_bytes = 4 << 20;
    options.uplinks = {"cloud", "other"};
    options.max_age_ns = max_age_ns;
    auto opened = core::Stream::open(env_, options);
    ASSERT_TRUE(opened) << opened.error().message;
    streams_.clear();
    streams_.push_back(std::move(*opened));
    DrainOptions drain;
    drain.boot_id = env_.boot_id();
    drain_ = std::make_unique<Drain>(
        lanes_, std::vector<StreamSetup>{{streams_[0].get(), {"#"}, sync_interval_ns}}, drain);
  }
  void put(int records) {
    for (int i = 0; i < records; ++i) {
      lanes_.file(kTopic).put(std::string(1000, 'x'), env_.boottime_ns());
    }
  }
  Now now() {
    Now time;
    time.boottime_ns = env_.boottime_ns();
    time.utc_ns = env_.utc_ns();
    time.ticks[1] = time.boottime_ns;  // the lanes' counter runs at 1 GHz
    return time;
  }
  void pass(std::uint64_t ns) { env_.advance_ns(ns); }
  /// Orders wait in `orders_` until the disk has come to them.
  void step() {
    static_cast<void>(drain_->step(now()));
    for (auto& order : drain_->take_orders()) orders_.push_back(std::move(order));
  }
  void run_orders() {
    for (auto& order : orders_) drain_->finish(order, order.run(), now());
    orders_.clear();
  }
  StreamLag lag() { return measure_lag(streams_, *drain_, now())[0]; }
  void acknowledge(std::uint64_t offset) {
    ASSERT_TRUE(env_.make_directories("/spill/s/cursors"));
    auto cursor = core::Cursor::open(env_, "/spill/s/cursors/cloud");
    ASSERT_TRUE(cursor) << cursor.error().message;
    ASSERT_TRUE((*cursor)->advance({streams_[0]->journal(), 0, offset}));
  }

  core::env::SimEnv env_{1};
  testing::FakeLanes lanes_;
  std::vector<std::unique_ptr<core::Stream>> streams_;
  std::unique_ptr<Drain> drain_;
  std::vector<Order> orders_;
};

TEST_F(LagTest, WhatStandsInLanesIsNotYetProcessSafe) {
  start(kSecond);
  step();
  EXPECT_EQ(lag().process_safe.records, 0U);
  put(3);
  pass(2 * kSecond);
  put(2);
  const LaneLag lanes = lag().process_safe;
  EXPECT_EQ(lanes.records, 5U);
  EXPECT_EQ(lanes.bytes, 5 * 1024U);
  EXPECT_EQ(lanes.age_ns, 2 * kSecond);
  EXPECT_FALSE(lanes.at_least);
  step();
  EXPECT_EQ(lag().process_safe.records, 0U);
  EXPECT_EQ(lag().process_safe.age_ns, 0U);
}

TEST_F(LagTest, ALongLaneIsNotWalkedToItsEnd) {
  start(kSecond);
  step();
  put(1000);
  const LaneLag lanes = lag().process_safe;
  EXPECT_TRUE(lanes.at_least);
  EXPECT_EQ(lanes.records, 256U);
}

TEST_F(LagTest, ASlowSyncIsSeenByRecordsAndAge) {
  start(kSecond);
  put(4);
  step();
  pass(kSecond);
  step();  // the sync is planned, and the disk takes its time
  put(6);
  pass(kSecond);
  step();
  pass(3 * kSecond);
  EXPECT_EQ(lag().power_safe.records, 10U);
  EXPECT_EQ(lag().power_safe.age_ns, 5 * kSecond);
  run_orders();
  EXPECT_EQ(lag().power_safe.records, 6U);
  EXPECT_EQ(lag().power_safe.age_ns, 3 * kSecond);
  step();
  run_orders();
  EXPECT_EQ(lag().power_safe.records, 0U);
  EXPECT_EQ(lag().power_safe.age_ns, 0U);
}

TEST_F(LagTest, AFarEndThatDoesNotAnswerIsSeenByRecordsAndAge) {
  start(kSecond);
  for (int second = 0; second < 100; ++second) {
    put(1);
    step();
    run_orders();
    pass(kSecond);
  }
  const auto before = lag().delivered;
  ASSERT_EQ(before.size(), 2U);
  EXPECT_EQ(before[0].uplink, "cloud");
  EXPECT_EQ(before[0].lag->records, 100U);
  EXPECT_EQ(before[0].lag->age_ns, 100 * kSecond);
  acknowledge(70);
  const LevelLag after = *lag().delivered[0].lag;
  EXPECT_EQ(after.records, 30U);
  EXPECT_GE(after.age_ns, 30 * kSecond);
  EXPECT_LE(after.age_ns, 32 * kSecond);
  EXPECT_EQ(lag().delivered[1].lag->records, 100U) << "each by its own cursor";
  acknowledge(100);
  EXPECT_EQ(lag().delivered[0].lag->records, 0U);
  EXPECT_EQ(lag().delivered[0].lag->age_ns, 0U);
  // The next one is as old as it is, not as the silence before it.
  pass(3600 * kSecond);
  put(1);
  step();
  pass(kSecond);
  EXPECT_EQ(lag().delivered[0].lag->records, 1U);
  EXPECT_EQ(lag().delivered[0].lag->age_ns, kSecond);
}

TEST_F(LagTest, TheAgeOfADaysBacklogIsKnownToAHundredthAndOverARestart) {
  start(kSecond);
  constexpr int kRecords = 8640;
  for (int i = 0; i < kRecords; ++i) {
    put(1);
    step();
    run_orders();
    pass(10 * kSecond);
  }
  const std::uint64_t held = kRecords - streams_[0]->oldest_offset();
  EXPECT_GE(lag().delivered[1].lag->age_ns, held * 10 * kSecond);
  EXPECT_LE(lag().delivered[1].lag->age_ns, held * 1010 * (kSecond / 100));
  const std::uint64_t before = lag().delivered[1].lag->age_ns;
  drain_.reset();
  streams_.clear();
  env_.restart_after_kill();
  start(kSecond);
  EXPECT_EQ(lag().delivered[1].lag->records, held);
  EXPECT_GE(lag().delivered[1].lag->age_ns, before * 99 / 100);
}

TEST_F(LagTest, WhatWasDroppedNoLongerCounts) {
  start(kSecond, 60 * kSecond);
  put(5);
  for (int second = 0; second < 100; ++second) {
    step();
    run_orders();
    pass(kSecond);
  }
  EXPECT_EQ(streams_[0]->oldest_offset(), 5U);
  EXPECT_EQ(lag().delivered[0].lag->records, 0U);
}

}  // namespace
}  // namespace spillway::agent
