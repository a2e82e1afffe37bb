// Compressed blocks over the native link: from a real spill to the inbox, as they are stored where
// both ends know the codec, decoded where one does not; and what a hostile uplink could make of
// them.
#include <gtest/gtest.h>

#include "core/codec_helpers.h"
#include "spillway/core/env/sim_env.h"
#include "uplink/memory_inbox.h"
#include "uplink/session/stream_source.h"
#include "uplink/session_pair.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using core::testing::CompressedBlock;
using core::testing::sensor_frames;
using core::testing::sensor_record;
using core::testing::train_dictionary;
using core::testing::value_of;

const core::Uuid kGateway = uuid_number(7);

class CompressedSpillTest : public ::testing::Test {
 protected:
  CompressedSpillTest() {
    core::StreamOptions options;
    options.name = "one";
    options.directory = "/spill/one";
    options.journal_page_path = "/run/journal/one";
    options.segment_bytes = 64 * 1024;
    options.max_bytes = 8 << 20;
    options.compress = core::Compress::kAlways;
    stream_ = value_of(core::Stream::open(env_, options));
    value_of(stream_->declare_lane(core::testing::make_identity(1), 0, 0, false));
    for (int i = 0; i < 2000; ++i) fill();
    source_ = value_of(StreamSource::open(env_, "/spill", "one", "cloud"));
  }

  void fill() {
    std::vector<std::string> batch;
    for (int i = 0; i < 4; ++i) batch.push_back(sensor_record(stream_->next_offset() + i));
    value_of(core::testing::append_records(*stream_, 1, batch, ++lane_end_));
    if (auto order = stream_->order_training()) stream_->finish_training(*order, order->run());
  }

  /// The bytes that went over the wire, in whole messages: how blocks are stored is what counts here.
  std::size_t deliver(bool uplink_knows, bool consumer_knows, std::uint64_t window = 4ULL << 20) {
    UplinkSessionOptions options{kGateway, "site/pump", "cloud", window, uplink_knows, false};
    BlockSource* sources[] = {source_.get()};
    SessionPair pair(options, sources, inbox_, window, consumer_knows);
    EXPECT_TRUE(pair.run()) << pair.error();
    EXPECT_LE(pair.in_flight_max(), window + kMessageBytesTarget);
    std::size_t bytes = 0;
    for (const Bytes& message : pair.sent()) bytes += message.size();
    return bytes;
  }

  void expect_everything() {
    const auto& contents = inbox_.of(kGateway, stream_->journal(), "one");
    ASSERT_EQ(contents.rows.size(), stream_->next_offset());
    for (const auto& [offset, row] : contents.rows) ASSERT_EQ(row.payload, sensor_record(offset));
  }

  core::env::SimEnv env_{1};
  std::unique_ptr<core::Stream> stream_;
  std::unique_ptr<StreamSource> source_;
  MemoryInbox inbox_;
  std::uint64_t lane_end_ = 0;
};

TEST_F(CompressedSpillTest, BlocksGoAsTheyAreStoredWhereBothEndsKnowTheCodec) {
  const std::size_t bytes = deliver(true, true);
  expect_everything();
  EXPECT_LT(bytes, stream_->compression().raw_bytes / 2) << "the wire carries what the disk holds";
}

TEST_F(CompressedSpillTest, AnOlderConsumerOrAnOlderUplinkGetsAlongWithDecodedBlocks) {
  const std::size_t bytes = deliver(true, false);
  expect_everything();
  EXPECT_GT(bytes, stream_->compression().raw_bytes);
  fill();
  deliver(false, true);
  expect_everything();
}

TEST_F(CompressedSpillTest, ASessionThatBeginsInTheMiddleBringsTheDictionaryAlong) {
  deliver(true, true);
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 300; ++i) fill();
    deliver(round % 2 == 0, true, 1 << 20);
    expect_everything();
  }
}

/// What an uplink may send by hand.
class HostileBlocksTest : public ::testing::Test {
 protected:
  HostileBlocksTest() {
    Hello hello{1, kGateway, "g", "u", {{"one", 0, {{kJournal, 0, 0, 1'000'000}}}}, true};
    feed(encode(hello));
    static_cast<void>(consumer_.take_query());
    value_of(consumer_.on_positions(consumer::Positions{std::nullopt}));
  }

  core::Result<void> feed(Bytes message) {
    auto outcome = consumer_.on_message(std::make_shared<const Bytes>(std::move(message)), 1);
    if (outcome) batch_ = consumer_.take_batch();
    return outcome;
  }

  static OwnedBlock block_of(const CompressedBlock& compressed, std::uint64_t base) {
    OwnedBlock block{compressed.header, compressed.stored, 9};
    block.header.mutate_base_offset(base);
    block.header.mutate_lane_id(1);
    seal(block);
    return block;
  }
  static OwnedBlock dictionary_block(const core::Dictionary& dictionary) {
    const auto size = static_cast<std::uint32_t>(dictionary.bytes().size());
    OwnedBlock block{format::BlockHeader(0, size, size, 0, 0,
                                         static_cast<std::uint8_t>(format::BlockKind::dictionary),
                                         0, 0, 0, 0, 0, 0),
                     dictionary.bytes(), 9};
    seal(block);
    return block;
  }
  core::Result<void> feed_blocks(std::vector<OwnedBlock> blocks) {
    blocks.insert(blocks.begin(), make_lane_block(1, "test/one/1", 0, 9));
    return feed(blocks_message(0, kJournal, blocks));
  }
  static void expect_refused(const core::Result<void>& outcome, const std::string& word) {
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, core::ErrorCode::kProtocol);
    EXPECT_NE(outcome.error().message.find(word), std::string::npos) << outcome.error().message;
  }

  const core::Uuid kJournal = uuid_number(3);
  consumer::ConsumerSession consumer_{{}};
  std::optional<consumer::InboxBatch> batch_;
};

TEST_F(HostileBlocksTest, GoodBlocksWithTheirDictionaryAreTaken) {
  const auto dictionary = train_dictionary();
  const auto block = core::testing::compress_block(sensor_frames(0, 5), 5, dictionary.get());
  value_of(feed_blocks({dictionary_block(*dictionary), block_of(block, 0)}));
  ASSERT_TRUE(batch_);
  ASSERT_EQ(batch_->records.size(), 5U);
  const auto payload = batch_->records[4].payload;
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(payload.data()), payload.size()),
            sensor_record(4));
}

TEST_F(HostileBlocksTest, AnUnknownDictionaryEndsTheSessionWithItsName) {
  const auto dictionary = train_dictionary();
  const auto block = core::testing::compress_block(sensor_frames(0, 5), 5, dictionary.get());
  expect_refused(feed_blocks({block_of(block, 0)}), "dictionary");
}

TEST_F(HostileBlocksTest, ALieAboutTheRawSizeEndsTheSession) {
  auto block = core::testing::compress_block(sensor_frames(0, 5), 5, nullptr);
  block.header.mutate_raw_size(block.header.raw_size() + 32);
  expect_refused(feed_blocks({block_of(block, 0)}), "raw size");
}

TEST_F(HostileBlocksTest, WhatDecodesToNoFramesEndsTheSession) {
  const auto block =
      core::testing::compress_block(std::vector<std::byte>(4096, std::byte{7}), 5, nullptr);
  expect_refused(feed_blocks({block_of(block, 0)}), "frame");
}

TEST_F(HostileBlocksTest, AMessageMayAskForSoMuchMemoryAndNoMore) {
  std::vector<std::byte> frames;
  core::testing::add_frame(frames, std::string(core::kDecodedBytesMax - 16, 'x'));
  const auto block = core::testing::compress_block(frames, 1, nullptr);
  ASSERT_LT(block.stored.size(), 200U);
  const std::size_t allowed = kDecodedBytesPerMessageMax / core::kDecodedBytesMax;
  std::vector<OwnedBlock> blocks;
  for (std::size_t i = 0; i < allowed; ++i) blocks.push_back(block_of(block, i));
  value_of(feed_blocks(blocks));
  EXPECT_EQ(batch_->payload_bytes() - batch_->owner->size(), kDecodedBytesPerMessageMax);
  blocks.clear();
  for (std::size_t i = 0; i <= allowed; ++i) blocks.push_back(block_of(block, allowed + i));
  expect_refused(feed_blocks(blocks), "decode to more");
}

TEST_F(HostileBlocksTest, ACompressedBlockThatWasRuledOutEndsTheSession) {
  consumer::ConsumerSession older{{4ULL << 20, false}};
  Hello hello{1, kGateway, "g", "u", {{"one", 0, {{kJournal, 0, 0, 1'000'000}}}}, true};
  value_of(older.on_message(std::make_shared<const Bytes>(encode(hello)), 1));
  static_cast<void>(older.take_query());
  value_of(older.on_positions(consumer::Positions{std::nullopt}));
  const auto block = core::testing::compress_block(sensor_frames(0, 5), 5, nullptr);
  const Bytes message =
      blocks_message(0, kJournal, {make_lane_block(1, "test/one/1", 0, 9), block_of(block, 0)});
  expect_refused(older.on_message(std::make_shared<const Bytes>(message), 1), "rules out");
}

}  // namespace
}  // namespace spillway::uplink::test
