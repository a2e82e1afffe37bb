// One producer and one reader in one thread: what goes in comes out, at every place in the ring.
#include <deque>
#include <random>

#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

constexpr std::uint64_t kSmallLane = 16U * 1024;
constexpr std::uint64_t kWalkBytes = 64U * 1024;

class Lane : public ::testing::Test {
 protected:
  void SetUp() override { open_lane(kSmallLane); }

  void open_lane(std::uint64_t bytes) {
    producer_.close();
    reader_.reset();
    queue_ = std::make_unique<TempQueue>();
    queue_->open();
    ASSERT_EQ(producer_.open(queue_->path().c_str(), "sensor/one",
                             {.producer_name = "test", .lane_bytes = bytes}),
              Status::kOk)
        << error_detail();
    reader_ = queue_->attach_only_lane();
  }
  /// Puts a record of this size, which must fit.
  void put(std::size_t size) {
    ASSERT_EQ(producer_.put(make_record(put_, size)), Status::kOk);
    ++put_;
    sizes_.push_back(size);
  }
  /// Takes everything there is and compares it with what was put.
  void take_all(std::uint64_t walk_bytes = kWalkBytes) {
    for (int i = 0; i < 100'000; ++i) {
      const shm::Walk walk = reader_->walk(walk_bytes);
      ASSERT_NE(walk.end, shm::WalkEnd::kDamaged) << walk.rule;
      ASSERT_TRUE(for_each_record(walk.frames, [this](std::span<const std::byte> record) {
        ASSERT_FALSE(sizes_.empty());
        ASSERT_EQ(record.size(), sizes_.front());
        ASSERT_TRUE(is_record(record, taken_));
        sizes_.pop_front();
        ++taken_;
      }));
      if (walk.frames.empty()) break;
      reader_->consume(walk.lane_end);
    }
    ASSERT_TRUE(sizes_.empty());
  }

  std::unique_ptr<TempQueue> queue_;
  Producer producer_;
  std::unique_ptr<shm::LaneReader> reader_;
  std::uint64_t put_ = 0;
  std::uint64_t taken_ = 0;
  std::deque<std::size_t> sizes_;
};

TEST_F(Lane, IdentitySaysWhoAndWhat) {
  const auto& identity = reader_->identity();
  EXPECT_EQ(core::topic_of(identity), "sensor/one");
  EXPECT_EQ(core::producer_of(identity), "test");
  EXPECT_EQ(identity.pid(), static_cast<std::uint32_t>(getpid()));
  EXPECT_EQ(identity.max_record_bytes(), kSmallLane / 2 - 32);
  EXPECT_EQ(identity.lane_id(), producer_.lane_id());
  EXPECT_EQ(reader_->capacity(), kSmallLane);
}

TEST_F(Lane, NothingCommittedIsNothingRead) {
  const Claim claim = producer_.claim(100);
  ASSERT_TRUE(claim);
  fill_record(claim.bytes(), 7);
  const shm::Walk walk = reader_->walk(kWalkBytes);
  EXPECT_TRUE(walk.frames.empty());
  EXPECT_EQ(walk.end, shm::WalkEnd::kEmpty);
}

TEST_F(Lane, AnAbandonedClaimLeavesNothing) {
  for (int i = 0; i < 1000; ++i) {
    const Claim claim = producer_.claim(1 + static_cast<std::size_t>(i) * 7 % 4000);
    ASSERT_TRUE(claim);
    std::memset(claim.data(), 0xFF, claim.size());
    put(1 + static_cast<std::size_t>(i) % 300);
    take_all();
  }
}

TEST_F(Lane, ACommitMayBeShorterThanItsClaim) {
  for (std::size_t used = 1; used <= 200; ++used) {
    const Claim claim = producer_.claim(200);
    ASSERT_TRUE(claim);
    std::memset(claim.data(), 0xFF, claim.size());
    fill_record(claim.bytes().first(used), put_);
    ASSERT_EQ(producer_.commit(claim, used), Status::kOk);
    ++put_;
    sizes_.push_back(used);
    take_all();
  }
}

TEST_F(Lane, OnlyTheLastClaimCommitsAndOnce) {
  const Claim first = producer_.claim(64);
  const Claim second = producer_.claim(64);
  ASSERT_TRUE(second);
  EXPECT_EQ(producer_.commit(second, 65), Status::kInvalid);
  EXPECT_EQ(producer_.commit(second, 0), Status::kInvalid);
  EXPECT_EQ(producer_.commit(second, 64), Status::kOk);
  EXPECT_EQ(producer_.commit(second, 64), Status::kInvalid);
  EXPECT_EQ(producer_.commit(first, 64), Status::kInvalid);
  EXPECT_EQ(producer_.position(), 80U);
}

TEST_F(Lane, EveryOffsetMeetsEveryKindOfRingEnd) {
  // Each start offset, each tail: with padding, without (a frame that ends exactly at the ring's
  // end), one step short.
  for (std::size_t start = 16; start < kSmallLane; start += 1488) {
    for (int tail = -2; tail <= 2; ++tail) {
      open_lane(kSmallLane);
      while (producer_.position() + 4096 < start) {
        put(4000);
        take_all();
      }
      const auto gap = static_cast<std::size_t>(start - producer_.position());
      if (gap >= 32) put(gap - 16);
      take_all();
      const std::uint64_t to_end = kSmallLane - producer_.position();
      std::uint64_t size = to_end - 16 + static_cast<std::uint64_t>(tail * 16);
      while (size > producer_.record_bytes_max()) {
        put(4080);
        take_all();
        size -= 4096;
      }
      if (size == 0 || size > producer_.record_bytes_max()) continue;
      put(static_cast<std::size_t>(size));
      put(100);
      take_all();
      put(1);
      take_all();
    }
  }
}

TEST_F(Lane, AFullLaneKeepsTheFreeHeaderAndRefusesWithCount) {
  // 16 KiB in frames of 32 bytes: one place less than fits, because of the terminator.
  std::uint64_t accepted = 0;
  while (producer_.put(make_record(accepted, 16)) == Status::kOk) ++accepted;
  EXPECT_EQ(accepted, kSmallLane / 32 - 1);
  EXPECT_EQ(producer_.put(make_record(0, 16)), Status::kFull);
  EXPECT_EQ(producer_.rejected(), 2U);
  EXPECT_EQ(reader_->rejected(), 2U);
  const shm::Walk walk = reader_->walk(kWalkBytes);
  EXPECT_EQ(walk.end, shm::WalkEnd::kEmpty);
  EXPECT_EQ(walk.frames.size(), accepted * 32);
  reader_->consume(walk.lane_end);
  EXPECT_EQ(producer_.put(make_record(0, 16)), Status::kOk);
}

TEST_F(Lane, ARecordBeyondTheLimitIsRefusedAndCounted) {
  const std::vector<std::byte> record(producer_.record_bytes_max() + 1);
  EXPECT_EQ(producer_.put(record), Status::kTooLarge);
  EXPECT_EQ(producer_.put({}), Status::kInvalid);
  EXPECT_EQ(producer_.rejected(), 1U);
  EXPECT_EQ(producer_.put(std::span(record).first(producer_.record_bytes_max())), Status::kOk);
}

TEST_F(Lane, ABatchIsSeenAllAtOnceAtEveryPlaceInTheRing) {
  std::mt19937_64 random(20261124);
  while (producer_.position() < 200 * kSmallLane) {
    std::vector<std::vector<std::byte>> records(1 + random() % 30);
    for (auto& record : records) {
      record = make_record(put_++, static_cast<std::size_t>(1 + random() % 300));
      sizes_.push_back(record.size());
    }
    const auto accepted = producer_.put_many(
        records.size(), [&records](std::size_t i) { return std::span(records[i]); });
    ASSERT_EQ(accepted.status, Status::kOk);
    ASSERT_EQ(accepted.records, records.size());
    if (random() % 2 == 0) put(40);
    take_all();
  }
}

TEST_F(Lane, ABatchStopsAtTheFirstRecordThatIsRefused) {
  const std::vector<std::byte> small(100);
  const std::vector<std::byte> large(producer_.record_bytes_max() + 1);
  const std::vector<std::span<const std::byte>> with_large{small, small, large, small};
  auto accepted = producer_.put_many(with_large);
  EXPECT_EQ(accepted.records, 2U);
  EXPECT_EQ(accepted.status, Status::kTooLarge);
  EXPECT_EQ(producer_.rejected(), 1U);
  // More than the lane holds: as many as fit, one refusal.
  const std::vector<std::span<const std::byte>> many(1000, small);
  accepted = producer_.put_many(many);
  EXPECT_EQ(accepted.status, Status::kFull);
  EXPECT_EQ(accepted.records, kSmallLane / 128 - 2 - 1);
  EXPECT_EQ(producer_.rejected(), 2U);
  EXPECT_EQ(producer_.put_many(many).records, 0U);
  EXPECT_EQ(reader_->walk(kWalkBytes).frames.size(), producer_.position());
  producer_.close();
  EXPECT_EQ(producer_.put_many(many).status, Status::kClosed);
}

TEST_F(Lane, AWalkKeepsToItsBoundButTakesOneRecord) {
  for (int i = 0; i < 10; ++i) put(84);
  shm::Walk walk = reader_->walk(1);
  EXPECT_EQ(walk.frames.size(), 112U);
  EXPECT_EQ(walk.end, shm::WalkEnd::kBounded);
  walk = reader_->walk(300);
  EXPECT_EQ(walk.frames.size(), 224U);
  EXPECT_EQ(walk.end, shm::WalkEnd::kBounded);
  take_all(300);
}

TEST_F(Lane, ARestartedReaderGoesOnWhereTheSpillEnds) {
  put(100);
  put(200);
  shm::Walk walk = reader_->walk(1);
  const std::uint64_t spilled =
      walk.lane_end;  // in the spill, but `consumed` was not moved: the agent died
  reader_.reset();
  auto reader = shm::LaneReader::attach(queue_->only_lane());
  ASSERT_TRUE(reader);
  ASSERT_TRUE((*reader)->resume(spilled));
  walk = (*reader)->walk(kWalkBytes);
  ASSERT_TRUE(for_each_record(
      walk.frames, [](std::span<const std::byte> record) { EXPECT_TRUE(is_record(record, 1)); }));
  EXPECT_FALSE((*reader)->resume(spilled + 8));
  EXPECT_FALSE((*reader)->resume(spilled + 1024 * 1024));
}

TEST_F(Lane, RandomSizesComeOutAsTheyWentIn) {
  std::mt19937_64 random(20261123);
  std::uint64_t refused = 0;
  while (producer_.position() < 400 * kSmallLane) {
    const auto burst = random() % 40;
    for (std::uint64_t i = 0; i < burst; ++i) {
      const bool large = random() % 8 == 0;
      const auto size =
          static_cast<std::size_t>(1 + random() % (large ? producer_.record_bytes_max() : 200));
      const Claim claim = producer_.claim(size);
      if (!claim) {
        ++refused;
        break;
      }
      const auto used = static_cast<std::size_t>(random() % 4 == 0 ? 1 + random() % size : size);
      fill_record(claim.bytes().first(used), put_);
      ASSERT_EQ(producer_.commit(claim, used), Status::kOk);
      ++put_;
      sizes_.push_back(used);
    }
    if (random() % 3 == 0) continue;
    if (random() % 2 == 0) {
      take_all(1 + random() % 4000);
      continue;
    }
    // Takes only some: the drain is behind.
    const shm::Walk walk = reader_->walk(1 + random() % 4000);
    ASSERT_NE(walk.end, shm::WalkEnd::kDamaged) << walk.rule;
    for_each_record(walk.frames, [this](std::span<const std::byte> record) {
      ASSERT_EQ(record.size(), sizes_.front());
      ASSERT_TRUE(is_record(record, taken_++));
      sizes_.pop_front();
    });
    reader_->consume(walk.lane_end);
  }
  take_all();
  EXPECT_GT(refused, 0U);
  EXPECT_EQ(producer_.rejected(), refused);
  EXPECT_EQ(put_, taken_);
}

TEST_F(Lane, ClosingFreesTheLockAndKeepsTheRecords) {
  put(10);
  EXPECT_FALSE(reader_->producer_gone());
  producer_.close();
  EXPECT_TRUE(reader_->producer_gone());
  EXPECT_EQ(producer_.put(make_record(0, 10)), Status::kClosed);
  take_all();
}

}  // namespace
}  // namespace spillway::tests
