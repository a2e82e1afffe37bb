// Waiting on both sides: a full lane, a flush, the doorbell.
#include <sys/inotify.h>

#include <array>
#include <atomic>
#include <thread>

#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

constexpr std::uint64_t kSmallLane = 16U * 1024;
constexpr std::uint64_t kWalkBytes = 64U * 1024;

class Waiting : public ::testing::Test {
 protected:
  void SetUp() override {
    queue_.open();
    ASSERT_EQ(producer_.open(queue_.path().c_str(), "a", {.lane_bytes = kSmallLane}), Status::kOk);
    reader_ = queue_.attach_only_lane();
  }
  void fill() {
    while (producer_.put(make_record(0, 1000)) == Status::kOk) {
    }
  }
  void take_all() {
    for (int i = 0; i < 100; ++i) {
      const shm::Walk walk = reader_->walk(kWalkBytes);
      if (walk.frames.empty()) return;
      reader_->consume(walk.lane_end);
    }
  }

  TempQueue queue_;
  Producer producer_;
  std::unique_ptr<shm::LaneReader> reader_;
};

TEST_F(Waiting, AFullLaneTimesOutAndCountsOnce) {
  fill();
  const std::uint64_t before = producer_.rejected();
  const Claim claim = producer_.claim_until(1000, in(5ms));
  EXPECT_EQ(claim.status(), Status::kTimeout);
  EXPECT_EQ(producer_.rejected(), before + 1);
}

TEST_F(Waiting, AFullLaneGoesOnWhenTheReaderTakes) {
  fill();
  std::atomic<bool> done{false};
  std::thread writer([this, &done] {
    EXPECT_TRUE(producer_.claim_until(1000, in(20s)));
    done = true;
  });
  // Whether the writer already sleeps or not: it must see this.
  take_all();
  writer.join();
  EXPECT_TRUE(done);
}

TEST_F(Waiting, ARestartedReaderWakesAFullLanesProducer) {
  fill();
  const shm::Walk walk = reader_->walk(kWalkBytes);
  reader_.reset();  // the agent died behind its append, before it moved `consumed`
  std::thread writer([this] { EXPECT_TRUE(producer_.claim_until(1000, in(20s))); });
  auto reader = shm::LaneReader::attach(queue_.only_lane());
  ASSERT_TRUE(reader);
  EXPECT_TRUE((*reader)->resume(walk.lane_end));
  writer.join();
}

TEST_F(Waiting, FlushAnswersForTheLevelAskedFor) {
  EXPECT_EQ(producer_.flush_until(in(0s), Level::kPowerSafe), Status::kOk);
  EXPECT_EQ(producer_.reached(), Level::kPowerSafe) << "nothing was committed";
  ASSERT_EQ(producer_.put(make_record(0, 100)), Status::kOk);
  EXPECT_EQ(producer_.flush_until(in(0s), Level::kAccepted), Status::kOk);
  EXPECT_EQ(producer_.flush_until(in(1ms), Level::kPowerSafe), Status::kTimeout);
  EXPECT_EQ(producer_.reached(), Level::kAccepted) << "late, and this is what it has come to";
  take_all();
  EXPECT_EQ(producer_.flush_until(in(0s), Level::kProcessSafe), Status::kOk);
  EXPECT_EQ(producer_.flush_until(in(1ms), Level::kPowerSafe), Status::kTimeout);
  EXPECT_EQ(producer_.reached(), Level::kProcessSafe);
  EXPECT_EQ(producer_.reached_position(Level::kProcessSafe), producer_.position());
  EXPECT_EQ(producer_.reached_position(Level::kPowerSafe), 0U);
  EXPECT_EQ(reader_->flush_wanted(), 0U);
  std::thread writer(
      [this] { EXPECT_EQ(producer_.flush_until(in(20s), Level::kPowerSafe), Status::kOk); });
  const auto watchdog = in(20s);
  while (reader_->flush_wanted() == 0 && std::chrono::steady_clock::now() < watchdog) {
  }
  EXPECT_EQ(reader_->flush_wanted(), producer_.position());
  reader_->set_durable(reader_->flush_wanted());
  writer.join();
  EXPECT_EQ(reader_->flush_wanted(), 0U);
  EXPECT_EQ(producer_.reached(), Level::kPowerSafe);
  producer_.close();
  EXPECT_EQ(producer_.reached(), Level::kAccepted);
  EXPECT_EQ(producer_.reached_position(Level::kPowerSafe), 0U);
}

TEST_F(Waiting, ALaneThatWasSetAsideSaysSo) {
  ASSERT_EQ(producer_.put(make_record(0, 100)), Status::kOk);
  std::thread writer([this] {
    EXPECT_EQ(producer_.flush_until(in(20s), Level::kProcessSafe), Status::kSetAside);
  });
  reader_->set_quarantined();
  writer.join();
  fill();
  EXPECT_EQ(producer_.put(make_record(0, 1000)), Status::kSetAside);
  EXPECT_EQ(producer_.claim_until(1000, in(20s)).status(), Status::kSetAside);
}

/// The agent's steps to a sleep: arm, read the watch, look (the caller's), wait.
void lie_down(shm::QueueDirectory& directory) {
  directory.arm();
  (void)directory.lanes();
}

TEST_F(Waiting, ASleepEndsWithACommitANewLaneOrADeadProducerButNotByItself) {
  constexpr std::uint64_t kLongNs = 20'000'000'000;
  shm::QueueDirectory& directory = queue_.directory();
  lie_down(directory);
  EXPECT_FALSE(directory.wait(1'000'000));
  EXPECT_EQ(producer_.put(make_record(0, 100)), Status::kOk);
  EXPECT_TRUE(directory.wait(kLongNs));
  lie_down(directory);
  Producer fresh;
  EXPECT_EQ(fresh.open(queue_.path().c_str(), "b", {.lane_bytes = kSmallLane}), Status::kOk);
  EXPECT_TRUE(directory.wait(kLongNs));
  EXPECT_EQ(directory.lanes()->size(), 2U);
  lie_down(directory);
  fresh.close();
  EXPECT_TRUE(directory.wait(kLongNs));
  directory.disarm();
  (void)directory.lanes();
  lie_down(directory);
  EXPECT_FALSE(directory.wait(1'000'000));
  EXPECT_EQ(directory.rings(), 3U);
}

TEST_F(Waiting, ARingForARecordThatWasDrainedBeforeTheArmingCountsAllTheSame) {
  // The producer commits, the agent drains that and arms, and only then the producer looks at the
  // bell: as here, where the record is drained behind the arming. The ring is read; for the next
  // record there is none.
  shm::QueueDirectory& directory = queue_.directory();
  directory.arm();
  EXPECT_EQ(producer_.put(make_record(0, 100)), Status::kOk);
  (void)directory.changed();
  take_all();
  EXPECT_EQ(producer_.put(make_record(1, 100)), Status::kOk);
  EXPECT_TRUE(directory.wait(0));
  directory.disarm();
  lie_down(directory);
  EXPECT_FALSE(directory.wait(0));
}

/// Counts the writes by system call to the files of a folder.
class WriteCounter {
 public:
  explicit WriteCounter(const std::string& folder) : watch_(inotify_init1(IN_NONBLOCK)) {
    EXPECT_GE(inotify_add_watch(watch_, folder.c_str(), IN_MODIFY), 0);
  }
  WriteCounter(const WriteCounter&) = delete;
  WriteCounter& operator=(const WriteCounter&) = delete;
  ~WriteCounter() { close(watch_); }
  /// Whether there were any since the last call. (Equal events in a row are one.)
  [[nodiscard]] bool any() const {
    std::array<char, 4096> events;
    return read(watch_, events.data(), events.size()) > 0;
  }

 private:
  int watch_;
};

TEST_F(Waiting, OneSleepCostsAProducerOneRing) {
  const WriteCounter writes(queue_.path() + "/lanes");
  lie_down(queue_.directory());
  EXPECT_EQ(producer_.put(make_record(0, 100)), Status::kOk);
  EXPECT_TRUE(queue_.directory().wait(0));
  EXPECT_TRUE(writes.any());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(producer_.put(make_record(1, 100)), Status::kOk);
  EXPECT_FALSE(writes.any());
  // The next sleep is another one, and so is that of the agent after this one.
  for (int i = 0; i < 3; ++i) {
    queue_.directory().disarm();
    if (i == 1) {
      queue_.close();
      queue_.open();
    }
    lie_down(queue_.directory());
    EXPECT_EQ(producer_.put(make_record(2, 100)), Status::kOk);
    EXPECT_TRUE(queue_.directory().wait(0)) << i;
  }
}

TEST_F(Waiting, NoRecordIsOverlookedBetweenTheLastLookAndTheSleep) {
#if defined(__SANITIZE_THREAD__)
  constexpr int kRounds = 10'000;
#else
  constexpr int kRounds = 100'000;
#endif
  // A producer is never held up for so long between its commit and its ring.
  constexpr std::uint64_t kSleepNs = 5'000'000'000;
  shm::QueueDirectory& directory = queue_.directory();
  std::atomic<int> wanted{0};  // the producer may put record number `wanted`
  std::thread writer([this, &wanted] {
    for (int round = 0; round < kRounds; ++round) {
      while (wanted.load(std::memory_order_relaxed) < round) {
      }
      EXPECT_EQ(producer_.put(make_record(static_cast<std::uint64_t>(round), 16)), Status::kOk);
    }
  });
  int taken = 0;
  int overlooked = 0;
  const auto watchdog = in(50s);
  while (taken < kRounds && overlooked == 0 && std::chrono::steady_clock::now() < watchdog) {
    // The producer commits just now, at every point of what follows.
    wanted.store(taken, std::memory_order_relaxed);
    lie_down(directory);
    shm::Walk walk = reader_->walk(kWalkBytes);
    if (walk.frames.empty()) {
      if (!directory.wait(kSleepNs)) ++overlooked;
      walk = reader_->walk(kWalkBytes);
    }
    directory.disarm();
    if (walk.frames.empty()) continue;
    reader_->consume(walk.lane_end);
    ++taken;
  }
  EXPECT_EQ(overlooked, 0);
  EXPECT_EQ(taken, kRounds);
  wanted = kRounds;
  writer.join();
}

}  // namespace
}  // namespace spillway::tests
