// Compressed blocks in a stream: they take less, and nobody who reads notices.
#include <fstream>

#include "codec_helpers.h"
#include "core/spill/paths.h"
#include "core/spill/segment_scan.h"
#include "core/spill/segment_writer.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/verify.h"

namespace spillway::core {
namespace {

using testing::append_records;
using testing::make_identity;
using testing::read_all;
using testing::ReadBack;
using testing::sensor_record;
using testing::sync_now;
using testing::value_of;

class StreamCodecTest : public ::testing::Test {
 protected:
  StreamCodecTest() {
    env_.set_volatile_root("/run");
    options_.name = "test";
    options_.directory = "/spill/test";
    options_.journal_page_path = "/run/journal/test";
    options_.segment_bytes = 64 * 1024;
    options_.max_bytes = 8 << 20;
    options_.compress = Compress::kAlways;
  }

  void open() {
    stream_.reset();
    stream_ = value_of(Stream::open(env_, options_));
    value_of(stream_->declare_lane(make_identity(1), 0, 0, false));
  }

  /// `runs` blocks of `records` sensor records each; the order to train is carried out at once.
  void fill(int runs, int records) {
    for (int i = 0; i < runs; ++i) {
      std::vector<std::string> batch;
      for (int j = 0; j < records; ++j) batch.push_back(sensor_record(stream_->next_offset() + j));
      value_of(append_records(*stream_, 1, batch, ++lane_end_));
      if (auto order = stream_->order_training()) {
        const auto outcome = order->run();
        EXPECT_TRUE(outcome);
        stream_->finish_training(*order, outcome);
      }
    }
  }

  void expect_everything(const ReadBack& back) const {
    ASSERT_EQ(back.records.size(), stream_->next_offset());
    for (const auto& [offset, record] : back.records) ASSERT_EQ(record, sensor_record(offset));
    EXPECT_TRUE(back.gaps.empty());
  }

  struct Kinds {
    std::size_t dictionaries = 0;
    std::size_t compressed = 0;
    std::size_t plain = 0;
  };
  Kinds kinds(bool stored) {
    auto reader = value_of(StreamReader::open(env_, options_.directory));
    reader->offer_stored(stored);
    Kinds found;
    while (auto item = value_of(reader->next())) {
      const auto* block = std::get_if<Block>(&*item);
      if (block == nullptr) continue;
      const auto kind = static_cast<format::BlockKind>(block->header.kind());
      if (kind == format::BlockKind::dictionary) ++found.dictionaries;
      if (kind != format::BlockKind::data) continue;
      ++(is_compressed(block->header) ? found.compressed : found.plain);
      EXPECT_TRUE(
          check_block(block->header, block->stored, block->salt, block->header.base_offset()));
    }
    return found;
  }

  env::SimEnv env_{1};
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
  std::uint64_t lane_end_ = 0;
};

TEST_F(StreamCodecTest, CompressedRecordsAreReadBackWholeAndInOrderAndTakeAFraction) {
  open();
  fill(3000, 4);
  expect_everything(read_all(env_, options_.directory));
  const CompressionTotals totals = stream_->compression();
  EXPECT_EQ(totals.dictionaries, 1U);
  EXPECT_LT(totals.stored_bytes, totals.raw_bytes / 3);
  const Kinds stored = kinds(true);
  EXPECT_GT(stored.compressed, 2500U);
  EXPECT_GT(stored.dictionaries, 2U) << "each segment reads alone";
  const Kinds offered = kinds(false);
  EXPECT_EQ(offered.compressed, 0U);
  EXPECT_EQ(offered.dictionaries, 0U);
  EXPECT_EQ(offered.plain, stored.compressed + stored.plain);
  EXPECT_TRUE(value_of(verify_stream(env_, options_.directory)).ok());
}

TEST_F(StreamCodecTest, ReaderThatBeginsInTheMiddleHasTheDictionary) {
  open();
  fill(3000, 4);
  const std::uint64_t from = stream_->next_offset() / 2 + 1;
  const ReadBack back = read_all(env_, options_.directory, from);
  ASSERT_EQ(back.records.size(), stream_->next_offset() - from);
  EXPECT_EQ(back.records.at(from), sensor_record(from));
}

TEST_F(StreamCodecTest, ABacklogIsWhatMakesAStreamCompress) {
  options_.compress = Compress::kBacklog;
  open();
  fill(40, 4);
  EXPECT_FALSE(stream_->compresses());
  EXPECT_EQ(stream_->compression().compressed_blocks, 0U);
  fill(1500, 4);
  EXPECT_TRUE(stream_->compresses());
  EXPECT_GT(stream_->compression().compressed_blocks, 500U);
  expect_everything(read_all(env_, options_.directory));
  options_.compress = Compress::kNever;
  open();
  fill(500, 4);
  EXPECT_EQ(stream_->compression().compressed_blocks, 0U);
  expect_everything(read_all(env_, options_.directory));
}

TEST_F(StreamCodecTest, APressedLaneIsStoredAsItIs) {
  open();
  const auto frames = testing::sensor_frames(0, 8);
  FrameRun run{1, 1, frames, 1, 1, true};
  value_of(stream_->append(run));
  EXPECT_EQ(stream_->compression().compressed_blocks, 0U);
  run.pressed = false;
  value_of(stream_->append(run));
  EXPECT_EQ(stream_->compression().compressed_blocks, 1U);
}

TEST_F(StreamCodecTest, AHostileRunIsRefusedAndNothingIsPublished) {
  open();
  auto frames = testing::sensor_frames(0, 8);
  frames[4] = std::byte{1};  // flags
  const auto refused = stream_->append({1, 1, frames, 1, 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(stream_->next_offset(), 0U);
  EXPECT_TRUE(read_all(env_, options_.directory).records.empty());
}

TEST_F(StreamCodecTest, AfterARestartTheDictionaryOfTheSpillIsUsedAtOnce) {
  open();
  fill(2000, 2);
  stream_.reset();
  env_.restart_after_kill();
  open();
  fill(300, 1);
  const CompressionTotals totals = stream_->compression();
  EXPECT_EQ(totals.dictionaries, 0U) << "none was trained";
  EXPECT_EQ(totals.compressed_blocks, 300U) << "single records: only the dictionary can";
  expect_everything(read_all(env_, options_.directory));
}

TEST_F(StreamCodecTest, BlocksThatAreWrittenAgainAfterAFailedSyncBringTheirDictionaryAlong) {
  open();
  fill(1500, 2);
  value_of(sync_now(*stream_));
  fill(20, 2);
  const std::uint64_t durable = stream_->durable_offset();
  env_.fail_syncs(true);
  auto plan = stream_->plan_sync();
  ASSERT_TRUE(plan);
  EXPECT_FALSE(stream_->finish_sync(*plan, plan->run()));
  env_.fail_syncs(false);
  value_of(stream_->collect());
  EXPECT_GT(stream_->durable_offset(), durable);
  expect_everything(read_all(env_, options_.directory));
  fill(20, 2);
  expect_everything(read_all(env_, options_.directory));
  EXPECT_TRUE(value_of(verify_stream(env_, options_.directory)).ok());
}

TEST_F(StreamCodecTest, AfterAKillWhileSyncsFailBlocksAndDictionaryAreWrittenAgainTogether) {
  open();
  fill(1500, 2);
  value_of(sync_now(*stream_));
  fill(20, 2);
  env_.fail_syncs(true);
  auto plan = stream_->plan_sync();
  ASSERT_TRUE(plan);
  EXPECT_FALSE(stream_->finish_sync(*plan, plan->run()));
  stream_.reset();
  env_.restart_after_kill();
  env_.fail_syncs(false);
  open();
  expect_everything(read_all(env_, options_.directory));
  EXPECT_TRUE(value_of(verify_stream(env_, options_.directory)).ok());
}

TEST_F(StreamCodecTest, ANewDictionaryTakesOverInTheMiddleOfASegmentOnceTheOldOnesBlocksAreSafe) {
  open();
  fill(600, 4);
  ASSERT_EQ(stream_->compression().dictionaries, 1U);
  const auto bring = [this](std::uint64_t variant) {
    const TrainingOrder order{std::make_shared<Training>()};
    order.training->dictionary = testing::train_dictionary(variant, 1024);
    stream_->finish_training(order, {});
  };
  value_of(sync_now(*stream_));
  bring(5);
  fill(20, 4);
  bring(6);
  fill(20, 4);
  EXPECT_EQ(stream_->compression().dictionaries, 3U);
  bring(7);
  EXPECT_EQ(stream_->compression().dictionaries, 3U) << "what is not safe would need three";
  expect_everything(read_all(env_, options_.directory));
  // What is written again needs both.
  env_.fail_syncs(true);
  EXPECT_FALSE(sync_now(*stream_));
  env_.fail_syncs(false);
  value_of(stream_->collect());
  expect_everything(read_all(env_, options_.directory));
  stream_.reset();
  env_.restart_after_kill();
  open();
  fill(20, 1);
  expect_everything(read_all(env_, options_.directory));
  EXPECT_TRUE(value_of(verify_stream(env_, options_.directory)).ok());
}

/// The checksum holds, the bytes do not decode: only a broken writer makes such a block. Its range is
/// told exactly, and what stands behind it is read.
TEST_F(StreamCodecTest, ABlockThatDoesNotDecodeIsDamageOfItsOwnRangeAlone) {
  open();
  fill(50, 4);
  stream_.reset();
  const auto segments = value_of(list_segments(env_, options_.directory));
  ASSERT_EQ(segments.size(), 1U);
  auto segment = value_of(SegmentWriter::open(env_, segments[0], kSegmentHeaderBytes));
  FileWindow source(segment->file());
  SegmentScan scan(segments[0].header);
  std::uint64_t first = 0;
  while (auto block = value_of(scan.next(source))) {
    if (!is_compressed(block->header) || block->header.base_offset() < 100) continue;
    first = block->header.base_offset();
    std::vector<std::byte> stored(block->stored.begin(), block->stored.end());
    stored[stored.size() / 2] ^= std::byte{0xFF};
    stored[4] ^= std::byte{0xFF};
    auto header = block->header;
    segment->set_tail(block->position);
    BlockDraft draft;
    value_of(segment->write_block(header, stored, draft));
    break;
  }
  ASSERT_GT(first, 0U);
  const ReadBack back = read_all(env_, options_.directory);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].first_offset, first);
  EXPECT_EQ(back.gaps[0].next_offset, first + 4);
  EXPECT_EQ(back.gaps[0].reason, format::GapReason::damage);
  EXPECT_EQ(back.records.size(), 196U);
  const VerifyReport report = value_of(verify_stream(env_, options_.directory));
  ASSERT_EQ(report.damages.size(), 1U);
  EXPECT_EQ(report.damages[0].first_offset, first);
  EXPECT_EQ(report.damages[0].next_offset, first + 4);
}

}  // namespace
}  // namespace spillway::core
