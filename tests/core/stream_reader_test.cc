#include "spillway/core/stream_reader.h"

#include "spill_helpers.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

using testing::append_records;
using testing::make_identity;
using testing::read_all;
using testing::read_more;
using testing::ReadBack;
using testing::value_of;

class StreamReaderTest : public ::testing::Test {
 protected:
  StreamReaderTest() {
    options_ = testing::small_options("");
    options_.uplinks = {"cloud"};
    open();
  }

  void open() {
    stream_.reset();
    stream_ = value_of(Stream::open(env_, options_));
    value_of(stream_->declare_lane(make_identity(1), 0, 0, false));
  }

  void fill(int count, std::size_t bytes = 1000) {
    for (int i = 0; i < count; ++i) {
      value_of(append_records(*stream_, 1, {std::string(bytes, 'x')}));
    }
  }

  std::unique_ptr<StreamReader> reader() {
    return value_of(StreamReader::open(env_, options_.directory));
  }

  env::SimEnv env_{1};
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(StreamReaderTest, AnAbsentStreamIsNamed) {
  const auto refused = StreamReader::open(env_, "/nowhere");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNotFound);
  EXPECT_NE(refused.error().message.find("/nowhere"), std::string::npos);
}

TEST_F(StreamReaderTest, AFollowerSeesEachRecordOnceAcrossSyncsAndRolls) {
  auto follower = reader();
  ReadBack back;
  for (int i = 0; i < 200; ++i) {
    fill(1, static_cast<std::size_t>(i) * 37 % 3000 + 1);
    if (i % 5 == 0) value_of(testing::sync_now(*stream_));
    read_more(*follower, back);
    ASSERT_EQ(back.records.size(), static_cast<std::size_t>(i) + 1);
  }
  EXPECT_TRUE(back.gaps.empty());
}

TEST_F(StreamReaderTest, AFollowerGoesOnWhenTheWriterIsKilledAndStartsAgain) {
  auto follower = reader();
  ReadBack back;
  fill(5);
  read_more(*follower, back);
  open();
  fill(5);
  read_more(*follower, back);
  EXPECT_EQ(back.records.size(), 10U);
}

TEST_F(StreamReaderTest, AFollowerGoesOnIntoANewJournal) {
  auto follower = reader();
  ReadBack back;
  fill(5);
  read_more(*follower, back);
  stream_.reset();
  value_of(env_.remove(options_.journal_page_path));
  open();
  fill(5);
  read_more(*follower, back);
  EXPECT_EQ(back.records.size(), 10U);
  EXPECT_EQ(back.journals.size(), 2U);
  EXPECT_EQ(back.journal_of.at(4), 0U);
  EXPECT_EQ(back.journal_of.at(5), 1U);
}

TEST_F(StreamReaderTest, AFollowerReadsOnThroughARewriteAfterAFailedSync) {
  auto follower = reader();
  ReadBack back;
  fill(5);
  read_more(*follower, back);
  fill(2);
  env_.fail_at(env_.steps(), {ErrorCode::kIo, "EIO"});
  value_of(testing::sync_now(*stream_));
  EXPECT_EQ(stream_->durable_offset(), 7U) << "written again and synced";
  fill(5);
  read_more(*follower, back);
  EXPECT_EQ(back.records.size(), 12U);
  EXPECT_TRUE(back.gaps.empty());
  EXPECT_EQ(read_all(env_, options_.directory).records.size(), 12U);
}

TEST_F(StreamReaderTest, ARewriteAfterAFailedSyncKeepsTheRecordsOfALaneThatHasEnded) {
  fill(1);
  value_of(testing::sync_now(*stream_));
  fill(1);
  value_of(stream_->declare_lane(make_identity(1), 1, 0, true));
  stream_->forget_lane(1);
  env_.fail_at(env_.steps(), {ErrorCode::kIo, "EIO"});
  value_of(testing::sync_now(*stream_));
  EXPECT_EQ(stream_->durable_offset(), 2U);
  const auto back = read_all(env_, options_.directory);
  EXPECT_EQ(back.records.size(), 2U);
  EXPECT_TRUE(back.gaps.empty());
}

TEST_F(StreamReaderTest, ASegmentRecycledUnderTheReaderIsAGapWithItsReasonAndNoDamage) {
  options_.uplinks.clear();
  open();
  auto slow = reader();
  fill(5);
  ReadBack back;
  value_of(slow->next());  // inside the first segment
  for (int i = 0; i < 200; ++i) {
    fill(30);
    if (i % 50 == 49) read_more(*slow, back);
  }
  read_more(*slow, back);
  std::uint64_t missing = 0;
  for (const Gap& gap : back.gaps) {
    EXPECT_EQ(gap.reason, format::GapReason::quota) << gap.first_offset << ".." << gap.next_offset;
    missing += gap.count();
  }
  EXPECT_GT(missing, 0U);
  EXPECT_EQ(back.records.size() + missing, 6005U);
}

TEST_F(StreamReaderTest, SeekGivesDeclarationsFirstAndTheStraddlingBlockItsSkip) {
  for (int i = 0; i < 10; ++i) value_of(append_records(*stream_, 1, {"a", "b", "c"}));
  auto from = reader();
  value_of(from->seek(7));
  EXPECT_EQ(from->position(), 7U);
  auto clock = value_of(from->next());
  ASSERT_TRUE(clock);
  EXPECT_EQ(std::get<Block>(*clock).header.kind(),
            static_cast<std::uint8_t>(format::BlockKind::clock));
  auto lane = value_of(from->next());
  ASSERT_TRUE(lane);
  EXPECT_EQ(std::get<Block>(*lane).header.kind(),
            static_cast<std::uint8_t>(format::BlockKind::lane));
  auto data = value_of(from->next());
  ASSERT_TRUE(data);
  EXPECT_EQ(std::get<Block>(*data).header.base_offset(), 6U);
  EXPECT_EQ(std::get<Block>(*data).skip_below, 7U);
  EXPECT_EQ(from->position(), 9U);
  EXPECT_EQ(read_all(env_, options_.directory, 7).records.size(), 23U);
}

TEST_F(StreamReaderTest, ALaggingReaderLearnsWhatTheQuotaDropped) {
  auto lagging = reader();
  ReadBack back;
  fill(10);
  read_more(*lagging, back);
  fill(2500);
  read_more(*lagging, back);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].reason, format::GapReason::quota);
  EXPECT_EQ(back.records.size() + back.gaps[0].count(), 2510U);
}

TEST_F(StreamReaderTest, ARottenBlockCostsTheRestOfItsSegmentAsOneGap) {
  fill(200);
  const auto whole = read_all(env_, options_.directory);
  const std::string first = options_.directory + "/0000000000-00000000000000000000.spill";
  env_.flip_bit(first, 8 * 20000);
  const auto back = read_all(env_, options_.directory);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].reason, format::GapReason::damage);
  EXPECT_EQ(back.records.size() + back.gaps[0].count(), whole.records.size());
  EXPECT_LT(back.gaps[0].next_offset, 100U);
}

TEST_F(StreamReaderTest, ASegmentWhoseHeaderIsRottenIsOneGap) {
  fill(200);
  const std::string second = [this] {
    for (const std::string& name : value_of(env_.list(options_.directory))) {
      if (name.starts_with("0000000001-")) return options_.directory + "/" + name;
    }
    return std::string();
  }();
  ASSERT_FALSE(second.empty());
  env_.flip_bit(second, 8 * 100);
  env_.flip_bit(second, 8 * 61);  // one bit alone would be healed
  const auto back = read_all(env_, options_.directory);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.records.size() + back.gaps[0].count(), 200U);
}

TEST_F(StreamReaderTest, TheControlPageTellsWhatIsPublishedInThisBootOnly) {
  fill(3);
  auto any = reader();
  const auto control = any->control();
  ASSERT_TRUE(control);
  EXPECT_EQ(control->next_offset(), 3U);
  any.reset();
  stream_.reset();
  env_.restart_after_power_cut();
  EXPECT_FALSE(reader()->control());
}

TEST_F(StreamReaderTest, JournalsSayWhichOffsetsAreTheirs) {
  fill(5);
  const auto journals = value_of(reader()->journals());
  ASSERT_EQ(journals.size(), 1U);
  EXPECT_EQ(journals[0].journal, stream_->journal());
  EXPECT_EQ(journals[0].first_offset, 0U);
  EXPECT_EQ(journals[0].next_offset, 5U);
}

}  // namespace
}  // namespace spillway::core
