// A lane is hostile input: whatever stands in it, the reader ends, stays within it, and says which
// rule is broken.
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <random>

#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

constexpr std::uint64_t kSmallLane = 16U * 1024;
constexpr std::size_t kDataOffset = 8192;
constexpr std::uint64_t kWalkBytes = 64U * 1024;

class HostileLane : public ::testing::Test {
 protected:
  void SetUp() override {
    queue_.open();
    ASSERT_EQ(producer_.open(queue_.path().c_str(), "a", {.lane_bytes = kSmallLane}), Status::kOk);
    path_ = queue_.only_lane();
  }
  void TearDown() override {
    // The producer here is no part of the test, and would die of a truncated lane when it closes.
    EXPECT_EQ(truncate(path_.c_str(), kDataOffset + kSmallLane), 0);
    producer_.close();
    if (fd_ >= 0) ::close(fd_);
  }
  /// Writes into the lane file behind everybody's back.
  void poke(std::size_t at, std::span<const std::byte> bytes) {
    if (fd_ < 0) fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_EQ(pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(bytes.size()));
  }
  void poke_word(std::size_t offset, std::uint32_t word) {
    poke(kDataOffset + offset, core::bytes_of(word));
  }
  /// What attach says about the file as it is.
  core::ErrorCode attach_error() {
    auto reader = shm::LaneReader::attach(path_);
    EXPECT_FALSE(reader);
    if (reader) return core::ErrorCode::kBusy;
    EXPECT_NE(reader.error().message.find(path_), std::string::npos) << reader.error().message;
    return reader.error().code;
  }
  std::unique_ptr<shm::LaneReader> attach() { return queue_.attach_only_lane(); }
  /// Walks as the drain does until nothing is left, or damage: bounded, and never outside the lane.
  static void drain(shm::LaneReader& reader) {
    for (int i = 0; i < 2000; ++i) {
      const shm::Walk walk = reader.walk(kWalkBytes);
      ASSERT_LE(walk.lane_end - reader.position(), reader.capacity());
      ASSERT_LE(walk.frames.size(), reader.capacity());
      std::uint64_t sum = 0;
      for (const std::byte byte : walk.frames) sum += static_cast<std::uint64_t>(byte);
      ASSERT_LE(sum, walk.frames.size() * 255);
      if (walk.end == shm::WalkEnd::kDamaged) {
        ASSERT_NE(walk.rule, nullptr);
        return;
      }
      if (walk.lane_end == reader.position()) return;
      reader.consume(walk.lane_end);
    }
  }

  TempQueue queue_;
  Producer producer_;
  std::string path_;
  int fd_ = -1;
};

TEST_F(HostileLane, GarbageIsCorruptAndANewerVersionIsNot) {
  std::vector<std::byte> page(4096);
  std::mt19937_64 random(1);
  for (std::byte& byte : page) byte = static_cast<std::byte>(random());
  const std::uint32_t newer = core::kFormatVersion + 1;
  poke(8, core::bytes_of(newer));
  EXPECT_EQ(attach_error(), core::ErrorCode::kNewerVersion);
  poke(0, page);
  EXPECT_EQ(attach_error(), core::ErrorCode::kCorrupt);
  ASSERT_EQ(ftruncate(fd_, 100), 0);
  EXPECT_EQ(attach_error(), core::ErrorCode::kCorrupt);
  ASSERT_EQ(ftruncate(fd_, 0), 0);
  EXPECT_EQ(attach_error(), core::ErrorCode::kCorrupt);
}

TEST_F(HostileLane, ARefusedRecordIsCountedOnceWhateverStepTheAgentDiesAt) {
  constexpr std::size_t kRefusedAt = 4224 + 32;
  const std::vector<std::byte> record(100);
  const auto first_end = [this, &record] {
    EXPECT_EQ(producer_.put(record), Status::kOk);
    return producer_.position();
  };
  const std::uint64_t end = first_end();
  const std::uint64_t marked = end | 1;
  poke(kRefusedAt + 8, core::bytes_of(marked));  // it died behind its first store
  auto reader = attach();
  ASSERT_TRUE(reader->resume(0));
  EXPECT_EQ(reader->rejected(), 1U);
  EXPECT_EQ(reader->position(), 0U);
  reader = attach();  // and behind the second
  ASSERT_TRUE(reader->resume(0));
  EXPECT_EQ(reader->rejected(), 1U);
  reader->refuse(end);
  EXPECT_EQ(reader->rejected(), 1U);
  EXPECT_EQ(reader->position(), end);
  EXPECT_EQ(producer_.refused(), 1U);
  reader->refuse(first_end());
  EXPECT_EQ(producer_.refused(), 2U);
  reader = attach();  // and behind the third
  ASSERT_TRUE(reader->resume(0));
  EXPECT_EQ(reader->rejected(), 2U);
}

TEST_F(HostileLane, EveryFlippedBitOfTheHeaderIsNoticed) {
  std::vector<std::byte> header(sizeof(format::LaneHeader));
  std::ifstream(path_, std::ios::binary)
      .read(reinterpret_cast<char*>(header.data()), static_cast<std::streamsize>(header.size()));
  for (std::size_t bit = 0; bit < header.size() * 8; ++bit) {
    header[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    poke(0, header);
    EXPECT_FALSE(shm::LaneReader::attach(path_)) << "bit " << bit;
    header[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  }
  poke(0, header);
  EXPECT_TRUE(shm::LaneReader::attach(path_));
}

TEST_F(HostileLane, SymlinksPipesDirectoriesAndSecondNamesAreRefused) {
  const std::string folder = queue_.path() + "/lanes/";
  ASSERT_EQ(symlink(path_.c_str(), (folder + "s.lane").c_str()), 0);
  EXPECT_FALSE(shm::LaneReader::attach(folder + "s.lane"));
  ASSERT_EQ(mkfifo((folder + "p.lane").c_str(), 0600), 0);
  EXPECT_FALSE(shm::LaneReader::attach(folder + "p.lane"));
  ASSERT_EQ(mkdir((folder + "d.lane").c_str(), 0700), 0);
  EXPECT_FALSE(shm::LaneReader::attach(folder + "d.lane"));
  ASSERT_EQ(link(path_.c_str(), (folder + "h.lane").c_str()), 0);
  EXPECT_FALSE(shm::LaneReader::attach(folder + "h.lane"));
  const auto missing = shm::LaneReader::attach(folder + "none.lane");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, core::ErrorCode::kNotFound);
}

TEST_F(HostileLane, BrokenCommitWordsAreNamed) {
  const auto rule_of = [this](std::uint32_t word, std::uint32_t behind_padding) {
    poke_word(0, word);
    poke_word(16, behind_padding);
    auto reader = attach();
    const shm::Walk walk = reader->walk(kWalkBytes);
    EXPECT_EQ(walk.end, shm::WalkEnd::kDamaged);
    EXPECT_TRUE(walk.frames.empty());
    EXPECT_EQ(walk.lane_end, 0U);
    return std::string(walk.rule == nullptr ? "" : walk.rule);
  };
  EXPECT_EQ(rule_of(1, 0), "an empty record");
  EXPECT_EQ(rule_of(kSmallLane / 2 - 32 + 2, 0), "a record larger than the lane's limit");
  EXPECT_EQ(rule_of(0xFFFF'FFFE, 0), "a record larger than the lane's limit");
  // Padding at the very begin is followed by itself, which is no record.
  EXPECT_EQ(rule_of(0xFFFF'FFFF, 0), "padding without a record behind it");
}

TEST_F(HostileLane, APositionAtTheEndOfNumbersIsRefused) {
  constexpr std::size_t kConsumedAt = 4224;
  poke_word(kSmallLane - 32, 17);  // the frame behind which the position would wrap
  for (const std::uint64_t consumed : {~std::uint64_t{0} - 31, std::uint64_t{1} << 62}) {
    poke(kConsumedAt, core::bytes_of(consumed));
    auto reader = shm::LaneReader::attach(path_);
    ASSERT_TRUE(reader);
    const auto resumed = (*reader)->resume(0);
    ASSERT_FALSE(resumed) << consumed;
    EXPECT_EQ(resumed.error().code, core::ErrorCode::kCorrupt);
  }
}

TEST_F(HostileLane, AFramePastTheRingsEndIsNamed) {
  // Three frames of 4 KiB, then one that would need more than is left.
  for (std::size_t at = 0; at < 3; ++at) poke_word(at * 4096, 4096 - 16 + 1);
  poke_word(3U * 4096, 4096 + 1);
  auto reader = attach();
  const shm::Walk walk = reader->walk(kWalkBytes);
  EXPECT_EQ(walk.end, shm::WalkEnd::kDamaged);
  EXPECT_STREQ(walk.rule, "a frame that runs past the ring's end");
}

TEST_F(HostileLane, CommitWordsEverywhereEnd) {
  for (std::size_t at = 0; at < kSmallLane; at += 16) poke_word(at, 17);
  auto reader = attach();
  const shm::Walk walk = reader->walk(kWalkBytes);
  EXPECT_EQ(walk.end, shm::WalkEnd::kDamaged);
  EXPECT_STREQ(walk.rule, "no free header before the consumed position");
}

TEST_F(HostileLane, RandomBytesNeverLeadOutOfTheLane) {
  std::mt19937_64 random(20261123);
  std::vector<std::byte> data(kSmallLane);
  for (int round = 0; round < 300; ++round) {
    for (std::byte& byte : data) byte = static_cast<std::byte>(random());
    // Mostly plausible words, so that walks go far.
    for (std::size_t at = 0; at < kSmallLane; at += 16) {
      const std::uint32_t words[] = {
          0, 17, 33, 100, 0xFFFF'FFFF, 8000, static_cast<std::uint32_t>(random())};
      const std::uint32_t word = words[random() % 40 < 7 ? random() % 7 : 1 + random() % 2];
      std::memcpy(data.data() + at, &word, sizeof word);
    }
    poke(kDataOffset, data);
    auto reader = attach();
    drain(*reader);
    ASSERT_FALSE(HasFatalFailure());
    // The lines are anybody's, too.
    for (std::size_t at = 0; at < 256; ++at) poke(4096 + at, std::span(data).subspan(at, 1));
    auto again = shm::LaneReader::attach(path_);
    ASSERT_TRUE(again);
    if ((*again)->resume(0)) drain(**again);
    poke(4096, std::vector<std::byte>(256));
  }
}

TEST_F(HostileLane, FlippedBitsInALivingLaneNeverLeadOutOfIt) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 500; ++round) {
    Producer producer;
    ASSERT_EQ(producer.open(queue_.path().c_str(), "b", {.lane_bytes = kSmallLane}), Status::kOk);
    const auto lanes = queue_.directory().lanes();
    ASSERT_TRUE(lanes);
    auto reader = shm::LaneReader::attach(lanes->back());
    ASSERT_TRUE(reader);
    ASSERT_TRUE((*reader)->resume(0));
    while (producer.put(make_record(1, 1 + random() % 300)) == Status::kOk) {
    }
    const int fd = ::open(lanes->back().c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    for (int flips = 0; flips < 4; ++flips) {
      const auto at = static_cast<off_t>(kDataOffset + random() % kSmallLane);
      std::uint8_t byte = 0;
      ASSERT_EQ(pread(fd, &byte, 1, at), 1);
      byte = static_cast<std::uint8_t>(byte ^ 1U << (random() % 8));
      ASSERT_EQ(pwrite(fd, &byte, 1, at), 1);
    }
    ::close(fd);
    drain(**reader);
    ASSERT_FALSE(HasFatalFailure());
    producer.close();
    ASSERT_TRUE(queue_.directory().remove(lanes->back()));
  }
}

TEST_F(HostileLane, ATruncatedLaneIsDamagedAndHarmsNobody) {
  for (int i = 0; i < 50; ++i) ASSERT_EQ(producer_.put(make_record(1, 200)), Status::kOk);
  Producer other;
  ASSERT_EQ(other.open(queue_.path().c_str(), "b", {.lane_bytes = kSmallLane}), Status::kOk);
  ASSERT_EQ(other.put(make_record(5, 100)), Status::kOk);
  auto reader = shm::LaneReader::attach(path_);
  ASSERT_TRUE(reader);
  ASSERT_TRUE((*reader)->resume(0));
  // This process' own producer must not touch it any more: its side of a truncated lane is its own
  // problem.
  ASSERT_EQ(truncate(path_.c_str(), 0), 0);
  const shm::Walk walk = (*reader)->walk(kWalkBytes);
  EXPECT_EQ(walk.end, shm::WalkEnd::kDamaged);
  EXPECT_STREQ(walk.rule, "its file was truncated");
  (*reader)->set_quarantined();
  (*reader)->set_durable(0);
  EXPECT_EQ((*reader)->rejected(), 0U);
  const auto lanes = queue_.directory().lanes();
  ASSERT_EQ(lanes->size(), 2U);
  auto second = shm::LaneReader::attach(lanes->at(0) == path_ ? lanes->at(1) : lanes->at(0));
  ASSERT_TRUE(second);
  ASSERT_TRUE((*second)->resume(0));
  EXPECT_TRUE(for_each_record(
      (*second)->walk(kWalkBytes).frames,
      [](std::span<const std::byte> record) { EXPECT_TRUE(is_record(record, 5)); }));
}

TEST_F(HostileLane, TruncationUnderTheHandsOfWhoeverCopiesIsContained) {
  for (int i = 0; i < 50; ++i) ASSERT_EQ(producer_.put(make_record(1, 200)), Status::kOk);
  auto reader = attach();
  const shm::Walk walk = reader->walk(kWalkBytes);
  ASSERT_EQ(walk.frames.size(), 50U * 224);
  ASSERT_EQ(truncate(path_.c_str(), kDataOffset + 4096), 0);
  const std::vector<std::byte> copy(walk.frames.begin(), walk.frames.end());
  EXPECT_FALSE(core::count_frames(copy));
  EXPECT_EQ(reader->walk(kWalkBytes).end, shm::WalkEnd::kDamaged);
}

TEST_F(HostileLane, ABusErrorElsewhereStillKills) {
  auto reader = attach();
  EXPECT_DEATH(raise(SIGBUS), "");
}

TEST_F(HostileLane, QuarantineMovesItAsideAndStaysBounded) {
  for (int i = 0; i < 70; ++i) {
    Producer producer;
    ASSERT_EQ(producer.open(queue_.path().c_str(), "b", {.lane_bytes = kSmallLane}), Status::kOk);
    const auto lanes = queue_.directory().lanes();
    ASSERT_TRUE(lanes);
    ASSERT_TRUE(queue_.directory().quarantine(lanes->back()));
    EXPECT_FALSE(std::filesystem::exists(lanes->back()));
  }
  std::size_t kept = 0;
  for (const auto& entry : std::filesystem::directory_iterator(queue_.path() + "/quarantine")) {
    kept += entry.is_regular_file() ? 1U : 0U;
  }
  EXPECT_EQ(kept, 64U);
}

}  // namespace
}  // namespace spillway::tests
