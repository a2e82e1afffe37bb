// When the drain writes a clock block: the far end corrects times by it.
#include <gtest/gtest.h>

#include <cstring>

#include "edge-agent/drain/drain.h"
#include "fake_lanes.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/stream_reader.h"

namespace spillway::agent {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

class ClockTest : public ::testing::Test {
 protected:
  ClockTest() {
    env_.set_utc_ns(5 * kSecond, false);
    core::StreamOptions options;
    options.name = "s";
    options.directory = "/spill/s";
    options.journal_page_path = "/run/journal/s";
    options.segment_bytes = 64 * 1024;
    options.max_bytes = 1 << 20;
    stream_ = *core::Stream::open(env_, options);
    DrainOptions drain;
    drain.env = &env_;
    drain.guard_path = "/run/at-work";
    drain_ = std::make_unique<Drain>(
        lanes_, std::vector<StreamSetup>{{stream_.get(), {"#"}, kSecond}}, drain);
    pass(3);
  }
  void pass(int seconds) {
    for (int i = 0; i < 10 * seconds; ++i) {
      env_.advance_ns(kSecond / 10);
      Now now;
      now.boottime_ns = env_.boottime_ns();
      now.utc_ns = env_.utc_ns();
      static_cast<void>(drain_->step(now));
      for (auto& order : drain_->take_orders()) drain_->finish(order, order.run(), now);
    }
  }
  /// Whether each clock block in the spill was certain.
  std::vector<bool> readings() {
    std::vector<bool> found;
    auto reader = core::StreamReader::open(env_, "/spill/s");
    while (const auto item = *(*reader)->next()) {
      const auto* block = std::get_if<core::Block>(&*item);
      if (block == nullptr || block->stored.size() != sizeof(format::ClockReading)) continue;
      format::ClockReading reading;
      std::memcpy(&reading, block->stored.data(), sizeof reading);
      found.push_back(reading.certain() == 1);
    }
    return found;
  }

  core::env::SimEnv env_{1};
  testing::FakeLanes lanes_;
  std::unique_ptr<core::Stream> stream_;
  std::unique_ptr<Drain> drain_;
};

TEST_F(ClockTest, AClockThatRunsAlongIsNotWrittenAgain) {
  pass(60);
  EXPECT_EQ(readings(), (std::vector<bool>{false}));
}

TEST_F(ClockTest, EachStepOfTheClockIsWritten) {
  env_.set_utc_ns(1'900'000'000 * kSecond, true);
  pass(5);
  env_.set_utc_ns(1'800'000'000 * kSecond, true);
  pass(5);
  EXPECT_EQ(readings(), (std::vector<bool>{false, true, true}));
}

TEST_F(ClockTest, AClockThatTurnsOutToBeRightIsWrittenOnceThoughItDoesNotStep) {
  env_.set_utc_ns(env_.utc_ns(), true);
  pass(60);
  EXPECT_EQ(readings(), (std::vector<bool>{false, true}));
}

}  // namespace
}  // namespace spillway::agent
