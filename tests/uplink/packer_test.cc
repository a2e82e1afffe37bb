// Messages in their short forms, from Hello to the inbox: how small they become, what an older peer
// gets, and that a dictionary goes over the link once.
#include <gtest/gtest.h>

#include <random>

#include "core/codec_helpers.h"
#include "spillway/core/env/sim_env.h"
#include "uplink/memory_inbox.h"
#include "uplink/session/message_packer.h"
#include "uplink/session/stream_source.h"
#include "uplink/session_pair.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using core::testing::sensor_record;
using core::testing::value_of;

const core::Uuid kGateway = uuid_number(7);

/// A real spill, stored plain, as that of a stream whose uplink keeps up.
class PackedTest : public ::testing::Test {
 protected:
  PackedTest() {
    core::StreamOptions options;
    options.name = "one";
    options.directory = "/spill/one";
    options.journal_page_path = "/run/journal/one";
    options.segment_bytes = 8 << 20;
    options.max_bytes = 128 << 20;
    options.compress = core::Compress::kNever;
    stream_ = value_of(core::Stream::open(env_, options));
    value_of(stream_->declare_lane(core::testing::make_identity(1), 0, 0, false));
    source_ = value_of(StreamSource::open(env_, "/spill", "one", "cloud"));
  }

  void append(const std::vector<std::string>& records) {
    value_of(core::testing::append_records(*stream_, 1, records, ++lane_end_));
    for (const auto& record : records) {
      raw_bytes_ += record.size();
      records_.push_back(record);
    }
  }
  void append_sensor(int blocks, int records_each) {
    for (int i = 0; i < blocks; ++i) {
      std::vector<std::string> batch;
      for (int n = 0; n < records_each; ++n)
        batch.push_back(sensor_record(stream_->next_offset() + n));
      append(batch);
    }
  }

  struct Sent {
    std::size_t bytes = 0;
    std::size_t answered = 0;
    std::size_t dictionaries = 0;
    std::size_t short_blocks = 0;
    std::size_t whole_blocks = 0;
  };
  void begin_session(bool uplink_knows = true, bool consumer_knows = true) {
    UplinkSessionOptions options{kGateway, "site/pump", "cloud", 4ULL << 20, true, uplink_knows};
    BlockSource* sources[] = {source_.get()};
    pair_ = std::make_unique<SessionPair>(
        options, sources, inbox_,
        consumer::ConsumerSessionOptions{4ULL << 20, true, consumer_knows, unpacker_});
  }
  /// What went over the link since the last call.
  Sent deliver() {
    const std::size_t sent_before = pair_->sent().size();
    const std::size_t answered_before = pair_->answered().size();
    EXPECT_TRUE(pair_->run()) << pair_->error();
    Sent sent;
    for (std::size_t i = sent_before; i < pair_->sent().size(); ++i) {
      const Bytes& bytes = pair_->sent()[i];
      sent.bytes += bytes.size();
      const auto message = decode(bytes);
      sent.dictionaries += std::holds_alternative<DictionaryMessage>(*message) ? 1 : 0;
      sent.short_blocks += std::holds_alternative<ShortBlocks>(*message) ? 1 : 0;
      sent.whole_blocks += std::holds_alternative<Blocks>(*message) ? 1 : 0;
    }
    for (std::size_t i = answered_before; i < pair_->answered().size(); ++i) {
      sent.answered += pair_->answered()[i].size();
    }
    return sent;
  }
  void train() {
    if (const auto training = source_->packer().order()) {
      source_->packer().finish(*training, training->run());
    }
  }
  void expect_everything() {
    const auto& contents = inbox_.of(kGateway, stream_->journal(), "one");
    ASSERT_EQ(contents.rows.size(), records_.size());
    for (const auto& [offset, row] : contents.rows) ASSERT_EQ(row.payload, records_[offset]);
    EXPECT_EQ(inbox_.doubled(), 0U);
  }

  core::env::SimEnv env_{1};
  std::unique_ptr<core::Stream> stream_;
  std::unique_ptr<StreamSource> source_;
  MemoryInbox inbox_;
  std::shared_ptr<consumer::MessageUnpacker> unpacker_ =
      std::make_shared<consumer::MessageUnpacker>();
  std::unique_ptr<SessionPair> pair_;
  std::vector<std::string> records_;
  std::uint64_t lane_end_ = 0;
  std::size_t raw_bytes_ = 0;
};

TEST_F(PackedTest, ABacklogIsPackedFromItsFirstMessageOn) {
  append_sensor(500, 20);
  begin_session();
  const Sent sent = deliver();
  expect_everything();
  EXPECT_EQ(sent.whole_blocks, 0U);
  EXPECT_LT(sent.bytes * 5, raw_bytes_);
}

TEST_F(PackedTest, SmallLiveMessagesBecomeSmallOnceThereIsADictionary) {
  begin_session();
  deliver();
  std::size_t dictionaries = 0;
  for (int i = 0; i < 600; ++i) {
    append_sensor(1, 2);
    dictionaries += deliver().dictionaries;
    train();
  }
  EXPECT_EQ(dictionaries, 1U);
  raw_bytes_ = 0;
  Sent late;
  for (int i = 0; i < 200; ++i) {
    append_sensor(1, 2);
    const Sent sent = deliver();
    late.bytes += sent.bytes;
    late.answered += sent.answered;
  }
  expect_everything();
  EXPECT_LT(late.bytes * 3, raw_bytes_) << "two records a message, everything around them included";
  EXPECT_LE(late.answered, 200U * 8);
}

TEST_F(PackedTest, ADictionaryIsToldOnceAndNotAgainToWhoKnowsIt) {
  append_sensor(300, 20);
  begin_session();
  deliver();
  train();
  append_sensor(10, 2);
  EXPECT_EQ(deliver().dictionaries, 1U);
  for (int session = 0; session < 3; ++session) {
    append_sensor(10, 2);
    begin_session();
    const Sent sent = deliver();
    EXPECT_EQ(sent.dictionaries, 0U);
    EXPECT_GT(sent.short_blocks, 0U);
  }
  // Another consumer, or the same one started again, does not.
  unpacker_ = std::make_shared<consumer::MessageUnpacker>();
  append_sensor(10, 2);
  begin_session();
  EXPECT_EQ(deliver().dictionaries, 1U);
  expect_everything();
}

TEST_F(PackedTest, AStreamThatForgoesItsDictionaryIsPackedWithoutOne) {
  source_->packer().forgo_dictionary();
  append_sensor(500, 20);
  begin_session();
  EXPECT_LT(deliver().bytes * 5, raw_bytes_);
  EXPECT_EQ(source_->packer().order(), nullptr) << "it collects samples";
  append_sensor(10, 2);
  const Sent late = deliver();
  EXPECT_EQ(late.dictionaries, 0U);
  EXPECT_EQ(late.whole_blocks, 0U);
  expect_everything();
}

TEST_F(PackedTest, AnOlderPeerOnEitherSideGetsWholeMessages) {
  for (const auto& [uplink_knows, consumer_knows] :
       {std::pair{true, false}, std::pair{false, true}, std::pair{false, false}}) {
    append_sensor(100, 20);
    begin_session(uplink_knows, consumer_knows);
    const Sent sent = deliver();
    EXPECT_EQ(sent.short_blocks + sent.dictionaries, 0U);
    EXPECT_GT(sent.whole_blocks, 0U);
    for (const Bytes& answer : pair_->answered()) {
      EXPECT_FALSE(std::holds_alternative<ShortAck>(*decode(answer)));
    }
    expect_everything();
  }
  // And once both are new, it goes on from there.
  append_sensor(100, 20);
  begin_session();
  EXPECT_GT(deliver().short_blocks, 0U);
  expect_everything();
}

TEST_F(PackedTest, WhatCannotBeCompressedCostsNoMoreThanItself) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string record(100, ' ');
    for (char& c : record) c = static_cast<char>(random());
    append({record});
  }
  begin_session();
  const Sent sent = deliver();
  expect_everything();
  EXPECT_LT(sent.bytes, raw_bytes_ * 23 / 20);
  EXPECT_EQ(sent.dictionaries, 0U);
}

TEST_F(PackedTest, WhatCannotBeCompressedLeavesNothingOfItsDictionaryBehind) {
  append_sensor(300, 20);
  begin_session();
  deliver();
  train();
  append_sensor(10, 2);
  EXPECT_EQ(deliver().dictionaries, 1U);
  // Another source, on the same thread: it has no dictionary yet, and its consumer knows none.
  std::mt19937_64 random(1);
  std::string record(100, ' ');
  for (char& c : record) c = static_cast<char>(random());
  append({record});
  deliver();
  MessagePacker other;
  other.begin_session(true, {});
  const Bytes whole = blocks_message(0, uuid_number(9), {make_data_block("two", 1, 0, 50, 1)});
  const auto message = other.pack(std::get<Blocks>(*decode(whole)), 0);
  ASSERT_TRUE(message);
  const auto decoded = decode(*message);
  ASSERT_TRUE(decoded);
  const auto& shortened = std::get<ShortBlocks>(*decoded);
  ASSERT_TRUE(shortened.compressed);
  consumer::MessageUnpacker knows_none;
  EXPECT_TRUE(knows_none.unpack(shortened, {}));
  expect_everything();
}

TEST_F(PackedTest, ARecordLargerThanAShortMessageGoesAsItIs) {
  append({std::string(core::kPageBytes, 'a')});
  append({std::string((1 << 20) - 8192, 'b')});
  append({"c"});
  begin_session();
  deliver();
  expect_everything();
}

TEST_F(PackedTest, ABetterDictionaryFollowsTheFirstAndAChangedStreamGetsANewOne) {
  begin_session();
  append_sensor(200, 10);
  deliver();
  train();
  std::size_t dictionaries = 0;
  for (int i = 0; i < 300; ++i) {
    append_sensor(10, 10);
    dictionaries += deliver().dictionaries;
    train();
  }
  EXPECT_EQ(dictionaries, 2U);
  std::mt19937_64 random(1);
  for (int i = 0; i < 600 && dictionaries < 3; ++i) {
    for (int n = 0; n < 10; ++n) {
      std::string record = "another kind of record {\"uuid\":\"";
      for (int c = 0; c < 60; ++c) record += static_cast<char>('a' + random() % 26);
      append({record + "\",\"level\":\"warning\",\"text\":\"the pump runs dry\"}"});
    }
    dictionaries += deliver().dictionaries;
    train();
  }
  EXPECT_EQ(dictionaries, 3U);
  expect_everything();
}

}  // namespace
}  // namespace spillway::uplink::test
