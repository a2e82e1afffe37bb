// Blocks as an engine's messages, from a spill through the sink's session into an inbox: each must be
// readable by itself, in whatever order they come, and hold what records one by one would have held.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/spill_helpers.h"
#include "uplink/consumer/sources/broker_intake.h"
#include "uplink/memory_inbox.h"
#include "uplink/sinks/memory_sink.h"
#include "uplink/sinks/sink_session.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::BrokerIntake;
using core::EnginePayload;
using core::testing::value_of;

class BlockWayTest : public ::testing::Test {
 protected:
  void drain(FakeSpill& from, EnginePayload payload, MemorySink& to) {
    SinkSessionOptions options;
    options.gateway = {uuid_number(7), "site/pump"};
    options.payload = payload;
    BlockSource* source = &from;
    SinkSession session(std::move(options), std::span(&source, 1), to);
    value_of(session.begin(now_ns));
    for (bool busy = true; busy; now_ns += SinkSession::kRetryNs) {
      const auto bytes = value_of(session.pump(now_ns));
      busy = bytes != 0 || session.in_flight_messages() != 0;
      value_of(session.collect(now_ns, 0));
      value_of(session.on_tick(now_ns));
    }
    letters_error = session.letters_error();
  }
  /// What a consumer makes of the messages, each in a batch of its own.
  static void read(const std::vector<StoredMessage>& messages, MemoryInbox& inbox) {
    BrokerIntake intake({});
    for (const StoredMessage& message : messages) {
      const auto headers = write_envelope(message.envelope);
      const HeaderLookup lookup = [&](std::string_view name) -> std::optional<std::string_view> {
        for (const auto& header : headers) {
          if (header.first == name) return header.second;
        }
        return std::nullopt;
      };
      const Envelope envelope = value_of(BrokerIntake::read(lookup));
      value_of(intake.accept(envelope, std::as_bytes(std::span(message.payload))));
      std::vector<core::Result<void>> outcomes;
      inbox.commit(intake.take(1), outcomes);
      for (const auto& outcome : outcomes) EXPECT_TRUE(outcome);
    }
  }
  std::uint64_t cursor() const { return spill.cursor() ? spill.cursor()->next_offset : 0; }

  FakeSpill spill{"one", 1};
  MemorySink sink;
  std::string letters_error;
  std::uint64_t now_ns = 1'000'000'000;
};

TEST_F(BlockWayTest, EachMessageExplainsItselfWhateverCameBeforeIt) {
  std::mt19937_64 chance(3);
  for (int i = 0; i < 40; ++i) {
    spill.append(static_cast<std::uint32_t>(1 + chance() % 30));
    if (i % 7 == 3) spill.roll();
  }
  drain(spill, EnginePayload::kBlocks, sink);
  EXPECT_TRUE(sink.of(EnvelopeKind::kRecord).empty());
  ASSERT_EQ(sink.of(EnvelopeKind::kBlocks).size(), 40U);
  EXPECT_EQ(cursor(), spill.next_offset());

  std::erase_if(sink.stored, [](const StoredMessage& message) {
    return message.envelope.kind != EnvelopeKind::kBlocks;
  });
  std::shuffle(sink.stored.begin(), sink.stored.end(), chance);
  MemoryInbox inbox;
  read(sink.stored, inbox);
  const auto& rows = inbox.of(uuid_number(7), spill.newest_journal(), "one").rows;
  ASSERT_EQ(rows.size(), spill.next_offset());
  for (const auto& [offset, row] : rows) EXPECT_EQ(row.payload, record_text("one", offset));
  EXPECT_EQ(inbox.doubled(), 0U);
}

TEST_F(BlockWayTest, TheInboxHoldsWhatRecordsOneByOneWouldHaveBroughtTimesToo) {
  FakeSpill same("one", 1);
  for (FakeSpill* each : {&spill, &same}) {
    for (int i = 0; i < 10; ++i) {
      each->append(10);
      if (i % 3 == 2) each->roll();
    }
  }
  MemorySink one_by_one;
  drain(spill, EnginePayload::kBlocks, sink);
  drain(same, EnginePayload::kRaw, one_by_one);
  MemoryInbox blocks;
  read(sink.stored, blocks);
  MemoryInbox records;
  read(one_by_one.stored, records);
  const auto& journal = spill.newest_journal();
  const auto& got = blocks.of(uuid_number(7), journal, "one").rows;
  const auto& wanted = records.of(uuid_number(7), journal, "one").rows;
  ASSERT_EQ(got.size(), 100U);
  ASSERT_EQ(wanted.size(), 100U);
  for (const auto& [offset, row] : wanted) {
    EXPECT_EQ(got.at(offset).payload, row.payload);
    EXPECT_EQ(got.at(offset).topic, row.topic);
    ASSERT_TRUE(row.produced_at_ns);
    EXPECT_EQ(got.at(offset).produced_at_ns, row.produced_at_ns);
  }
}

TEST_F(BlockWayTest, AMessageSaysWhoseTopicItIsAndKeepsItsOrderByIt) {
  spill.append(5);
  drain(spill, EnginePayload::kBlocks, sink);
  const auto blocks = sink.of(EnvelopeKind::kBlocks);
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_FALSE(blocks[0]->envelope.topic.empty());
  EXPECT_EQ(blocks[0]->key, "site/pump/" + blocks[0]->envelope.topic);
  EXPECT_EQ(blocks[0]->envelope.offset, 0U);
  EXPECT_EQ(blocks[0]->envelope.next_offset, 5U);
}

TEST_F(BlockWayTest, ItGoesOnInTheMiddleOfABlockWithoutWhatWasTold) {
  spill.append(10);
  spill.append(10);
  value_of(spill.acknowledge({spill.newest_journal(), 0, 13}));
  drain(spill, EnginePayload::kBlocks, sink);
  const auto blocks = sink.of(EnvelopeKind::kBlocks);
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_EQ(blocks[0]->envelope.offset, 13U);
  EXPECT_EQ(blocks[0]->envelope.next_offset, 20U);
  MemoryInbox inbox;
  read(sink.stored, inbox);
  EXPECT_EQ(inbox.of(uuid_number(7), spill.newest_journal(), "one").rows.size(), 7U);
}

TEST_F(BlockWayTest, EachRecordOfARefusedBlockBecomesALetterAndTheRestGoesOn) {
  for (int i = 0; i < 5; ++i) spill.append(1500);
  sink.refuses = [](const Envelope& envelope) {
    const bool bad = envelope.kind == EnvelopeKind::kBlocks && envelope.offset % 3000 == 1500;
    return std::string(bad ? "too large" : "");
  };
  drain(spill, EnginePayload::kBlocks, sink);
  EXPECT_EQ(cursor(), 7500U);
  ASSERT_EQ(spill.verdicts().size(), 3000U) << "more than one acknowledgement takes";
  std::uint64_t expected = 1500;
  for (const Verdict& verdict : spill.verdicts()) {
    EXPECT_EQ(verdict.offset, expected);
    EXPECT_EQ(verdict.text, "too large");
    expected = expected == 2999 ? 4500 : expected + 1;
  }
  const auto gaps = sink.of(EnvelopeKind::kGap);
  ASSERT_EQ(gaps.size(), 2U);
  EXPECT_EQ(gaps[0]->envelope.offset, 1500U);
  EXPECT_EQ(gaps[0]->envelope.next_offset, 3000U);
  EXPECT_EQ(gaps[1]->envelope.offset, 4500U);
  EXPECT_EQ(gaps[1]->envelope.next_offset, 6000U);
}

TEST_F(BlockWayTest, ARefusedBlockThatCannotBeKeptHoldsTheCursorAtItsFront) {
  for (int i = 0; i < 3; ++i) spill.append(1500);
  sink.refuses = [](const Envelope& envelope) {
    const bool bad = envelope.kind == EnvelopeKind::kBlocks && envelope.offset == 1500;
    return std::string(bad ? "no" : "");
  };
  spill.keep_no_letters(true);
  drain(spill, EnginePayload::kBlocks, sink);
  EXPECT_EQ(cursor(), 1500U);
  EXPECT_NE(letters_error, "");
  spill.keep_no_letters(false);
  drain(spill, EnginePayload::kBlocks, sink);
  EXPECT_EQ(cursor(), 4500U);
  EXPECT_EQ(spill.verdicts().size(), 1500U);
}

}  // namespace
}  // namespace spillway::uplink::test
