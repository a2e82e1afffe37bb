// Bit rot: each bit of a spill flipped in turn, sectors that are stale or stand where another one
// belongs, and the small files. Whatever the disk gives back: a record is delivered right, or its
// exact range is named; nothing crashes, nothing refuses to start.
//
// A spill is one full segment of 64 KiB and the begin of another. SPILLWAY_BIT_ROT_PART=N asks for the
// N-th of many that differ in their records and blocks (0 is a build's test): ./run soak goes through
// 16 of them, 1 MiB. One of 1 MiB in one segment would cost 16 times as much and show no more.
#include <cstdlib>

#include "repair_fixture.h"
#include "spillway/core/cursor.h"
#include "spillway/core/gateway.h"

namespace spillway::core {
namespace {

using testing::value_of;

constexpr std::uint64_t kShards = 16;  // each a test of its own: the machine's cores share them
constexpr std::uint64_t kRepairStride = 61;
#ifdef __SANITIZE_ADDRESS__
constexpr std::uint64_t kBitStride = 8;  // one bit of each byte: a look takes thirty times as long
#else
constexpr std::uint64_t kBitStride = 1;
#endif

constexpr std::uint64_t kSpillBytes = 64 * 1024;
constexpr std::uint64_t kPartsMax = 1000;

std::uint64_t part() {
  const char* text = std::getenv("SPILLWAY_BIT_ROT_PART");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10) % kPartsMax;
}

struct CleanBlock {
  std::uint64_t position = 0;
  std::uint64_t end = 0;
  std::uint64_t first_offset = 0;
  std::uint64_t next_offset = 0;
};

/// A full, sealed segment and a newer one with a few records, and where each block stands.
class RottenSpill {
 public:
  RottenSpill() {
    env_.set_volatile_root("/run");
    options_ = testing::small_options("");
    options_.segment_bytes = kSpillBytes;
    options_.max_bytes = std::max<std::uint64_t>(1 << 20, 4 * options_.segment_bytes);
    fill();
    clean_ = file_bytes(first_);
    walk();
  }

  /// Reads through StreamReader, against the clean bytes: no copy of a record is made.
  void expect_exact(env::Env& env, std::uint64_t& lost_from) {
    auto reader = value_of(StreamReader::open(env, options_.directory));
    value_of(reader->seek(0));
    std::uint64_t at = 0;
    lost_from = all_;
    while (auto item = value_of(reader->next())) {
      if (const auto* gap = std::get_if<Gap>(&*item)) {
        ASSERT_EQ(gap->first_offset, at);
        lost_from = std::min(lost_from, gap->first_offset);
      } else {
        const Block& block = std::get<Block>(*item);
        if (block.header.count() == 0) continue;
        ASSERT_EQ(block.header.base_offset(), at);
        const auto truth = truth_.find(at);
        ASSERT_NE(truth, truth_.end()) << "a block at offset " << at << " that never was";
        const auto& frames = truth->second;
        const bool same = block.stored.size() == frames.size() &&
                          std::memcmp(block.stored.data(), frames.data(), frames.size()) == 0;
        ASSERT_TRUE(same) << "offset " << at;
      }
      at = reader->position();
    }
    lost_from = std::min(lost_from, at);
  }

  /// What a flipped byte of the first segment may cost: nothing outside of a block and in the
  /// header, the rest of the segment inside of one.
  [[nodiscard]] std::uint64_t may_lose_from(std::uint64_t byte) const {
    for (const CleanBlock& block : blocks_) {
      if (byte >= block.position && byte < block.end) {
        return block.first_offset < newest_base_ ? block.first_offset : all_;
      }
    }
    return all_;
  }
  [[nodiscard]] bool is_header(std::uint64_t byte) const {
    if (byte < sizeof(format::SegmentHeader)) return true;
    return std::any_of(blocks_.begin(), blocks_.end(), [byte](const CleanBlock& block) {
      return byte >= block.position && byte < block.position + kBlockHeaderBytes;
    });
  }

  std::vector<std::byte> file_bytes(const std::string& path) {
    auto file = value_of(env_.open(path, env::OpenMode::kRead));
    std::vector<std::byte> bytes(static_cast<std::size_t>(value_of(file->size())));
    value_of(file->read(0, bytes));
    return bytes;
  }
  void write(env::SimEnv& env, const std::string& path, std::uint64_t at,
             std::span<const std::byte> bytes) {
    auto file = value_of(env.open(path, env::OpenMode::kOpenOrCreate));
    value_of(file->write(at, bytes));
    value_of(file->sync_data());
  }

  /// The same files on another machine, in another boot.
  std::unique_ptr<env::SimEnv> another_machine(std::uint64_t seed) {
    if (files_.empty()) {
      for (const std::string& path : value_of(env_.list(options_.directory))) {
        const std::string whole = options_.directory + "/" + path;
        if (path != "cursors") files_[whole] = file_bytes(whole);
      }
    }
    auto env = std::make_unique<env::SimEnv>(seed);
    value_of(env->make_directories(options_.directory + "/cursors"));
    for (const auto& [path, bytes] : files_) write(*env, path, 0, bytes);
    value_of(env->sync_directory(options_.directory));
    return env;
  }

  env::SimEnv env_{1};
  StreamOptions options_;
  const std::string first_ = "/spill/test/0000000000-00000000000000000000.spill";
  std::string newest_;
  std::uint64_t newest_base_ = 0;
  std::uint64_t all_ = 0;
  std::vector<std::byte> clean_;
  std::vector<CleanBlock> blocks_;
  std::map<std::uint64_t, std::vector<std::byte>> truth_;  // a block's frames by its first offset

 private:
  void fill() {
    auto stream = value_of(Stream::open(env_, options_));
    value_of(stream->declare_lane(testing::make_identity(1), 0, 0, false));
    const int other = static_cast<int>(part());
    for (int i = 0; value_of(env_.list(options_.directory)).size() < 6 || i % 16 != 0; ++i) {
      std::vector<std::string> records;
      for (int k = 0; k <= (i + other) % 3; ++k) {
        records.emplace_back(static_cast<std::size_t>(100 + (i * 37 + other * 53) % 700),
                             static_cast<char>('a' + (i + k) % 26));
      }
      truth_[stream->next_offset()] = testing::make_frames(records);
      value_of(testing::append_records(*stream, 1, records, 64));
      if (i % 20 == 19) value_of(testing::sync_now(*stream));
    }
    value_of(stream->close());
    all_ = stream->next_offset();
    stream.reset();
    write(env_, options_.directory + "/control", 4088, std::vector<std::byte>(8));  // synced
    env_.restart_after_power_cut();
    const auto segments = value_of(verify_stream(env_, options_.directory)).segments;
    ASSERT_EQ(segments.size(), 2U);
    ASSERT_TRUE(segments[0].sealed);
    newest_ = segments[1].path;
    newest_base_ = segments[1].base_offset;
  }

  /// By docs/format.md, from the clean bytes.
  void walk() {
    std::uint64_t at = kSegmentHeaderBytes;
    std::uint64_t next = 0;
    while (at + kBlockHeaderBytes <= clean_.size()) {
      format::BlockHeader header;
      std::memcpy(&header, clean_.data() + at, sizeof(header));
      if (header.kind() == 0) {
        at = round_up(at + 1, kPageBytes);
        continue;
      }
      const std::uint64_t end = at + kBlockHeaderBytes + header.stored_size();
      blocks_.push_back({at, end, next, next + header.count()});
      next += header.count();
      at = round_up(end, kBlockAlignment);
    }
    ASSERT_EQ(next, newest_base_);
  }

  std::map<std::string, std::vector<std::byte>> files_;
};

class BitRotTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(BitRotTest, EachFlippedBitIsDeliveredRightOrNamedExactly) {
  RottenSpill spill;
  const std::uint64_t share = spill.clean_.size() / kShards;
  std::uint64_t flips = 0;
  for (std::uint64_t byte = GetParam() * share; byte < (GetParam() + 1) * share; ++byte) {
    const std::uint64_t may_lose_from = spill.may_lose_from(byte);
    for (std::uint64_t bit = byte * 8 + byte % kBitStride; bit < byte * 8 + 8;
         bit += kBitStride, ++flips) {
      spill.env_.flip_bit(spill.first_, bit);
      std::uint64_t lost_from = 0;
      spill.expect_exact(spill.env_, lost_from);
      EXPECT_EQ(lost_from, may_lose_from) << "bit " << bit;
      const VerifyReport report = value_of(verify_stream(spill.env_, spill.options_.directory));
      const bool named =
          may_lose_from == spill.all_ || report.damages.at(0).first_offset == lost_from;
      EXPECT_TRUE(named) << "bit " << bit;
      EXPECT_TRUE(byte >= sizeof(format::SegmentHeader) || !report.ok()) << "bit " << bit;
      spill.env_.flip_bit(spill.first_, bit);
      if (::testing::Test::HasFailure()) return;
    }
  }
  std::printf("[ flips    ] %llu\n", static_cast<unsigned long long>(flips));
}

TEST_P(BitRotTest, AnAgentStartsOnAnyFlippedBitAndLosesNoMore) {
  RottenSpill spill;
  const std::uint64_t share = spill.clean_.size() / kShards;
  std::uint64_t starts = 0;
  for (std::uint64_t byte = GetParam() * share; byte < (GetParam() + 1) * share; ++byte) {
    const bool all_bits = byte < sizeof(format::SegmentHeader);
    for (std::uint64_t bit = 0; bit < 8; ++bit) {
      // Another bit of each byte in each part: 8 of them go through all.
      if (!all_bits && bit != (byte + part()) % 8) continue;
      SCOPED_TRACE("bit " + std::to_string(byte * 8 + bit));
      const auto env = spill.another_machine(byte);
      env->flip_bit(spill.first_, byte * 8 + bit);
      auto stream = Stream::open(*env, spill.options_);
      ASSERT_TRUE(stream) << stream.error().message;
      EXPECT_EQ((*stream)->next_offset(), spill.all_);
      ++starts;
      // The reader's part was seen above; here a few are enough.
      std::uint64_t lost_from = spill.may_lose_from(byte);
      if (byte % 16 == 0) spill.expect_exact(*env, lost_from);
      EXPECT_EQ(lost_from, spill.may_lose_from(byte));
      if (::testing::Test::HasFailure()) return;
    }
  }
  std::printf("[ starts   ] %llu\n", static_cast<unsigned long long>(starts));
}

TEST_P(BitRotTest, ABitOfTheNewestSegmentCostsItsTailAndNoOffsetIsUsedTwice) {
  RottenSpill spill;
  const auto newest = value_of(verify_stream(spill.env_, spill.options_.directory)).segments[1];
  const std::uint64_t share = round_up(newest.used_bytes, kShards) / kShards;
  for (std::uint64_t byte = GetParam() * share; byte < (GetParam() + 1) * share; ++byte) {
    SCOPED_TRACE("byte " + std::to_string(byte));
    const auto env = spill.another_machine(byte);
    env->flip_bit(spill.newest_, byte * 8 + byte % 8);
    auto stream = Stream::open(*env, spill.options_);
    ASSERT_TRUE(stream) << stream.error().message;
    EXPECT_EQ((*stream)->next_offset(), spill.all_) << "the control page says what was power-safe";
    std::uint64_t lost_from = 0;
    spill.expect_exact(*env, lost_from);
    EXPECT_GE(lost_from, newest.base_offset);
    EXPECT_TRUE(byte >= sizeof(format::SegmentHeader) || lost_from == spill.all_);
    for (const Damage& damage : value_of(verify_stream(*env, spill.options_.directory)).damages) {
      EXPECT_TRUE(damage.nothing_lost) << "a loss that is not written down: " << damage.reason;
    }
    if (::testing::Test::HasFailure()) return;
  }
}

TEST_P(BitRotTest, ARepairMakesAnyFlippedBitGood) {
  RottenSpill spill;
  const std::uint64_t share = spill.clean_.size() / kShards;
  for (std::uint64_t byte = GetParam() * share; byte < (GetParam() + 1) * share;
       byte += kRepairStride / (spill.is_header(byte) ? 16 : 1)) {
    SCOPED_TRACE("byte " + std::to_string(byte));
    const auto env = spill.another_machine(byte);
    env->flip_bit(spill.first_, byte * 8 + byte % 8);
    const auto report = repair_stream(*env, spill.options_.directory, {});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->after.ok());
    std::uint64_t lost_from = 0;
    spill.expect_exact(*env, lost_from);
    EXPECT_EQ(lost_from, spill.all_);
    if (::testing::Test::HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Shards, BitRotTest, ::testing::Range<std::uint64_t>(0, kShards));

/// Sectors of a disk that lies: at each place, one that belongs elsewhere or is of another time.
TEST(LyingDiskTest, StaleAndMisdirectedSectorsAreRejected) {
  RottenSpill spill;
  const std::vector<std::byte> other = spill.file_bytes(spill.newest_);
  for (const std::size_t sector : {std::size_t{512}, std::size_t{4096}}) {
    const std::size_t count = spill.clean_.size() / sector;
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<const std::byte> clean(spill.clean_);
      const std::vector<std::byte> blank(sector);
      const std::span<const std::byte> wrong[] = {
          std::span(other).subspan(i * sector, sector),     // of another segment
          clean.subspan((i + 1) % count * sector, sector),  // its neighbour
          clean.subspan((i + count / 2) % count * sector, sector),
          blank,  // the write was lost
      };
      for (const auto& bytes : wrong) {
        spill.write(spill.env_, spill.first_, i * sector, bytes);
        std::uint64_t lost_from = 0;
        spill.expect_exact(spill.env_, lost_from);
        static_cast<void>(value_of(verify_stream(spill.env_, spill.options_.directory)));
        ASSERT_FALSE(HasFailure()) << "sector " << i << " of " << sector;
      }
      spill.write(spill.env_, spill.first_, i * sector, clean.subspan(i * sector, sector));
    }
  }
}

TEST(LyingDiskTest, AnEarlierLifeOfARecycledFileNeverComesBack) {
  // The same segment as it stood under its last salt: other records under the same offsets.
  RottenSpill spill;
  std::vector<std::byte> earlier = spill.clean_;
  format::SegmentHeader header;
  std::memcpy(&header, earlier.data(), sizeof(header));
  for (const CleanBlock& block : spill.blocks_) {
    format::BlockHeader made;
    std::memcpy(&made, earlier.data() + block.position, sizeof(made));
    const std::span<std::byte> stored(earlier.data() + block.position + sizeof(made),
                                      made.stored_size());
    if (made.count() > 0) stored[20] ^= std::byte{1};
    made.mutate_checksum(block_checksum(made, stored, header.salt() + 1));
    std::memcpy(earlier.data() + block.position, &made, sizeof(made));
  }
  for (std::size_t at = kSegmentHeaderBytes; at < earlier.size(); at += 512) {
    spill.write(spill.env_, spill.first_, at, std::span(earlier).subspan(at, 512));
    std::uint64_t lost_from = 0;
    spill.expect_exact(spill.env_, lost_from);
    ASSERT_FALSE(HasFailure()) << "from the beginning to byte " << at;
  }
}

/// A stream with a quota gap, an uplink's cursor, and its journal page still there.
class SmallFiles : public ::testing::Test {
 protected:
  SmallFiles() {
    options_ = testing::small_options("");
    auto stream = value_of(Stream::open(env_, options_));
    value_of(stream->declare_lane(testing::make_identity(1), 0, 0, false));
    for (int i = 0; i < 1200; ++i) {
      value_of(testing::append_records(*stream, 1, {std::string(1000, 'x')}));
    }
    value_of(stream->close());
    next_ = stream->next_offset();
    oldest_ = stream->oldest_offset();
    auto cursor = value_of(Cursor::open(env_, options_.directory + "/cursors/cloud"));
    for (const std::uint64_t ahead : {10, 20}) {
      value_of(cursor->advance({stream->journal(), 0, oldest_ + ahead}));
      value_of(cursor->sync());
    }
    options_.uplinks = {"cloud"};
  }

  /// Flips each bit of [0, bytes) of the file and starts an agent.
  void flip_each(const std::string& path, std::uint64_t first_byte, std::uint64_t bytes) {
    for (std::uint64_t bit = first_byte * 8; bit < (first_byte + bytes) * 8; ++bit) {
      SCOPED_TRACE(path + ", bit " + std::to_string(bit));
      env_.flip_bit(path, bit);
      env_.restart_after_kill();
      auto stream = Stream::open(env_, options_);
      ASSERT_TRUE(stream) << stream.error().message;
      EXPECT_EQ((*stream)->next_offset(), next_) << "offsets were skipped, or used again";
      EXPECT_EQ((*stream)->oldest_offset(), oldest_);
      value_of((*stream)->collect());
      EXPECT_EQ((*stream)->oldest_offset(), oldest_) << "freed, but nobody has acknowledged it";
      stream->reset();
      const testing::ReadBack back = testing::read_all(env_, options_.directory);
      EXPECT_EQ(back.records.size(), next_ - oldest_);
      std::uint64_t missing = 0;
      for (const Gap& gap : back.gaps) missing += gap.count();
      EXPECT_EQ(missing, oldest_);
      if (HasFailure()) return;
    }
  }

  env::SimEnv env_{1};
  StreamOptions options_;
  std::uint64_t next_ = 0;
  std::uint64_t oldest_ = 0;
};

TEST_F(SmallFiles, AFlippedBitOfTheControlPageCostsNothing) {
  flip_each(options_.directory + "/control", 0, sizeof(format::StreamControl));
}

TEST_F(SmallFiles, AFlippedBitOfTheGapTablesCostsAtMostTheReason) {
  flip_each(options_.directory + "/gaps", 0, sizeof(format::GapTableHeader));
  flip_each(options_.directory + "/gaps", kPageBytes, 2 * sizeof(format::GapEntry));
  constexpr std::uint64_t kSecond = kPageBytes + GapTable::kEntriesMax * sizeof(format::GapEntry);
  flip_each(options_.directory + "/gaps", kSecond, sizeof(format::GapTableHeader));
  flip_each(options_.directory + "/gaps", kSecond + kPageBytes, 2 * sizeof(format::GapEntry));
}

TEST_F(SmallFiles, AFlippedBitOfACursorFreesNothing) {
  flip_each(options_.directory + "/cursors/cloud", 0, sizeof(format::CursorSlot));
  flip_each(options_.directory + "/cursors/cloud", kPageBytes, sizeof(format::CursorSlot));
}

TEST_F(SmallFiles, AFlippedBitOfTheJournalPageSkipsNoOffset) {
  options_.max_bytes = 8 << 20;  // a new journal takes a new segment
  flip_each(options_.journal_page_path, 0, sizeof(format::JournalPage));
}

TEST(GatewayFile, AFlippedBitIsHealedAndTheGatewayStaysItself) {
  env::SimEnv env(1);
  value_of(env.make_directories("/spill"));
  const Gateway made = value_of(claim_gateway(env, "/spill", "a machine"));
  const std::uint64_t bytes = value_of(env::read_file(env, "/spill/gateway", 4096)).size();
  for (std::uint64_t bit = 0; bit < bytes * 8; ++bit) {
    env.flip_bit("/spill/gateway", bit);
    const auto loaded = load_gateway(env, "/spill");
    ASSERT_TRUE(loaded) << "bit " << bit << ": " << loaded.error().message;
    EXPECT_EQ(loaded->id, made.id) << "bit " << bit;
    const auto claimed = claim_gateway(env, "/spill", "a machine");
    ASSERT_TRUE(claimed) << "bit " << bit << ": " << claimed.error().message;
    EXPECT_EQ(claimed->id, made.id) << "bit " << bit;
    EXPECT_TRUE(claimed->cloned_from.is_nil());
  }
}

}  // namespace
}  // namespace spillway::core
