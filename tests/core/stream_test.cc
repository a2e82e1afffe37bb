#include "spillway/core/stream.h"

#include <sys/stat.h>

#include <fstream>
#include <set>

#include "spill_helpers.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/verify.h"

namespace spillway::core {
namespace {

using testing::append_records;
using testing::make_identity;
using testing::read_all;
using testing::sync_now;
using testing::value_of;

class StreamTest : public ::testing::Test {
 protected:
  void open() {
    stream_.reset();
    stream_ = value_of(Stream::open(env_, options_));
    value_of(stream_->declare_lane(make_identity(1), 0, 0, false));
  }

  /// Appends records "<n>" filled up to `bytes` until `count` more are in.
  void fill(int count, std::size_t bytes) {
    for (int i = 0; i < count; ++i) {
      std::string record = std::to_string(stream_->next_offset());
      record.resize(bytes, '.');
      value_of(append_records(*stream_, 1, {record}, ++lane_end_));
    }
  }

  env::Env& env_ = env::posix_env();
  testing::TemporaryDirectory root_;
  StreamOptions options_ = testing::small_options(root_.path());
  std::unique_ptr<Stream> stream_;
  std::uint64_t lane_end_ = 0;
};

TEST_F(StreamTest, WhatWasAppendedIsReadBackWholeAndInOrder) {
  open();
  value_of(append_records(*stream_, 1, {"a", "c", std::string(5000, 'x')}));
  const Appended second = value_of(append_records(*stream_, 1, {"b"}));
  EXPECT_EQ(second.first_offset, 3U);
  EXPECT_EQ(second.next_offset, 4U);
  const auto back = read_all(env_, options_.directory);
  ASSERT_EQ(back.records.size(), 4U);
  EXPECT_EQ(back.records.at(0), "a");
  EXPECT_EQ(back.records.at(1), "c");
  EXPECT_EQ(back.records.at(2), std::string(5000, 'x'));
  EXPECT_EQ(back.records.at(3), "b");
  EXPECT_TRUE(back.gaps.empty());
}

TEST_F(StreamTest, SyncMakesWhatWasPlannedPowerSafeAndNotMore) {
  open();
  value_of(append_records(*stream_, 1, {"a"}));
  auto plan = stream_->plan_sync();
  ASSERT_TRUE(plan);
  EXPECT_FALSE(stream_->plan_sync()) << "one sync at a time";
  value_of(append_records(*stream_, 1, {"b"}));
  value_of(stream_->finish_sync(*plan, plan->run()));
  EXPECT_EQ(stream_->durable_offset(), 1U);
  value_of(sync_now(*stream_));
  EXPECT_EQ(stream_->durable_offset(), 2U);
  EXPECT_FALSE(stream_->plan_sync()) << "everything is power-safe";
  EXPECT_EQ(read_all(env_, options_.directory).records.size(), 2U);
}

TEST_F(StreamTest, SegmentsRollAndEachDeclaresTheLanesAtItsHead) {
  open();
  fill(200, 1000);
  const auto back = read_all(env_, options_.directory);
  EXPECT_EQ(back.records.size(), 200U);
  EXPECT_GE(back.clock_blocks, 4U);
  EXPECT_EQ(back.lane_blocks, back.clock_blocks);
  const auto from_150 = read_all(env_, options_.directory, 150);
  EXPECT_EQ(from_150.records.size(), 50U);
  EXPECT_EQ(from_150.records.begin()->first, 150U);
  EXPECT_GE(from_150.lane_blocks, 1U) << "declarations come first";
}

TEST_F(StreamTest, AKilledWritersJournalGoesOnWithinTheBoot) {
  open();
  fill(10, 100);
  const Uuid journal = stream_->journal();
  open();
  EXPECT_EQ(stream_->journal(), journal);
  EXPECT_FALSE(stream_->recovery().new_journal);
  EXPECT_EQ(stream_->next_offset(), 10U);
  ASSERT_EQ(stream_->lanes().size(), 1U);
  fill(10, 100);
  EXPECT_EQ(read_all(env_, options_.directory).records.size(), 20U);
}

TEST_F(StreamTest, LanesAreKnownAgainWithTheirPositions) {
  open();
  fill(3, 100);
  value_of(stream_->declare_lane(make_identity(2), 77, 5, true));
  stream_.reset();
  stream_ = value_of(Stream::open(env_, options_));
  ASSERT_EQ(stream_->lanes().size(), 2U);
  EXPECT_EQ(stream_->lanes()[0].lane_end, 3U);
  EXPECT_EQ(stream_->lanes()[1].lane_end, 77U);
  EXPECT_EQ(stream_->lanes()[1].rejected, 5U);
  EXPECT_TRUE(stream_->lanes()[1].closed);
  stream_->forget_lane(1);
  ASSERT_EQ(stream_->lanes().size(), 1U);
  EXPECT_EQ(stream_->lanes()[0].identity.lane_id(), 2U);
}

TEST_F(StreamTest, WithoutItsJournalPageANewJournalBeginsAndOffsetsRunOn) {
  open();
  fill(10, 100);
  const Uuid journal = stream_->journal();
  value_of(sync_now(*stream_));
  stream_.reset();
  std::filesystem::remove(options_.journal_page_path);
  open();
  EXPECT_NE(stream_->journal(), journal);
  EXPECT_TRUE(stream_->recovery().new_journal);
  EXPECT_EQ(stream_->next_offset(), 10U);
  fill(5, 100);
  auto reader = value_of(StreamReader::open(env_, options_.directory));
  const auto journals = value_of(reader->journals());
  ASSERT_EQ(journals.size(), 2U);
  EXPECT_EQ(journals[0].journal, journal);
  EXPECT_EQ(journals[0].next_offset, 10U);
  EXPECT_EQ(journals[1].first_offset, 10U);
  EXPECT_EQ(journals[1].next_offset, 15U);
  EXPECT_EQ(journals[1].sequence, 1U);
  EXPECT_EQ(read_all(env_, options_.directory).records.size(), 15U);
}

TEST_F(StreamTest, RecordsThatRotWereProcessSafeBecomeAGapAndANewJournal) {
  open();
  fill(5, 1000);
  value_of(sync_now(*stream_));
  const Uuid journal = stream_->journal();
  stream_.reset();
  const std::string path = options_.directory + "/0000000000-00000000000000000000.spill";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(2 * 4096 + 640 + 2 * 1088 + 100);  // inside the third record's block
  file.put('!');
  file.close();
  open();
  EXPECT_NE(stream_->journal(), journal);
  EXPECT_EQ(stream_->next_offset(), 5U) << "known offsets are never used again";
  fill(1, 10);
  const auto back = read_all(env_, options_.directory);
  EXPECT_EQ(back.records.size(), 3U);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].first_offset, 2U);
  EXPECT_EQ(back.gaps[0].next_offset, 5U);
  EXPECT_EQ(back.gaps[0].reason, format::GapReason::damage);
}

TEST_F(StreamTest, AHostileRunIsRefusedAndHarmsNothing) {
  open();
  value_of(append_records(*stream_, 1, {"good"}));
  auto frames = testing::make_frames({"one", "two"});
  frames[17] = std::byte{0xFF};
  frames[32] = std::byte{0};  // the second frame's commit word: nothing yet
  const auto refused = stream_->append({1, 9, frames, 0, 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(stream_->next_offset(), 1U);
  value_of(append_records(*stream_, 1, {"after"}));
  const auto back = read_all(env_, options_.directory);
  ASSERT_EQ(back.records.size(), 2U);
  EXPECT_EQ(back.records.at(1), "after");
}

TEST_F(StreamTest, ARunFromAnUndeclaredLaneOrATooLongOneIsRefused) {
  open();
  EXPECT_EQ(append_records(*stream_, 99, {"x"}).error().code, ErrorCode::kInvalidArgument);
  const auto longest = static_cast<std::size_t>(stream_->run_bytes_max());
  EXPECT_TRUE(append_records(*stream_, 1, {std::string(longest / 16 * 16 - 16, 'x')}));
  EXPECT_EQ(append_records(*stream_, 1, {std::string(longest, 'x')}).error().code,
            ErrorCode::kInvalidArgument);
}

TEST_F(StreamTest, TheSmallestConfigurableSegmentTakesARecordOfTheUsualSizeBesideAFullHead) {
  for (const std::uint64_t bytes : {kSegmentBytesUsable, std::uint64_t{128} << 10}) {
    stream_.reset();
    std::filesystem::remove_all(options_.directory);
    options_.segment_bytes = bytes;
    options_.max_bytes = 1 << 20;
    open();
    std::uint64_t lane = 1;
    while (stream_->declare_lane(testing::make_identity(++lane), 0, 0, false)) {
    }
    EXPECT_GT(lane, 30U);
    for (char record = 'a'; record < 'e'; ++record) {
      value_of(append_records(*stream_, 1, {std::string(kRecordBytesUsual, record)}));
    }
    EXPECT_EQ(read_all(env_, options_.directory).records.size(), 4U);
  }
}

TEST_F(StreamTest, WhatIsNoFileUnderASegmentsNameIsSetAside) {
  open();
  value_of(append_records(*stream_, 1, {"before"}));
  stream_.reset();
  const std::string next = options_.directory + "/0000000001-00000000000000000001.spill";
  const std::string far = options_.directory + "/0000000900-00000000000000000900.spill";
  for (int round = 0; round < 2; ++round) {  // what was set aside before is in nobody's way
    std::filesystem::create_directories(next + "/in it");
    ASSERT_EQ(::mkfifo(far.c_str(), 0600), 0);
    open();
    EXPECT_NE(stream_->recovery().set_aside.find("it is no file"), std::string::npos);
    value_of(append_records(*stream_, 1, {"after"}));
    EXPECT_EQ(read_all(env_, options_.directory).records.size(),
              2U + static_cast<std::size_t>(round));
    stream_.reset();
  }
  EXPECT_TRUE(std::filesystem::exists(next + ".damaged/in it"));
  EXPECT_TRUE(std::filesystem::exists(far + ".damaged"));
}

TEST_F(StreamTest, ASecondWriterIsRefusedByName) {
  open();
  const auto second = Stream::open(env_, options_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_NE(second.error().message.find("lock"), std::string::npos);
}

TEST_F(StreamTest, ANewerSegmentIsRefusedAndNothingIsTouched) {
  open();
  stream_.reset();
  const std::string path = options_.directory + "/0000000000-00000000000000000000.spill";
  auto file = value_of(env_.open(path, env::OpenMode::kReadWrite));
  format::SegmentHeader header;
  value_of(file->read(0, writable_bytes_of(header)));
  header.mutate_version(kFormatVersion + 1);
  seal_segment_header(header);
  value_of(file->write(0, bytes_of(header)));
  const auto before = value_of(env_.list(options_.directory));
  const auto refused = Stream::open(env_, options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNewerVersion);
  EXPECT_EQ(value_of(env_.list(options_.directory)), before);
  EXPECT_EQ(StreamReader::open(env_, options_.directory).error().code, ErrorCode::kNewerVersion);
}

TEST_F(StreamTest, BootsWithoutARecordCostTheBacklogNothing) {
  open();
  fill(10, 100);
  value_of(stream_->close());
  for (int boot = 0; boot < 40; ++boot) {
    stream_.reset();
    std::filesystem::remove(options_.journal_page_path);
    open();
    EXPECT_TRUE(stream_->recovery().new_journal);
  }
  EXPECT_EQ(stream_->held_bytes(), 2 * options_.segment_bytes);
  EXPECT_TRUE(stream_->gaps().all().empty());
  fill(5, 100);
  EXPECT_EQ(read_all(env_, options_.directory).records.size(), 15U);
}

TEST_F(StreamTest, APageTornByAPowerCutIsNoReasonToRefuseTheStream) {
  open();
  fill(10, 100);
  value_of(stream_->close());
  stream_.reset();
  // The magic was written, the rest of the sector was destroyed: any version may stand there.
  for (const std::string& path : {options_.directory + "/control", options_.directory + "/gaps"}) {
    auto file = value_of(env_.open(path, env::OpenMode::kReadWrite));
    value_of(file->write(8, bytes_of(std::uint64_t{0xE023'1234'DEAD'BEEF})));
  }
  open();
  EXPECT_EQ(stream_->next_offset(), 10U);
  EXPECT_EQ(read_all(env_, options_.directory).records.size(), 10U);
}

TEST_F(StreamTest, DropOldestKeepsTheQuotaAndWritesDownWhatWent) {
  open();
  for (int i = 0; i < 40; ++i) {
    fill(50, 1000);
    EXPECT_LE(stream_->held_bytes(), options_.max_bytes);
    if (auto order = stream_->order_spare()) stream_->finish_spare(*order, order->run());
    EXPECT_LE(stream_->held_bytes(), options_.max_bytes);
  }
  std::uint64_t on_disk = 0;
  for (const auto& entry : std::filesystem::directory_iterator(options_.directory)) {
    if (entry.path().extension() == ".spill") on_disk += entry.file_size();
  }
  EXPECT_EQ(on_disk, stream_->held_bytes());
  const auto back = read_all(env_, options_.directory);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].reason, format::GapReason::quota);
  EXPECT_EQ(back.gaps[0].count() + back.records.size(), 2000U);
  EXPECT_EQ(stream_->oldest_offset(), back.gaps[0].next_offset);
}

TEST_F(StreamTest, RejectNewSaysFullAndRecoversWhenTheUplinkHasAcknowledged) {
  options_.when_full = WhenFull::kRejectNew;
  options_.uplinks = {"cloud"};
  open();
  Result<Appended> outcome = Appended{};
  const std::string record(1000, 'x');
  for (int i = 0; i < 2000 && outcome; ++i) outcome = append_records(*stream_, 1, {record});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kFull);
  const std::uint64_t held = stream_->next_offset();
  EXPECT_EQ(read_all(env_, options_.directory).records.size(), held);
  auto cursor = value_of(Cursor::open(env_, options_.directory + "/cursors/cloud"));
  value_of(cursor->advance({stream_->journal(), 0, held}));
  value_of(stream_->collect());
  value_of(append_records(*stream_, 1, {record}));
  const auto back = read_all(env_, options_.directory);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].reason, format::GapReason::none) << "released after delivery";
}

TEST_F(StreamTest, CollectWaitsForTheSlowestUplinkAndKeepsTheActiveSegment) {
  options_.uplinks = {"a", "b"};
  open();
  fill(300, 1000);
  auto fast = value_of(Cursor::open(env_, options_.directory + "/cursors/a"));
  value_of(fast->advance({stream_->journal(), 0, 300}));
  value_of(stream_->collect());
  EXPECT_EQ(stream_->oldest_offset(), 0U) << "b has not begun";
  auto slow = value_of(Cursor::open(env_, options_.directory + "/cursors/b"));
  value_of(slow->advance({stream_->journal(), 0, 100}));
  value_of(stream_->collect());
  EXPECT_GT(stream_->oldest_offset(), 0U);
  EXPECT_LE(stream_->oldest_offset(), 100U);
  value_of(slow->advance({stream_->journal(), 0, 300}));
  value_of(stream_->collect());
  EXPECT_LT(stream_->oldest_offset(), 300U);
  EXPECT_FALSE(read_all(env_, options_.directory, 290).records.empty());
}

TEST_F(StreamTest, ACursorOfAnotherJournalHoldsEverything) {
  options_.uplinks = {"a"};
  open();
  fill(300, 1000);
  auto cursor = value_of(Cursor::open(env_, options_.directory + "/cursors/a"));
  value_of(cursor->advance({Uuid::from_random(1, 2), 0, 300}));
  value_of(stream_->collect());
  EXPECT_EQ(stream_->oldest_offset(), 0U);
}

TEST_F(StreamTest, TheSpareIsTakenAtTheRollAndALeftOverOneIsUsedAgain) {
  open();
  auto order = stream_->order_spare();
  ASSERT_TRUE(order);
  EXPECT_FALSE(stream_->order_spare()) << "it is being made";
  stream_->finish_spare(*order, order->run());
  EXPECT_FALSE(stream_->order_spare());
  open();
  EXPECT_FALSE(stream_->order_spare()) << "the one left over is whole";
  fill(70, 1000);
  EXPECT_FALSE(std::filesystem::exists(options_.directory + "/spare.spill"));
  EXPECT_TRUE(stream_->order_spare());
}

TEST_F(StreamTest, AtTheQuotaTheOldestSegmentsFileIsUsedAgainAndItsOldBytesAreNoDamage) {
  open();
  const auto inode_of_newest = [this] {
    std::map<std::string, std::filesystem::path> segments;
    for (const auto& entry : std::filesystem::directory_iterator(options_.directory)) {
      const std::string name = entry.path().filename();
      if (name.ends_with(".spill") && name.starts_with("00")) segments[name] = entry.path();
    }
    struct stat facts {};
    EXPECT_EQ(::stat(segments.rbegin()->second.c_str(), &facts), 0);
    return facts.st_ino;
  };
  std::set<ino_t> first_lap;
  while (stream_->held_bytes() + options_.segment_bytes <= options_.max_bytes) {
    fill(10, 1000);
    first_lap.insert(inode_of_newest());
  }
  for (int i = 0; i < 200; ++i) {
    fill(10, 1000);
    EXPECT_TRUE(first_lap.contains(inode_of_newest())) << "a file of its own";
    if (i % 10 == 0) open();
  }
  fill(1, 10);
  stream_.reset();
  // As on another machine: nothing but the segments tells where the stream ends.
  std::filesystem::remove(options_.directory + "/control");
  const auto report = value_of(verify_stream(env_, options_.directory));
  EXPECT_TRUE(report.ok()) << report.damages.front().reason;
  EXPECT_GT(report.gaps.front().count(), 1000U);
}

TEST_F(StreamTest, WhatAnUplinkHasAcknowledgedGivesItsFileToTheNextSegment) {
  options_.uplinks = {"cloud"};
  open();
  fill(300, 1000);
  auto cursor = value_of(Cursor::open(env_, options_.directory + "/cursors/cloud"));
  value_of(cursor->advance({stream_->journal(), 0, 300}));
  value_of(stream_->collect());
  EXPECT_EQ(stream_->held_bytes(), 2 * options_.segment_bytes) << "the active one and the spare";
  const auto order = stream_->order_spare();
  ASSERT_TRUE(order);
  EXPECT_EQ(order->work, SpareOrder::Work::kWarm);
  stream_->finish_spare(*order, order->run());
  EXPECT_FALSE(stream_->order_spare()) << "the recycled one is the spare";
  fill(70, 1000);
  EXPECT_EQ(read_all(env_, options_.directory, 300).records.size(), 70U);
}

TEST_F(StreamTest, OptionsThatCannotWorkAreRefused) {
  StreamOptions bad = options_;
  bad.segment_bytes = 1000;
  EXPECT_EQ(Stream::open(env_, bad).error().code, ErrorCode::kInvalidArgument);
  bad = options_;
  bad.segment_bytes = 512 * 1024;
  EXPECT_EQ(Stream::open(env_, bad).error().code, ErrorCode::kInvalidArgument);
  bad = options_;
  bad.max_bytes = 1000;
  EXPECT_EQ(Stream::open(env_, bad).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(StreamTest, CloseMakesEverythingPowerSafe) {
  open();
  fill(5, 100);
  value_of(stream_->close());
  EXPECT_EQ(stream_->durable_offset(), 5U);
}

}  // namespace
}  // namespace spillway::core
