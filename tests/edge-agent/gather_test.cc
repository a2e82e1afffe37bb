// While a stream compresses a backlog, records wait in their lanes for company; nobody waits for
// them, and they are power-safe no later than without.
#include <thread>

#include "edge-agent/drain_fixture.h"

namespace spillway::agent {
namespace {

using testing::Contents;
using testing::TestStream;

constexpr std::uint64_t kSecondNs = 1'000'000'000;

class GatherTest : public testing::DrainFixture {
 protected:
  void start_compressing(std::uint64_t sync_interval_ns) {
    TestStream stream{"main", {"#"}, sync_interval_ns};
    stream.compress = core::Compress::kAlways;
    start({stream});
  }
  /// Never compressing, with up to 50 ms to gather.
  void start_plain(std::uint64_t sync_interval_ns) {
    DrainOptions options;
    options.gather_ns_max = 50'000'000;
    start({{"main", {"#"}, sync_interval_ns}}, std::move(options));
  }
  const core::Stream& stream() const { return *streams_[0]; }
};

TEST_F(GatherTest, RecordsOfOneIntervalBecomeOneBlockAndTheirSyncIsDueWithThem) {
  start_compressing(kSecondNs);
  Producer producer;
  open(producer, "a", "p");
  ASSERT_EQ(put(producer, "first"), Status::kOk);
  EXPECT_TRUE(step().gathering);
  for (int i = 0; i < 9; ++i) {
    advanced_ns_ += kSecondNs / 20;
    ASSERT_EQ(put(producer, "another"), Status::kOk);
    EXPECT_EQ(step().records, 0U);
  }
  advanced_ns_ += kSecondNs * 6 / 10;
  EXPECT_EQ(step().records, 10U);
  EXPECT_EQ(drain_->counters().blocks, 1U);
  bool synced = false;
  for (auto& order : drain_->take_orders()) {
    synced = synced || std::holds_alternative<core::SyncPlan>(order.work);
    drain_->finish(order, order.run(), now());
  }
  EXPECT_TRUE(synced) << "a second is over since the first record came";
  EXPECT_EQ(stream().durable_offset(), 10U);
}

TEST_F(GatherTest, WithoutCompressionRecordsWaitForEachOtherForAMomentAlone) {
  start_plain(kSecondNs);
  Producer producer;
  open(producer, "a", "p");
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(put(producer, "one of ten"), Status::kOk);
    EXPECT_EQ(step().records, 0U);
    advanced_ns_ += 4'900'000;
  }
  advanced_ns_ += 2'000'000;
  EXPECT_EQ(step().records, 10U) << "50 ms are over since the first one came";
  EXPECT_EQ(drain_->counters().blocks, 1U);
}

TEST_F(GatherTest, WithoutCompressionItIsATwentiethOfTheSyncInterval) {
  start_plain(kSecondNs / 50);
  Producer producer;
  open(producer, "a", "p");
  ASSERT_EQ(put(producer, "soon"), Status::kOk);
  EXPECT_EQ(step().records, 0U);
  advanced_ns_ += 1'100'000;
  EXPECT_EQ(step().records, 1U);
}

TEST_F(GatherTest, WhoeverWaitsIsAnsweredAtOnce) {
  start_compressing(3600 * kSecondNs);
  for (const Level level : {Level::kProcessSafe, Level::kPowerSafe}) {
    Producer producer;
    open(producer, "a", level == Level::kProcessSafe ? "p" : "q");
    ASSERT_EQ(put(producer, "waited for"), Status::kOk);
    EXPECT_TRUE(step().gathering);
    core::Atomic<bool> over{false};
    Status status = Status::kTimeout;
    std::thread waiter([&] {
      status =
          producer.flush_until(std::chrono::steady_clock::now() + std::chrono::seconds(5), level);
      over.store(true, std::memory_order_release);
    });
    while (!over.load(std::memory_order_acquire)) {
      static_cast<void>(step());
      run_orders();
      std::this_thread::yield();
    }
    waiter.join();
    EXPECT_EQ(status, Status::kOk);
  }
  EXPECT_EQ(stream().next_offset(), 2U);
}

TEST_F(GatherTest, AFillingLaneIsDrainedWithoutDelay) {
  start_compressing(3600 * kSecondNs);
  Producer producer;
  open(producer, "a", "p", 16 * 1024);
  const std::string record(500, 'x');
  ASSERT_EQ(put(producer, record), Status::kOk);
  EXPECT_EQ(step().records, 0U);
  for (int i = 0; i < 4; ++i) ASSERT_EQ(put(producer, record), Status::kOk);
  EXPECT_EQ(step().records, 5U) << "more than an eighth of the lane";
}

TEST_F(GatherTest, TheEndOfTheDrainLeavesNothingInALane) {
  start_compressing(3600 * kSecondNs);
  Producer producer;
  open(producer, "a", "p");
  ASSERT_EQ(put(producer, "last"), Status::kOk);
  EXPECT_EQ(step().records, 0U);
  drain_->stop_gathering();
  EXPECT_EQ(step().records, 1U);
}

TEST_F(GatherTest, WhereEachAppendIsSyncedNothingGathers) {
  start_compressing(0);
  Producer producer;
  open(producer, "a", "p");
  ASSERT_EQ(put(producer, "at once"), Status::kOk);
  EXPECT_EQ(step().records, 1U);
}

/// A step that passes over quiet lanes must not begin the interval anew for what they hold.
TEST_F(GatherTest, StepsThatPassOverQuietLanesDoNotProlongTheWait) {
  start_compressing(kSecondNs);
  Producer producer;
  open(producer, "a", "p");
  ASSERT_EQ(put(producer, "first"), Status::kOk);
  Now time = now();
  EXPECT_TRUE(drain_->step(time).gathering);
  time.boottime_ns += kSecondNs - 100'000;
  EXPECT_TRUE(drain_->step(time).gathering);
  time.boottime_ns += 200'000;  // the interval is over; the last look everywhere was just now
  EXPECT_EQ(drain_->step(time, Look::kWhereRecordsWere).records, 0U);
  time.boottime_ns += 200'000;
  EXPECT_EQ(drain_->step(time).records, 1U);
}

TEST_F(GatherTest, ADeadProducersRecordsComeAndItsLaneEnds) {
  start_compressing(kSecondNs);
  {
    Producer producer;
    open(producer, "a", "p");
    ASSERT_EQ(put(producer, "left behind"), Status::kOk);
    EXPECT_EQ(step().records, 0U);
  }
  for (int i = 0; i < 20; ++i) {
    advanced_ns_ += kSecondNs / 5;
    static_cast<void>(step());
    run_orders();
  }
  EXPECT_EQ(contents_of("main"), (Contents{{"p", {"left behind"}}}));
  EXPECT_EQ(drain_->counters().lanes_ended, 1U);
}

}  // namespace
}  // namespace spillway::agent
