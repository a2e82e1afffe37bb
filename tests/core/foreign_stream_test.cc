// A foreign stream at a relay: what is acknowledged is what is synced; each journal is read for itself;
// what is dropped is told exactly.
#include "core/codec_helpers.h"
#include "core/foreign_helpers.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/verify.h"

namespace spillway::core::testing {
namespace {

class ForeignStreamTest : public ::testing::Test {
 protected:
  ForeignStreamTest() {
    options_.directory = kDirectory;
    options_.gateway = id(1);
    options_.stream = "telemetry";
    options_.segment_bytes = kForeignSegmentBytesMin;
    options_.max_bytes = 4 * kForeignSegmentBytesMin;
    options_.uplinks = {"cloud"};
  }

  void open() {
    stream_.reset();
    stream_ = value_of(ForeignStream::open(env_, options_));
  }
  Result<void> put(const MadeBlock& block) {
    return stream_->append(journal_, block.header, block.stored);
  }
  Result<void> put_records(std::uint64_t base, std::uint32_t count, std::size_t size = 20) {
    return put(data_block(journal_.id, base, count, size));
  }
  void acknowledge(std::uint64_t sequence, std::uint64_t next) {
    auto cursor = value_of(Cursor::open(env_, std::string(kDirectory) + "/cursors/cloud"));
    value_of(cursor->advance({journal_.id, sequence, next}));
  }
  void expect_records(const Told& told, const Uuid& journal, std::uint64_t first,
                      std::uint64_t next, std::size_t size = 20) {
    const auto found = told.records.find(journal);
    ASSERT_NE(found, told.records.end());
    ASSERT_EQ(found->second.size(), next - first);
    for (const auto& [offset, text] : found->second) {
      ASSERT_EQ(text, text_of(journal, offset, size));
    }
    ASSERT_EQ(found->second.begin()->first, first);
  }
  [[nodiscard]] std::size_t segments() {
    std::size_t count = 0;
    for (const auto& name : value_of(env_.list(kDirectory))) count += name.ends_with(".spill");
    return count;
  }

  env::SimEnv env_{1};
  ForeignOptions options_;
  ForeignJournal journal_{id(10), 4, 100};
  std::unique_ptr<ForeignStream> stream_;
};

TEST_F(ForeignStreamTest, WhatWasStoredIsReadAsItCameUnderTheOriginsIdentity) {
  open();
  EXPECT_FALSE(stream_->position(journal_.id)) << "nothing is known of it";
  value_of(put(clock_block(5)));
  value_of(put(lane_block()));
  value_of(put_records(100, 10));
  value_of(put_records(110, 5));
  value_of(stream_->sync());
  EXPECT_EQ(stream_->position(journal_.id), 115U);
  const Told told = read_everything(env_);
  expect_records(told, journal_.id, 100, 115);
  EXPECT_EQ(told.clock_blocks, 1U);
  auto reader = value_of(StreamReader::open(env_, kDirectory));
  const auto ranges = value_of(reader->journals());
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges[0].journal, journal_.id);
  EXPECT_EQ(ranges[0].sequence, 4U);
  EXPECT_EQ(ranges[0].first_offset, 100U);
  EXPECT_EQ(ranges[0].next_offset, 115U);
  EXPECT_TRUE(value_of(verify_stream(env_, kDirectory)).ok());
}

TEST_F(ForeignStreamTest, WhatASessionRepeatsIsNotStoredAgainAndWhatChangedIs) {
  open();
  value_of(put(lane_block()));
  value_of(put_records(100, 10));
  for (int session = 0; session < 3; ++session) {
    stream_->begin_session();
    value_of(put(lane_block()));
  }
  value_of(put(lane_block(3)));
  value_of(put(lane_block(3, true)));
  value_of(stream_->sync());
  EXPECT_EQ(read_everything(env_).lane_blocks, 3U) << "the lane, its new total, its end";
}

TEST_F(ForeignStreamTest, EachSegmentReadsAlone) {
  options_.max_bytes = 32 * kForeignSegmentBytesMin;
  open();
  value_of(put(clock_block(5)));
  value_of(put(lane_block()));
  for (std::uint64_t base = 100; base < 1100; base += 10) value_of(put_records(base, 10, 1000));
  value_of(stream_->sync());
  ASSERT_GT(segments(), 3U);
  const Told told = read_everything(env_);
  expect_records(told, journal_.id, 100, 1100, 1000);
  EXPECT_EQ(told.lane_blocks, segments());
  EXPECT_EQ(told.clock_blocks, segments());
  auto reader = value_of(StreamReader::open(env_, kDirectory));
  value_of(reader->seek_in(4, 700));
  Told part;
  while (auto item = value_of(reader->next())) tell(*item, part);
  expect_records(part, journal_.id, 700, 1100, 1000);
  EXPECT_TRUE(value_of(verify_stream(env_, kDirectory)).ok());
}

TEST_F(ForeignStreamTest, AJournalThatBeginsBelowTheEndOfTheOneBeforeTakesNothingFromIt) {
  open();
  value_of(put(lane_block()));
  value_of(put_records(100, 50));
  const ForeignJournal before = journal_;
  journal_ = {id(11), 5, 120};  // the gateway lost [120, 150) to a power cut; this relay has them
  value_of(put_records(120, 5));
  value_of(stream_->sync());
  EXPECT_EQ(stream_->position(before.id), 150U);
  EXPECT_EQ(stream_->position(journal_.id), 125U);
  const Told told = read_everything(env_);
  expect_records(told, before.id, 100, 150);
  expect_records(told, journal_.id, 120, 125);
  auto reader = value_of(StreamReader::open(env_, kDirectory));
  const auto ranges = value_of(reader->journals());
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].next_offset, 150U);
  EXPECT_EQ(ranges[1].next_offset, 125U);
  value_of(reader->seek_in(5, 120));
  Told part;
  while (auto item = value_of(reader->next())) tell(*item, part);
  EXPECT_FALSE(part.records.contains(before.id));
  expect_records(part, journal_.id, 120, 125);
  EXPECT_TRUE(value_of(verify_stream(env_, kDirectory)).ok());
}

TEST_F(ForeignStreamTest, AJournalThatWasPassedOnAndFreedIsStillKnown) {
  open();
  value_of(put(lane_block()));
  value_of(put_records(100, 50));
  const ForeignJournal before = journal_;
  journal_ = {id(11), 5, 150};
  value_of(put_records(150, 5));
  value_of(stream_->sync());
  acknowledge(5, 155);
  value_of(stream_->collect());
  EXPECT_EQ(segments(), 1U);
  open();
  EXPECT_EQ(stream_->position(before.id), 150U) << "its origin would send it again";
  EXPECT_EQ(stream_->position(journal_.id), 155U);
}

TEST_F(ForeignStreamTest, AWipedGatewayNumbersItsJournalsAnewAndNothingIsTakenForDelivered) {
  open();
  value_of(put(lane_block()));
  value_of(put_records(100, 50));
  journal_ = {id(12), 0, 0};
  EXPECT_FALSE(stream_->position(journal_.id));
  value_of(put_records(0, 5));
  value_of(stream_->sync());
  expect_records(read_everything(env_), journal_.id, 0, 5);
  auto reader = value_of(StreamReader::open(env_, kDirectory));
  EXPECT_EQ(value_of(reader->journals()).back().sequence, 5U) << "here they ascend";
}

TEST_F(ForeignStreamTest, AFullOneRefusesAndGoesOnOnceItsUplinkHasDelivered) {
  open();
  value_of(put(lane_block()));
  std::uint64_t base = 100;
  Result<void> outcome;
  while ((outcome = put_records(base, 10, 1000))) base += 10;
  EXPECT_EQ(outcome.error().code, ErrorCode::kFull);
  EXPECT_LE(stream_->held_bytes(), options_.max_bytes);
  value_of(stream_->sync());
  EXPECT_EQ(stream_->position(journal_.id), base) << "what was taken before is kept";
  EXPECT_FALSE(put_records(base, 10, 1000)) << "and nothing is dropped for more";
  expect_records(read_everything(env_), journal_.id, 100, base, 1000);
  acknowledge(4, base);
  value_of(put_records(base, 10, 1000));
  value_of(stream_->sync());
  EXPECT_EQ(stream_->position(journal_.id), base + 10);
}

TEST_F(ForeignStreamTest, WhatADropTakesIsToldExactlyWithTheGapsThatWereThere) {
  options_.when_full = WhenFull::kDropOldest;
  open();
  value_of(put(lane_block()));
  value_of(put_records(100, 10, 1000));
  value_of(stream_->append_gap(journal_, 130, format::GapReason::age));
  for (std::uint64_t base = 130; base < 3130; base += 10) value_of(put_records(base, 10, 1000));
  value_of(stream_->sync());
  EXPECT_LE(stream_->held_bytes(), options_.max_bytes);
  const Told told = read_everything(env_);
  const auto& gaps = told.gaps.at(journal_.id);
  ASSERT_EQ(gaps.size(), 3U);
  EXPECT_EQ(gaps[0].first_offset, 100U);
  EXPECT_EQ(gaps[0].next_offset, 110U);
  EXPECT_EQ(gaps[0].reason, format::GapReason::quota);
  EXPECT_EQ(gaps[1].next_offset, 130U);
  EXPECT_EQ(gaps[1].reason, format::GapReason::age) << "the origin's reason, not the relay's";
  EXPECT_EQ(gaps[2].reason, format::GapReason::quota);
  expect_records(told, journal_.id, gaps[2].next_offset, 3130, 1000);
  EXPECT_EQ(stream_->dropped_records(), 10 + gaps[2].count());
  const auto report = value_of(verify_stream(env_, kDirectory));
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.gaps.size(), 3U);
  acknowledge(4, 3130);
  value_of(stream_->collect());
  EXPECT_EQ(segments(), 1U) << "what stands in for them goes as they would have";
}

TEST_F(ForeignStreamTest, AWholeJournalThatWasDroppedIsStillToldOf) {
  options_.when_full = WhenFull::kDropOldest;
  open();
  value_of(put(lane_block()));
  value_of(put_records(100, 10));
  const ForeignJournal before = journal_;
  journal_ = {id(11), 5, 105};
  value_of(put_records(105, 5));
  EXPECT_TRUE(value_of(stream_->drop_oldest(format::GapReason::quota)));
  EXPECT_FALSE(value_of(stream_->drop_oldest(format::GapReason::quota))) << "the last one stays";
  const Told told = read_everything(env_);
  ASSERT_EQ(told.gaps.at(before.id).size(), 1U);
  EXPECT_EQ(told.gaps.at(before.id)[0].next_offset, 110U);
  expect_records(told, journal_.id, 105, 110);
}

TEST_F(ForeignStreamTest, WhatIsOlderThanMaxAgeGoesBySegmentsAndOverARestart) {
  options_.max_age_ns = 3'600'000'000'000;
  options_.max_bytes = 32 * kForeignSegmentBytesMin;
  open();
  value_of(put(lane_block()));
  std::uint64_t base = 100;
  for (; segments() < 3; base += 10) value_of(put_records(base, 10, 1000));
  value_of(stream_->sync());
  env_.advance_ns(options_.max_age_ns / 2 + 1);
  value_of(stream_->collect());
  EXPECT_TRUE(read_everything(env_).gaps.empty());
  env_.restart_after_kill();
  open();
  env_.advance_ns(options_.max_age_ns / 2);
  value_of(stream_->collect());
  const Told told = read_everything(env_);
  ASSERT_EQ(told.gaps.at(journal_.id).size(), 1U);
  EXPECT_EQ(told.gaps.at(journal_.id)[0].reason, format::GapReason::age);
  EXPECT_EQ(stream_->position(journal_.id), base);
}

TEST_F(ForeignStreamTest, AFailedSyncIsNotBelievedAndWhatItCoveredIsWrittenAgain) {
  open();
  value_of(put(lane_block()));
  value_of(put_records(100, 10));
  value_of(stream_->sync());
  value_of(put_records(110, 10));
  env_.fail_syncs(true);
  EXPECT_FALSE(stream_->sync());
  env_.fail_syncs(false);
  open();
  EXPECT_EQ(stream_->position(journal_.id), 120U);
  stream_.reset();
  env_.restart_after_power_cut();
  open();
  EXPECT_EQ(stream_->position(journal_.id), 120U) << "called power-safe, and was not";
  expect_records(read_everything(env_), journal_.id, 100, 120);
}

TEST_F(ForeignStreamTest, AReaderThatFollowsSeesWhatComesOverRollsAndRestarts) {
  options_.max_bytes = 64 * kForeignSegmentBytesMin;
  open();
  value_of(put(lane_block()));
  value_of(put_records(100, 10));
  auto reader = value_of(StreamReader::open(env_, kDirectory));
  Told told;
  std::uint64_t base = 110;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 5; ++i, base += 10) value_of(put_records(base, 10, 20));
    for (int i = 0; i < 3; ++i, base += 10) value_of(put_records(base, 10, 20));
    if (round % 10 == 9) {
      open();
      stream_->begin_session();
      value_of(put(lane_block()));
    }
    while (auto item = value_of(reader->next())) tell(*item, told);
    ASSERT_EQ(told.records[journal_.id].size(), base - 100);
  }
}

TEST_F(ForeignStreamTest, ACompressedBlockHasItsDictionaryInEverySegmentThatHoldsOne) {
  const auto dictionary = train_dictionary();
  MadeBlock declared;
  declared.stored = dictionary->bytes();
  declared.header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::dictionary));
  options_.max_bytes = 64 * kForeignSegmentBytesMin;
  open();
  value_of(put(lane_block()));
  value_of(put(declared));
  std::uint64_t base = 100;
  for (; segments() < 3; base += 5) {
    const auto block = compress_block(sensor_frames(base, 5), 5, dictionary.get());
    auto header = block.header;
    header.mutate_base_offset(base);
    header.mutate_lane_id(kLane);
    value_of(stream_->append(journal_, header, block.stored));
    value_of(stream_->sync());  // one page each: segments fill soon
  }
  auto reader = value_of(StreamReader::open(env_, kDirectory));
  std::uint64_t records = 0;
  while (auto item = value_of(reader->next())) {
    ASSERT_TRUE(std::holds_alternative<Block>(*item)) << "what does not decode comes as a gap";
    records += std::get<Block>(*item).header.count();
  }
  EXPECT_EQ(records, base - 100);
}

}  // namespace
}  // namespace spillway::core::testing
