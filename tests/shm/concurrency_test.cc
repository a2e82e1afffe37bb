// Two threads over one mapping, two processes over one file, and a producer that is killed at any
// instant.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

constexpr std::uint64_t kSmallLane = 16U * 1024;
constexpr std::uint64_t kWalkBytes = 4U * 1024;

/// Sizes follow from the number, so that the reader can check them.
std::size_t size_of(std::uint64_t number) {
  return 8 + static_cast<std::size_t>(number * 2654435761U % (number % 16 == 0 ? 4000 : 120));
}

bool put_numbered(Producer& producer, std::uint64_t number) {
  const Claim claim = producer.claim(size_of(number));
  if (!claim) return false;
  fill_record(claim.bytes(), number);
  return producer.commit(claim, claim.size()) == Status::kOk;
}

/// Takes what there is; every record whole and in sequence.
void take(shm::LaneReader& reader, std::uint64_t& next) {
  const shm::Walk walk = reader.walk(kWalkBytes);
  ASSERT_NE(walk.end, shm::WalkEnd::kDamaged) << walk.rule;
  ASSERT_TRUE(for_each_record(walk.frames, [&next](std::span<const std::byte> record) {
    ASSERT_EQ(record.size(), size_of(next));
    ASSERT_TRUE(is_record(record, next)) << "record " << next;
    ++next;
  }));
  if (!walk.frames.empty()) reader.consume(walk.lane_end);
}

TEST(Concurrency, TwoThreadsOverOneMappingKeepOrderAndBytes) {
  constexpr std::uint64_t kRecords = 100'000;
  TempQueue queue;
  queue.open();
  Producer producer;
  ASSERT_EQ(producer.open(queue.path().c_str(), "a", {.lane_bytes = kSmallLane}), Status::kOk);
  auto reader = queue.attach_only_lane();
  std::atomic<bool> failed{false};
  std::thread writer([&producer, &failed] {
    for (std::uint64_t number = 0; number < kRecords; ++number) {
      const Claim claim = producer.claim_until(size_of(number), in(20s));
      if (!claim) {
        failed = true;
        return;
      }
      fill_record(claim.bytes(), number);
      failed = failed || producer.commit(claim, claim.size()) != Status::kOk;
    }
  });
  const auto watchdog = in(50s);
  std::uint64_t next = 0;
  while (next < kRecords && !failed && !::testing::Test::HasFatalFailure()) {
    take(*reader, next);
    if (std::chrono::steady_clock::now() > watchdog) break;
  }
  EXPECT_EQ(next, kRecords);
  // Whatever the outcome: a writer that waits for room must end.
  for (int i = 0; i < 1'000'000 && !failed && next < kRecords; ++i) {
    const shm::Walk walk = reader->walk(kWalkBytes);
    if (!walk.frames.empty()) reader->consume(walk.lane_end);
  }
  writer.join();
  EXPECT_FALSE(failed);
}

/// What a producer process has done and is about to do, outside the code under test: done <= n <=
/// intent.
struct Tally {
  std::atomic<std::uint64_t> intent;
  std::atomic<std::uint64_t> done;
  std::atomic<std::uint32_t> failed;
};

class Processes : public ::testing::Test {
 protected:
  void SetUp() override {
    void* page =
        mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    tally_ = new (page) Tally{};
  }
  void TearDown() override { munmap(tally_, sizeof(Tally)); }

  /// A child that puts records until it is killed, or has put `count`.
  pid_t start_producer(const std::string& queue_path, std::uint64_t count) {
    const pid_t child = fork();
    if (child != 0) return child;
    Producer producer;
    if (producer.open(queue_path.c_str(), "a", {.lane_bytes = kSmallLane}) != Status::kOk) {
      tally_->failed = 1;
      _exit(1);
    }
    for (std::uint64_t number = 0; number < count;) {
      tally_->intent.store(number + 1);
      if (put_numbered(producer, number)) {
        tally_->done.store(number + 1);
        ++number;
      }
    }
    producer.close();
    _exit(0);
  }
  void wait_for_lane(TempQueue& queue) {
    const auto watchdog = in(20s);
    for (;;) {
      const auto lanes = queue.directory().lanes();
      ASSERT_TRUE(lanes);
      if (lanes->size() == 1) return;
      ASSERT_EQ(tally_->failed, 0U);
      ASSERT_LT(std::chrono::steady_clock::now(), watchdog);
    }
  }

  Tally* tally_ = nullptr;
};

TEST_F(Processes, TwoProcessesKeepOrderAndBytes) {
  constexpr std::uint64_t kRecords = 20'000;
  TempQueue queue;
  queue.open();
  const pid_t child = start_producer(queue.path(), kRecords);
  ASSERT_GT(child, 0);
  wait_for_lane(queue);
  auto reader = queue.attach_only_lane();
  std::uint64_t next = 0;
  const auto watchdog = in(40s);
  while (!reader->producer_gone() && std::chrono::steady_clock::now() < watchdog) {
    take(*reader, next);
    if (HasFatalFailure()) break;
  }
  int status = 0;
  if (HasFatalFailure() || !reader->producer_gone()) kill(child, SIGKILL);
  waitpid(child, &status, 0);
  // The lock first, then the walk to zero.
  for (std::uint64_t before = next + 1; before != next;) {
    before = next;
    take(*reader, next);
  }
  EXPECT_EQ(next, kRecords);
}

TEST_F(Processes, AProducerKilledAtAnyInstantLeavesWholeRecordsAndNothingStuck) {
  constexpr int kKills = 200;
  std::mt19937_64 random(42);
  TempQueue queue;
  queue.open();
  std::uint64_t all_records = 0;
  for (int round = 0; round < kKills; ++round) {
    tally_->intent = 0;
    tally_->done = 0;
    const pid_t child = start_producer(queue.path(), ~std::uint64_t{0});
    ASSERT_GT(child, 0);
    wait_for_lane(queue);
    ASSERT_FALSE(HasFatalFailure());
    auto reader = queue.attach_only_lane();
    std::uint64_t next = 0;
    const std::uint64_t takes = random() % 400;
    for (std::uint64_t i = 0; i < takes && !HasFatalFailure(); ++i) take(*reader, next);
    const auto instant = in(std::chrono::microseconds(random() % 500));
    while (std::chrono::steady_clock::now() < instant) {
    }
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    // At once: the kernel has freed the lock, nobody waits for a timeout.
    ASSERT_TRUE(reader->producer_gone());
    for (std::uint64_t before = next + 1; before != next && !HasFatalFailure();) {
      before = next;
      take(*reader, next);
    }
    ASSERT_FALSE(HasFatalFailure()) << "round " << round;
    ASSERT_GE(next, tally_->done.load()) << "lost";
    ASSERT_LE(next, tally_->intent.load()) << "invented";
    all_records += next;
    ASSERT_TRUE(queue.directory().remove(reader->path()));
  }
  EXPECT_GT(all_records, 1000U);
}

}  // namespace
}  // namespace spillway::tests
