// The consumer's session: what it applies, what it refuses.
#include "uplink/consumer/session/consumer_session.h"

#include <gtest/gtest.h>

#include <cstring>

#include "sample_bfbs_generated.h"
#include "spillway/core/schema.h"
#include "uplink/memory_inbox.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::ConsumerSession;
using consumer::ConsumerState;

const core::Uuid kGateway = uuid_number(7);
const core::Uuid kJournal = uuid_number(1);
constexpr std::uint64_t kSalt = 99;

class ConsumerSessionTest : public ::testing::Test {
 protected:
  ConsumerSessionTest() : session_(consumer::ConsumerSessionOptions{}) {}
  core::Result<void> give(const Bytes& bytes) {
    return session_.on_message(std::make_shared<const Bytes>(bytes), 1);
  }
  void greet(std::optional<std::uint64_t> stored = {}) {
    ASSERT_TRUE(give(encode(Hello{1, kGateway, "g", "u", {{"one", 0, {{kJournal, 0, 0, 100}}}}})));
    ASSERT_EQ(session_.take_query()->keys.size(), 1U);
    ASSERT_TRUE(session_.on_positions(consumer::Positions{stored}));
    ASSERT_TRUE(session_.take_output());
  }
  std::vector<OwnedBlock> declared(std::vector<OwnedBlock> blocks) {
    std::vector<OwnedBlock> all{make_clock_block(0, kSalt), make_lane_block(1, "a/b", 0, kSalt)};
    all.insert(all.end(), blocks.begin(), blocks.end());
    return all;
  }
  core::Result<void> give_blocks(const std::vector<OwnedBlock>& blocks) {
    return give(blocks_message(0, kJournal, blocks));
  }
  OwnedBlock data(std::uint64_t base, std::uint32_t count) {
    return make_data_block("one", 1, base, count, kSalt);
  }
  void expect_refused(const core::Result<void>& outcome) {
    EXPECT_FALSE(outcome);
    EXPECT_EQ(session_.state(), ConsumerState::kClosed);
    EXPECT_FALSE(session_.take_batch());
    const auto refusal = session_.take_output();
    ASSERT_TRUE(refusal);
    EXPECT_TRUE(std::holds_alternative<Refusal>(*decode(*refusal)));
  }

  ConsumerSession session_;
};

TEST_F(ConsumerSessionTest, ABlockThatStraddlesIsAppliedFromTheNextOffsetOn) {
  greet(7);
  ASSERT_TRUE(give_blocks(declared({data(0, 10)})));
  const auto batch = session_.take_batch();
  ASSERT_TRUE(batch);
  EXPECT_FALSE(batch->begins);
  EXPECT_EQ(batch->from, 7U);
  EXPECT_EQ(batch->next, 10U);
  ASSERT_EQ(batch->records.size(), 3U);
  EXPECT_EQ(batch->runs[0].first_offset, 7U);
  const std::string first(reinterpret_cast<const char*>(batch->records[0].payload.data()),
                          batch->records[0].payload.size());
  EXPECT_EQ(first, record_text("one", 7));
}

std::span<const std::byte> sample_schema() {
  return std::as_bytes(
      std::span(sample::EverythingBinarySchema::data(), sample::EverythingBinarySchema::size()));
}

TEST_F(ConsumerSessionTest, ASchemaGoesToTheInboxOnceAndItsLanesNameIt) {
  greet();
  const auto schema = sample_schema();
  const std::uint64_t fingerprint = core::schema_fingerprint(schema);
  ASSERT_TRUE(give_blocks(
      {make_clock_block(0, kSalt), make_lane_block(1, "a/b", 0, kSalt, false, fingerprint),
       make_schema_block(schema, 0, kSalt), data(0, 3), make_schema_block(schema, 3, kSalt)}));
  const auto batch = session_.take_batch();
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->schemas.size(), 1U);
  EXPECT_EQ(batch->schemas[0].fingerprint, fingerprint);
  EXPECT_TRUE(std::equal(schema.begin(), schema.end(), batch->schemas[0].bfbs.begin(),
                         batch->schemas[0].bfbs.end()));
  EXPECT_EQ(batch->runs[0].lane->schema_fingerprint, fingerprint);
  // The next segment repeats it.
  ASSERT_TRUE(give_blocks({make_schema_block(schema, 3, kSalt), data(3, 3)}));
  EXPECT_TRUE(session_.take_batch()->schemas.empty());
}

TEST_F(ConsumerSessionTest, WhatIsNoSchemaIsLeftOutAndTheRecordsAreTaken) {
  greet();
  Bytes flipped(sample_schema().begin(), sample_schema().end());
  flipped[0] ^= std::byte{0xFF};
  ASSERT_TRUE(give_blocks(
      declared({make_schema_block({}, 0, kSalt), make_schema_block(flipped, 0, kSalt),
                make_schema_block(Bytes(core::kSchemaBytesMax + 1), 0, kSalt),
                make_schema_block(Bytes(5000, std::byte{0xFF}), 0, kSalt), data(0, 3)})));
  const auto batch = session_.take_batch();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->schemas.empty());
  EXPECT_EQ(batch->records.size(), 3U);
}

TEST_F(ConsumerSessionTest, MoreSchemasThanASessionMayTellAreLeftOut) {
  greet();
  std::size_t kept = 0;
  Bytes schema(sample_schema().begin(), sample_schema().end());
  schema.resize(schema.size() + 8);
  for (std::uint64_t number = 0; number < consumer::kSchemasPerSessionMax + 10; ++number) {
    std::memcpy(schema.data() + schema.size() - 8, &number, 8);
    ASSERT_TRUE(give_blocks(declared({make_schema_block(schema, 0, kSalt)})));
    kept += session_.take_batch()->schemas.size();
  }
  EXPECT_EQ(kept, consumer::kSchemasPerSessionMax);
}

TEST_F(ConsumerSessionTest, AnOldBlockIsIgnored) {
  greet(50);
  ASSERT_TRUE(give_blocks(declared({data(0, 10)})));
  const auto batch = session_.take_batch();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->records.empty());
  EXPECT_EQ(batch->next, 50U);
  // Acknowledged only as far as this session sent.
  EXPECT_EQ(batch->ack_offset, 10U);
}

TEST_F(ConsumerSessionTest, ABlockBeyondTheNextOffsetIsRefused) {
  greet();
  expect_refused(give_blocks(declared({data(1, 5)})));
}

TEST_F(ConsumerSessionTest, RecordsOfAnUndeclaredLaneAreRefused) {
  greet();
  expect_refused(give_blocks({data(0, 5)}));
}

TEST_F(ConsumerSessionTest, AWrongSaltIsRefused) {
  greet();
  OwnedBlock block = data(0, 5);
  block.salt = kSalt + 1;
  expect_refused(give_blocks(declared({block})));
}

TEST_F(ConsumerSessionTest, AnUnknownStreamOrJournalIsRefused) {
  greet();
  expect_refused(give(blocks_message(1, kJournal, declared({data(0, 5)}))));
  ConsumerSession other{consumer::ConsumerSessionOptions{}};
  std::swap(session_, other);
  greet();
  expect_refused(give(blocks_message(0, uuid_number(77), declared({data(0, 5)}))));
}

TEST_F(ConsumerSessionTest, DataBeforeTheHelloOrBeforeTheWelcomeIsRefused) {
  expect_refused(give_blocks(declared({data(0, 5)})));
}

TEST_F(ConsumerSessionTest, ASecondHelloIsRefused) {
  greet();
  expect_refused(give(encode(Hello{1, kGateway, "g", "u", {{"one", 0, {}}}})));
}

TEST_F(ConsumerSessionTest, AGapBeyondTheNextOffsetIsRefusedAndAStraddlingOneIsClipped) {
  greet(10);
  ASSERT_TRUE(give(encode(GapMessage{0, kJournal, 5, 20, 1})));
  const auto batch = session_.take_batch();
  ASSERT_EQ(batch->gaps.size(), 1U);
  EXPECT_EQ(batch->gaps[0].first_offset, 10U);
  EXPECT_EQ(batch->next, 20U);
  expect_refused(give(encode(GapMessage{0, kJournal, 21, 30, 1})));
}

TEST_F(ConsumerSessionTest, NothingIsAcknowledgedBeforeTheCommit) {
  greet();
  ASSERT_TRUE(give_blocks(declared({data(0, 5)})));
  const auto batch = session_.take_batch();
  EXPECT_FALSE(session_.take_output());
  session_.on_committed(*batch);
  const auto ack = session_.take_output();
  ASSERT_TRUE(ack);
  EXPECT_EQ(std::get<Ack>(*decode(*ack)).next_offset, 5U);
}

TEST_F(ConsumerSessionTest, DeclarationsAloneAreKeptButNotAcknowledged) {
  greet();
  ASSERT_TRUE(give_blocks(declared({})));
  const auto batch = session_.take_batch();
  ASSERT_TRUE(batch);
  EXPECT_FALSE(batch->ack_offset);
  EXPECT_EQ(batch->lanes.size(), 1U);
}

TEST_F(ConsumerSessionTest, AFencedSessionAppliesNothingMore) {
  greet();
  static_cast<void>(session_.end(RefusalCode::kFenced, "a newer session"));
  EXPECT_EQ(std::get<Refusal>(*decode(*session_.take_output())).code, RefusalCode::kFenced);
  EXPECT_TRUE(give_blocks(declared({data(0, 5)})));
  EXPECT_FALSE(session_.take_batch());
}

TEST_F(ConsumerSessionTest, ALaneBlockThatLiesIsRefused) {
  greet();
  OwnedBlock lane = make_lane_block(1, "a/b", 0, kSalt);
  lane.header.mutate_lane_id(2);
  seal(lane);
  expect_refused(give_blocks({lane}));
}

}  // namespace
}  // namespace spillway::uplink::test
