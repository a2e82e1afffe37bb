// max_age: what is dropped for its age, when, and that the wall clock has no say in it.
#include <cstdio>
#include <random>

#include "spill_helpers.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/verify.h"

namespace spillway::core {
namespace {

using testing::value_of;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMaxAge = 60 * kSecond;
/// Segments are looked at once a second, and one step is a second.
constexpr std::uint64_t kLook = 2 * kSecond;

/// A stream whose records' true age is known outside of it: over the boots, without the time between.
class AgedStream {
 public:
  explicit AgedStream(std::uint64_t seed = 1) : env_(seed) {
    env_.set_volatile_root("/run");
    options_ = testing::small_options("");
    options_.max_age_ns = kMaxAge;
  }

  env::SimEnv& env() { return env_; }
  StreamOptions& options() { return options_; }
  Stream& stream() { return *stream_; }
  [[nodiscard]] const std::vector<std::uint64_t>& appended_at() const { return appended_at_; }
  [[nodiscard]] std::uint64_t durable() const { return durable_; }

  void open() {
    stream_.reset();
    stream_ = value_of(Stream::open(env_, options_));
    value_of(stream_->declare_lane(testing::make_identity(1), 0, 0, false));
    appended_at_.resize(static_cast<std::size_t>(stream_->next_offset()), true_ns());
  }
  void restart(bool power_cut) {
    stream_.reset();
    before_ns_ += power_cut ? env_.boottime_ns() : 0;
    if (power_cut) {
      env_.restart_after_power_cut();
    } else {
      env_.restart_after_kill();
    }
  }

  void append(std::size_t bytes = 1000) {
    std::string record = std::to_string(stream_->next_offset()) + ":";
    record.resize(std::max(bytes, record.size()), '.');
    std::vector<std::byte> frames = testing::make_frames({record});
    appended_at_.push_back(true_ns());
    value_of(stream_->append({1, ++lane_end_, frames, 1, env_.boottime_ns()}));
  }
  /// What the agent does each second.
  void step(bool appends, std::size_t bytes = 1000) {
    env_.advance_ns(kSecond);
    if (appends) append(bytes);
    value_of(testing::sync_now(*stream_));
    durable_ = std::max(durable_, stream_->durable_offset());
    if (auto order = stream_->order_spare()) stream_->finish_spare(*order, order->run());
    value_of(stream_->collect());
  }

  /// Nothing young was dropped; nothing old (as far as it can be known) is held.
  void check_ages(bool exact = true) {
    const auto oldest = static_cast<std::size_t>(stream_->oldest_offset());
    if (oldest > 0) {
      EXPECT_GT(true_ns() - appended_at_[oldest - 1], kMaxAge) << "dropped too young";
    }
    if (!exact || oldest >= appended_at_.size()) return;
    EXPECT_LE(true_ns() - appended_at_[oldest], kMaxAge * 3 / 2 + kLook) << "held too long";
  }
  std::uint64_t true_ns() { return before_ns_ + env_.boottime_ns(); }

 private:
  env::SimEnv env_;
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::uint64_t> appended_at_;  // by offset
  std::uint64_t before_ns_ = 0;             // what the boots before this one lasted
  std::uint64_t lane_end_ = 0;
  std::uint64_t durable_ = 0;
};

void expect_one_gap_of_age(AgedStream& aged) {
  const auto& gaps = aged.stream().gaps().all();
  ASSERT_EQ(gaps.size(), 1U);
  EXPECT_EQ(gaps[0].first_offset, 0U);
  EXPECT_EQ(gaps[0].next_offset, aged.stream().oldest_offset());
  EXPECT_EQ(gaps[0].reason, format::GapReason::age);
}

TEST(StreamAgeTest, WhatIsOlderThanMaxAgeIsDroppedOldestFirstAndWrittenDown) {
  AgedStream aged;
  aged.open();
  for (int second = 0; second < 400; ++second) {
    aged.step(true, 3000);
    aged.check_ages();
  }
  EXPECT_GT(aged.stream().oldest_offset(), 300U);
  expect_one_gap_of_age(aged);
  const auto back = testing::read_all(aged.env(), aged.options().directory);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].reason, format::GapReason::age) << "what the far end is told";
  EXPECT_EQ(back.records.size(), aged.stream().next_offset() - aged.stream().oldest_offset());
}

TEST(StreamAgeTest, ATrickleIsDroppedInTimeThoughItNeverFillsASegment) {
  AgedStream aged;
  aged.open();
  for (int second = 0; second < 600; ++second) {
    aged.step(second % 20 == 0, 50);
    aged.check_ages();
  }
  expect_one_gap_of_age(aged);
}

TEST(StreamAgeTest, TheLastRecordBeforeASilenceIsDroppedToo) {
  AgedStream aged;
  aged.open();
  aged.step(true);
  for (int second = 0; second < 95; ++second) aged.step(false);
  EXPECT_EQ(aged.stream().oldest_offset(), 1U);
  expect_one_gap_of_age(aged);
  const std::uint64_t held = aged.stream().held_bytes();
  for (int second = 0; second < 1000; ++second) aged.step(false);
  EXPECT_LE(aged.stream().held_bytes(), held) << "an idle stream begins no segments";
}

TEST(StreamAgeTest, WithoutMaxAgeNothingIsDropped) {
  AgedStream aged;
  aged.options().max_age_ns = 0;
  aged.open();
  for (int second = 0; second < 300; ++second) aged.step(second % 10 == 0);
  EXPECT_EQ(aged.stream().oldest_offset(), 0U);
  EXPECT_TRUE(aged.stream().gaps().all().empty());
}

TEST(StreamAgeTest, AWallClockThatJumpsTo1970AndTo2100ChangesNothing) {
  std::vector<std::uint64_t> oldest;
  for (const bool jumps : {false, true}) {
    AgedStream aged;
    aged.open();
    for (int second = 0; second < 300; ++second) {
      if (jumps && second % 7 == 0) aged.env().set_utc_ns(0, false);
      if (jumps && second % 7 == 3) aged.env().set_utc_ns(4'102'444'800 * kSecond, true);
      aged.step(true);
      if (second % 11 == 0) value_of(aged.stream().append_clock());
      aged.check_ages();
    }
    oldest.push_back(aged.stream().oldest_offset());
  }
  EXPECT_EQ(oldest[0], oldest[1]);
}

TEST(StreamAgeTest, AfterARebootTheAgeGoesOnFromWhatTheSpillProves) {
  AgedStream aged;
  aged.open();
  for (int second = 0; second < 40; ++second) aged.step(true);
  aged.restart(true);
  aged.open();
  for (int second = 0; second < 15; ++second) {
    aged.step(false);
    aged.check_ages(false);
  }
  EXPECT_EQ(aged.stream().oldest_offset(), 0U);
  for (int second = 0; second < 100; ++second) {
    aged.step(false);
    aged.check_ages(false);
  }
  EXPECT_EQ(aged.stream().oldest_offset(), 40U) << "this boot alone is long enough";
}

TEST(StreamAgeTest, ManyShortBootsAddUp) {
  AgedStream aged;
  for (int boot = 0; boot < 60; ++boot) {
    aged.open();
    for (int second = 0; second < 20; ++second) {
      aged.step(second % 2 == 0);
      aged.check_ages(false);
    }
    aged.restart(boot % 3 != 0);
  }
  aged.open();
  // At most the last second of each boot cannot be known.
  const auto oldest = static_cast<std::size_t>(aged.stream().oldest_offset());
  EXPECT_GT(oldest, 400U);
  EXPECT_LT(aged.true_ns() - aged.appended_at()[oldest], 2 * kMaxAge);
}

TEST(StreamAgeTest, AClockOfTheBootThatRunsBackIsNoAge) {
  AgedStream aged;
  aged.open();
  for (int second = 0; second < 50; ++second) aged.step(true);
  aged.restart(false);
  // A machine that was set back to an earlier moment of the same boot.
  aged.env().advance_ns(~std::uint64_t{0} - 45 * kSecond + 1);
  aged.open();
  value_of(aged.stream().collect());
  EXPECT_EQ(aged.stream().oldest_offset(), 0U);
}

TEST(StreamAgeTest, WhatIsAcknowledgedIsFreedAndNotCalledDropped) {
  AgedStream aged;
  aged.options().uplinks = {"cloud"};
  aged.open();
  value_of(aged.env().make_directories("/spill/test/cursors"));
  auto cursor = value_of(Cursor::open(aged.env(), "/spill/test/cursors/cloud"));
  for (int second = 0; second < 300; ++second) {
    aged.step(second % 5 == 0);
    value_of(cursor->advance({aged.stream().journal(), 0, aged.stream().next_offset()}));
    value_of(cursor->sync());
  }
  EXPECT_GT(aged.stream().oldest_offset(), 30U);
  EXPECT_TRUE(aged.stream().gaps().all().empty());
}

TEST(StreamAgeTest, WhatCannotBeSyncedIsNotDropped) {
  AgedStream aged;
  aged.open();
  aged.step(true);
  aged.env().fail_syncs(true);
  for (int second = 0; second < 200; ++second) {
    aged.env().advance_ns(kSecond);
    static_cast<void>(testing::sync_now(aged.stream()));
    static_cast<void>(aged.stream().collect());
  }
  EXPECT_EQ(aged.stream().oldest_offset(), 0U);
  aged.env().fail_syncs(false);
  for (int second = 0; second < 100; ++second) aged.step(false);
  EXPECT_EQ(aged.stream().oldest_offset(), 1U);
}

TEST(StreamAgeTest, WhatASyncUnderWayIsToMakeSafeIsNotDropped) {
  AgedStream aged;
  aged.open();
  for (int i = 0; i < 100 && !aged.stream().sync_is_urgent(); ++i) aged.append(5000);
  ASSERT_TRUE(aged.stream().sync_is_urgent()) << "a whole segment waits";
  const auto slow = aged.stream().plan_sync();
  ASSERT_TRUE(slow);
  for (int second = 0; second < 200; ++second) {
    aged.env().advance_ns(kSecond);
    value_of(aged.stream().collect());
  }
  EXPECT_EQ(aged.stream().oldest_offset(), 0U);
  value_of(aged.stream().finish_sync(*slow, slow->run()));
  value_of(aged.stream().collect());
  EXPECT_GT(aged.stream().oldest_offset(), 0U);
}

/// A life with drops for age, fast and slow.
void run_script(AgedStream& aged) {
  aged.open();
  std::mt19937_64 random(7);
  for (int second = 0; second < 150; ++second) {
    const bool busy = second < 40 || second > 110;
    aged.step(busy || second % 15 == 0, busy ? 2000 + random() % 8000 : 100);
  }
}

void check_after_cut(AgedStream& aged) {
  const auto back = testing::read_all(aged.env(), aged.options().directory);
  EXPECT_GE(back.position, aged.durable());
  for (const auto& [offset, record] : back.records) {
    EXPECT_EQ(record.substr(0, record.find(':')), std::to_string(offset));
  }
  for (const Gap& gap : back.gaps) {
    const auto last = static_cast<std::size_t>(gap.next_offset) - 1;
    if (gap.reason == format::GapReason::age) {
      EXPECT_GT(aged.true_ns() - aged.appended_at().at(last), kMaxAge) << "dropped too young";
    } else {
      EXPECT_GE(gap.first_offset, aged.durable()) << name_of(gap.reason);
    }
  }
  const auto verified = value_of(verify_stream(aged.env(), aged.options().directory));
  for (const Damage& damage : verified.damages) EXPECT_TRUE(damage.nothing_lost) << damage.reason;
}

TEST(StreamAgePowerCut, AtAnyStepWhatIsYoungAndPowerSafeIsThereAndEachDropIsWrittenDown) {
  AgedStream whole;
  run_script(whole);
  ASSERT_FALSE(whole.stream().gaps().all().empty());
  const std::uint64_t steps = whole.env().steps();
  std::uint64_t cuts = 0;
  for (std::uint64_t step = 3; step < steps && !::testing::Test::HasFailure(); step += 5) {
    SCOPED_TRACE("power cut at step " + std::to_string(step));
    AgedStream aged(1);
    aged.env().cut_power_at(step);
    EXPECT_THROW(run_script(aged), env::PowerCut);
    aged.restart(true);
    auto opened = Stream::open(aged.env(), aged.options());
    ASSERT_TRUE(opened) << opened.error().message;
    check_after_cut(aged);
    opened->reset();
    aged.open();
    for (int second = 0; second < 40; ++second) aged.step(second % 4 == 0);
    check_after_cut(aged);
    ++cuts;
  }
  std::printf("[ steps    ] %llu power cuts\n", static_cast<unsigned long long>(cuts));
}

}  // namespace
}  // namespace spillway::core
