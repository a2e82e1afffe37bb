// SinkSession: what an engine is told, and how far the cursor may go for it.
#include "uplink/sinks/sink_session.h"

#include <gtest/gtest.h>

#include "core/spill_helpers.h"
#include "uplink/sinks/memory_sink.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using core::testing::value_of;

constexpr std::uint64_t kSecondNs = 1'000'000'000;

class SinkSessionTest : public ::testing::Test {
 protected:
  SinkSession& begin(SinkSessionOptions options = {}) {
    options.gateway = {uuid_number(7), "site/pump"};
    value_of(sink.connect(0));
    source = &spill;
    session.emplace(std::move(options), std::span(&source, 1), sink);
    value_of(session->begin(now_ns));
    return *session;
  }
  /// Until nothing moves any more.
  void drain() {
    constexpr int kRoundsMax = 10'000;
    for (int i = 0; i < kRoundsMax; ++i) {
      const auto bytes = value_of(session->pump(now_ns));
      const auto before = session->in_flight_messages();
      value_of(session->collect(now_ns, 0));
      if (bytes == 0 && before == 0) return;
    }
    FAIL() << "the session does not come to an end";
  }
  std::uint64_t cursor() const { return spill.cursor() ? spill.cursor()->next_offset : 0; }

  FakeSpill spill{"one", 1};
  MemorySink sink;
  BlockSource* source = nullptr;
  std::optional<SinkSession> session;
  std::uint64_t now_ns = kSecondNs;
};

TEST_F(SinkSessionTest, EveryRecordIsToldWithItsIdentityItsTopicAndItsTime) {
  spill.append(30);
  begin();
  drain();
  const auto records = sink.of(EnvelopeKind::kRecord);
  ASSERT_EQ(records.size(), 30U);
  for (std::uint64_t offset = 0; offset < 30; ++offset) {
    const StoredMessage& message = *records[offset];
    EXPECT_EQ(message.payload, record_text("one", offset));
    EXPECT_EQ(message.envelope.offset, offset);
    EXPECT_EQ(message.envelope.gateway, uuid_number(7));
    EXPECT_EQ(message.envelope.journal, spill.newest_journal());
    EXPECT_EQ(message.envelope.stream, "one");
    EXPECT_EQ(message.key, "site/pump/" + message.envelope.topic);
    EXPECT_EQ(message.content_type, "application/octet-stream");
    ASSERT_TRUE(message.envelope.utc_ns);
    EXPECT_GE(*message.envelope.utc_ns, kBootUtcNs);
  }
  EXPECT_EQ(cursor(), 30U);
  // What explains them came before them.
  ASSERT_EQ(sink.of(EnvelopeKind::kClock).size(), 1U);
  ASSERT_EQ(sink.of(EnvelopeKind::kLane).size(), 2U) << "the fake spill has two";
  EXPECT_LT(sink.of(EnvelopeKind::kClock)[0], records[0]);
  EXPECT_LT(sink.of(EnvelopeKind::kLane)[0], records[0]);
}

TEST_F(SinkSessionTest, WhatAnEngineReadsInAMessageIsWhatItWasTold) {
  spill.append(5);
  spill.roll();
  spill.append(5);
  begin();
  drain();
  for (const StoredMessage& message : sink.stored) {
    const auto headers = write_envelope(message.envelope);
    const auto lookup = [&](std::string_view name) -> std::optional<std::string_view> {
      for (const auto& header : headers) {
        if (header.first == name) return header.second;
      }
      return std::nullopt;
    };
    const Envelope read = value_of(read_envelope(lookup));
    EXPECT_EQ(read, message.envelope) << "kind " << static_cast<int>(read.kind);
  }
}

TEST_F(SinkSessionTest, TheCursorPassesNothingThatIsNotStored) {
  spill.append(10);
  sink.answers_a_collect = 0;
  begin();
  value_of(session->pump(now_ns));
  value_of(session->collect(now_ns, 0));
  EXPECT_EQ(cursor(), 0U);
  sink.answers_a_collect = 1;
  std::uint64_t before = 0;
  for (int i = 0; i < 13; ++i) {  // a clock, two lanes, ten records
    value_of(session->collect(now_ns, 0));
    EXPECT_LE(cursor() - before, 1U);
    before = cursor();
  }
  EXPECT_EQ(cursor(), 10U);
}

TEST_F(SinkSessionTest, OutcomesInAnyOrderMoveTheCursorOverWhatIsWhole) {
  spill.append(200);
  sink.shuffles = true;
  sink.answers_a_collect = 1;
  begin();
  value_of(session->pump(now_ns));
  std::vector<std::uint64_t> seen;
  while (session->in_flight_messages() != 0) {
    value_of(session->collect(now_ns, 0));
    seen.push_back(cursor());
  }
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(cursor(), 200U);
  EXPECT_LT(seen[seen.size() / 2], 150U) << "half of them cannot be whole to the end";
}

TEST_F(SinkSessionTest, ARefusedRecordIsKeptHereToldAsAGapAndStopsNobody) {
  spill.append(20);
  sink.refuses = [](const Envelope& envelope) {
    const bool bad = envelope.kind == EnvelopeKind::kRecord && envelope.offset % 10 == 3;
    return std::string(bad ? "unroutable" : "");
  };
  begin();
  drain();
  ASSERT_EQ(spill.verdicts().size(), 2U);
  EXPECT_EQ(spill.verdicts()[0].offset, 3U);
  EXPECT_EQ(spill.verdicts()[1].offset, 13U);
  EXPECT_EQ(spill.verdicts()[0].text, "unroutable");
  EXPECT_FALSE(spill.verdicts()[0].kept);
  EXPECT_EQ(cursor(), 20U);
  const auto gaps = sink.of(EnvelopeKind::kGap);
  ASSERT_EQ(gaps.size(), 2U);
  EXPECT_EQ(gaps[0]->envelope.offset, 3U);
  EXPECT_EQ(gaps[0]->envelope.next_offset, 4U);
  EXPECT_EQ(gaps[0]->envelope.reason, static_cast<std::uint8_t>(format::GapReason::refused));
  EXPECT_EQ(gaps[0]->envelope.journal, spill.newest_journal());
}

TEST_F(SinkSessionTest, ARefusedRecordThatCannotBeKeptHoldsTheCursorUntilItCan) {
  spill.append(20);
  sink.refuses = [](const Envelope& envelope) {
    const bool bad = envelope.kind == EnvelopeKind::kRecord && envelope.offset == 5;
    return std::string(bad ? "no" : "");
  };
  spill.keep_no_letters(true);
  begin();
  drain();
  EXPECT_EQ(cursor(), 5U);
  EXPECT_EQ(sink.of(EnvelopeKind::kRecord).size(), 19U) << "the others did not wait";
  EXPECT_NE(session->letters_error(), "");
  now_ns += SinkSession::kRetryNs;
  value_of(session->on_tick(now_ns));
  EXPECT_EQ(cursor(), 5U);
  spill.keep_no_letters(false);
  now_ns += SinkSession::kRetryNs;
  value_of(session->on_tick(now_ns));
  drain();
  EXPECT_EQ(cursor(), 20U);
  EXPECT_EQ(session->letters_error(), "");
  EXPECT_EQ(spill.verdicts().size(), 1U);
}

TEST_F(SinkSessionTest, WhatIsNoRecordAndRefusedIsPassed) {
  spill.append(10);
  sink.refuses = [](const Envelope& envelope) {
    return std::string(envelope.kind == EnvelopeKind::kRecord ? "" : "nobody reads those");
  };
  begin();
  drain();
  EXPECT_EQ(cursor(), 10U);
  EXPECT_TRUE(spill.verdicts().empty());
  EXPECT_EQ(session->untold(), "nobody reads those");
}

TEST_F(SinkSessionTest, TheWindowBoundsMessagesAndBytes) {
  for (int i = 0; i < 100; ++i) spill.append(10);
  SinkSessionOptions options;
  options.window_messages = 16;
  begin(options);
  drain();
  EXPECT_EQ(sink.in_flight_max, 16U);
  EXPECT_EQ(cursor(), 1000U);
}

TEST_F(SinkSessionTest, OneMessageMayAlwaysBeOnItsWay) {
  spill.append(3);
  SinkSessionOptions options;
  options.window_bytes = 1;
  begin(options);
  drain();
  EXPECT_EQ(sink.in_flight_max, 1U);
  EXPECT_EQ(cursor(), 3U);
}

TEST_F(SinkSessionTest, AnEngineWithoutRoomIsAskedAgain) {
  for (int i = 0; i < 20; ++i) spill.append(10);
  sink.room = 7;
  begin();
  drain();
  EXPECT_EQ(sink.of(EnvelopeKind::kRecord).size(), 200U);
  EXPECT_EQ(cursor(), 200U);
}

TEST_F(SinkSessionTest, AfterAnErrorAllAboveTheCursorGoesAgain) {
  spill.append(50);
  sink.answers_a_collect = 12;
  sink.fails_at_offer = 40;
  begin();
  const auto pumped = session->pump(now_ns);
  ASSERT_FALSE(pumped);
  EXPECT_EQ(pumped.error().message, "the engine is gone");
  sink.fails_at_offer = 0;
  sink.answers_a_collect = ~0U;
  begin();
  drain();
  std::map<std::uint64_t, int> times;
  for (const auto* record : sink.of(EnvelopeKind::kRecord)) ++times[record->envelope.offset];
  EXPECT_EQ(times.size(), 50U);
  EXPECT_EQ(times[0], 2) << "it was not confirmed, so it had to go again";
  EXPECT_EQ(cursor(), 50U);
}

TEST_F(SinkSessionTest, ItGoesOnWhereTheCursorStandsAlsoInTheMiddleOfABlock) {
  spill.append(10);
  spill.append(10);
  begin();
  value_of(spill.acknowledge({spill.newest_journal(), 0, 13}));
  begin();
  drain();
  const auto records = sink.of(EnvelopeKind::kRecord);
  ASSERT_EQ(records.size(), 7U);
  EXPECT_EQ(records[0]->envelope.offset, 13U);
  EXPECT_EQ(records[0]->payload, record_text("one", 13));
}

TEST_F(SinkSessionTest, AGapIsToldWithItsReason) {
  for (int i = 0; i < 10; ++i) spill.append(10);
  spill.punch(30, 50, format::GapReason::age);
  begin();
  drain();
  const auto gaps = sink.of(EnvelopeKind::kGap);
  ASSERT_FALSE(gaps.empty());
  std::uint64_t next = 30;
  for (const auto* gap : gaps) {
    EXPECT_EQ(gap->envelope.offset, next);
    next = gap->envelope.next_offset;
    EXPECT_EQ(gap->envelope.reason, static_cast<std::uint8_t>(format::GapReason::age));
    EXPECT_TRUE(gap->envelope.topic.empty());
  }
  EXPECT_EQ(next, 50U);
  EXPECT_EQ(sink.of(EnvelopeKind::kRecord).size(), 80U);
  EXPECT_EQ(cursor(), 100U);
}

TEST_F(SinkSessionTest, WhatWasFreedBeforeItWasSentIsAGap) {
  for (int i = 0; i < 10; ++i) {
    spill.append(10);
    spill.roll();
  }
  spill.free_below(40);
  begin();
  drain();
  std::uint64_t told = 0;
  for (const auto* gap : sink.of(EnvelopeKind::kGap)) {
    told += gap->envelope.next_offset - gap->envelope.offset;
  }
  EXPECT_EQ(told + sink.of(EnvelopeKind::kRecord).size(), 100U);
  EXPECT_EQ(cursor(), 100U);
}

TEST_F(SinkSessionTest, ANewJournalIsToldBehindTheOldOneUnderItsOwnName) {
  spill.append(50);
  begin();
  drain();
  const core::Uuid old = spill.newest_journal();
  spill.new_journal_at(30);
  spill.append(10);
  begin();
  drain();
  const auto records = sink.of(EnvelopeKind::kRecord);
  ASSERT_EQ(records.size(), 60U);
  EXPECT_EQ(records[49]->envelope.journal, old);
  EXPECT_EQ(records[50]->envelope.journal, spill.newest_journal());
  EXPECT_EQ(records[50]->envelope.offset, 30U);
  EXPECT_EQ(records[50]->envelope.journal_first_offset, 30U);
  ASSERT_TRUE(spill.cursor());
  EXPECT_EQ(spill.cursor()->journal, spill.newest_journal());
  EXPECT_EQ(cursor(), 40U);
}

TEST_F(SinkSessionTest, ASpillThatEndsBeforeTheCursorIsWaitedFor) {
  spill.append(50);
  begin();
  drain();
  value_of(spill.acknowledge({spill.newest_journal(), 0, 80}));
  session.reset();
  source = &spill;
  session.emplace(SinkSessionOptions{}, std::span(&source, 1), sink);
  const auto begun = session->begin(now_ns);
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.error().code, core::ErrorCode::kUnavailable);
}

TEST_F(SinkSessionTest, SilenceEndsItButNotWhileTheEngineSaysThatItIsBlocked) {
  spill.append(5);
  sink.answers_a_collect = 0;
  begin();
  value_of(session->pump(now_ns));
  now_ns += 299 * kSecondNs;
  value_of(session->on_tick(now_ns));
  session->still_blocked(now_ns);
  now_ns += 299 * kSecondNs;
  value_of(session->on_tick(now_ns));
  now_ns += 2 * kSecondNs;
  EXPECT_FALSE(session->on_tick(now_ns));
}

TEST_F(SinkSessionTest, AsJsonOnlyWhatHasASchemaGoesAndTheRestIsADeadLetter) {
  spill.append(4);
  SinkSessionOptions options;
  options.payload = core::EnginePayload::kJson;
  begin(options);
  drain();
  EXPECT_TRUE(sink.of(EnvelopeKind::kRecord).empty());
  ASSERT_EQ(spill.verdicts().size(), 4U);
  EXPECT_NE(spill.verdicts()[0].text.find("no JSON without a schema"), std::string::npos);
  EXPECT_EQ(sink.of(EnvelopeKind::kGap).size(), 4U);
  EXPECT_EQ(cursor(), 4U);
}

TEST_F(SinkSessionTest, AnOutcomeOfAMessageThatIsNotOnItsWayIsAnError) {
  class Liar final : public Sink {
   public:
    core::Result<void> connect(std::uint64_t) override { return {}; }
    core::Result<Offered> offer(const SinkMessage&) override { return Offered::kTaken; }
    core::Result<void> collect(std::uint64_t, std::vector<SinkOutcome>& outcomes) override {
      outcomes.push_back({999, SinkOutcome::Kind::kStored, {}});
      return {};
    }
    void disconnect() override {}
  };
  spill.append(5);
  Liar liar;
  source = &spill;
  SinkSession wrong({}, std::span(&source, 1), liar);
  value_of(wrong.begin(now_ns));
  value_of(wrong.pump(now_ns));
  EXPECT_FALSE(wrong.collect(now_ns, 0));
  EXPECT_EQ(cursor(), 0U);
}

TEST(SinkSessionStreams, LiveDataOfOneDoesNotWaitBehindTheOthersBacklog) {
  FakeSpill slow("slow", 1);
  FakeSpill live("live", 2);
  MemorySink sink;
  std::vector<BlockSource*> sources{&slow, &live};
  SinkSessionOptions options;
  options.window_messages = 64;
  SinkSession session(options, sources, sink);
  value_of(session.begin(0));
  value_of(session.pump(0));  // both are found empty
  for (int i = 0; i < 100; ++i) slow.append(50);
  sink.answers_a_collect = 0;
  for (int i = 0; i < 10; ++i) value_of(session.pump(0));
  live.append(1);
  value_of(session.pump(0));
  const auto records = sink.of(EnvelopeKind::kRecord);
  ASSERT_FALSE(records.empty());
  EXPECT_EQ(records.back()->envelope.stream, "live");
  EXPECT_LE(records.size(), 64U);
}

}  // namespace
}  // namespace spillway::uplink::test
