// Reject is not offline: only the far end's verdict on a record is a failed delivery, and it stops
// nothing else.
#include <gtest/gtest.h>

#include "sample_bfbs_generated.h"
#include "sample_generated.h"
#include "spillway/core/schema.h"
#include "uplink/consumer/session/consumer_session.h"
#include "uplink/consumer/session/record_judge.h"
#include "uplink/memory_inbox.h"
#include "uplink/session_pair.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

const core::Uuid kGateway = uuid_number(7);

UplinkSessionOptions options() { return {kGateway, "g", "u"}; }

/// An uplink session in front of a far end that says what the test likes.
class VerdictTest : public ::testing::Test {
 protected:
  VerdictTest() {
    spill_.append(10);
    sources_ = {&spill_};
    session_.emplace(options(), sources_);
    EXPECT_TRUE(session_->on_open(1));
    const Welcome welcome{1, 1U << 20, {{0, {{spill_.newest_journal(), 0}}}}, false};
    EXPECT_TRUE(session_->on_message(encode(welcome), 1));
    while (*session_->pull(1)) {
    }
  }
  core::Result<void> acknowledge(std::uint64_t dead, std::vector<Verdict> verdicts) {
    const Ack ack{0, spill_.newest_journal(), 10, dead, std::move(verdicts)};
    return session_->on_message(encode(ack), 1);
  }

  FakeSpill spill_{"one"};
  std::vector<BlockSource*> sources_;
  std::optional<UplinkSession> session_;
};

TEST_F(VerdictTest, WhatTheFarEndKeepsIsCountedAndTheCursorGoesOn) {
  ASSERT_TRUE(acknowledge(3, {{4, "it is too large", true}}));
  EXPECT_EQ(spill_.dead(), 3U);
  ASSERT_EQ(spill_.verdicts().size(), 1U);
  EXPECT_EQ(spill_.verdicts()[0].offset, 4U);
  EXPECT_EQ(spill_.verdicts()[0].text, "it is too large");
  EXPECT_TRUE(spill_.verdicts()[0].kept);
  EXPECT_EQ(spill_.cursor()->next_offset, 10U);
}

TEST_F(VerdictTest, WhatNobodyCouldKeepIsNotPassedByTheCursor) {
  spill_.keep_no_letters(true);
  const auto before = spill_.cursor() ? spill_.cursor()->next_offset : 0;
  const auto outcome = acknowledge(0, {{4, "no table for it", false}});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, core::ErrorCode::kFull);
  EXPECT_EQ(spill_.cursor() ? spill_.cursor()->next_offset : 0, before);
  EXPECT_EQ(session_->state(), UplinkState::kClosed);
}

TEST_F(VerdictTest, AVerdictOnWhatIsNotAcknowledgedBreaksTheProtocol) {
  EXPECT_EQ(acknowledge(0, {{10, "beyond", true}}).error().code, core::ErrorCode::kProtocol);
}

TEST_F(VerdictTest, HowLongToStayAwayIsAsked) {
  EXPECT_FALSE(session_->on_message(encode(Refusal{RefusalCode::kUnavailable, "busy", 1500}), 1));
  EXPECT_EQ(session_->pause(), Pause::kBackoff);
  EXPECT_EQ(session_->retry_after_ns(), 1'500'000'000U);
}

TEST_F(VerdictTest, NoFarEndSendsAnUplinkAwayForGood) {
  EXPECT_FALSE(session_->on_message(encode(Refusal{RefusalCode::kUnavailable, "busy", ~0ULL}), 1));
  EXPECT_EQ(session_->retry_after_ns(), kRetryAfterMsMax * 1'000'000);
}

TEST_F(VerdictTest, AGatewayThatIsNotLetInSaysSoAndStaysAwayLong) {
  const auto outcome = session_->on_message(
      encode(Refusal{RefusalCode::kNotAllowed, "gateway x was revoked here", 0}), 1);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("was revoked here"), std::string::npos);
  EXPECT_EQ(session_->pause(), Pause::kLong);
}

/// Weeks without a link, hundreds of refused connections: no record's delivery has failed by it, and
/// everything is there when the link is.
TEST(Offline, UsesUpNothing) {
  FakeSpill spill("one");
  BlockSource* sources[] = {&spill};
  MemoryInbox inbox;
  for (int day = 0; day < 30; ++day) {
    spill.append(20);
    for (int attempt = 0; attempt < 24; ++attempt) {
      UplinkSession session(options(), sources);
      ASSERT_TRUE(session.on_open(1));
      if (attempt % 2 == 0) continue;  // the link is cut before an answer
      EXPECT_FALSE(session.on_message(encode(Refusal{RefusalCode::kUnavailable, "full", 0}), 1));
      EXPECT_NE(session.pause(), Pause::kLong);
    }
    inbox.fail_next(1);
    SessionPair pair(options(), sources, inbox);
    static_cast<void>(pair.run());
  }
  EXPECT_EQ(spill.dead(), 0U);
  EXPECT_TRUE(spill.verdicts().empty());
  SessionPair pair(options(), sources, inbox);
  ASSERT_TRUE(pair.run()) << pair.error();
  EXPECT_EQ(inbox.of(kGateway, spill.newest_journal(), "one").rows.size(), 600U);
  EXPECT_EQ(inbox.doubled(), 0U);
}

std::span<const std::byte> sample_schema() {
  return std::as_bytes(
      std::span(sample::EverythingBinarySchema::data(), sample::EverythingBinarySchema::size()));
}

Bytes sample_record() {
  flatbuffers::FlatBufferBuilder builder;
  const sample::EverythingT everything;
  builder.Finish(sample::Everything::Pack(builder, &everything));
  const auto* begin = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {begin, begin + builder.GetSize()};
}

TEST(RecordJudge, RefusesWhatIsTooLargeAndWhatDoesNotVerify) {
  const auto fingerprint = core::schema_fingerprint(sample_schema());
  consumer::RecordJudge judge({4096, true});
  judge.learn(fingerprint, sample_schema());
  const Bytes good = sample_record();
  EXPECT_FALSE(judge.complaint(fingerprint, good));
  Bytes bad = good;
  bad[0] = std::byte{0xFF};
  bad[3] = std::byte{0x7F};
  EXPECT_TRUE(judge.complaint(fingerprint, bad));
  EXPECT_TRUE(judge.complaint(fingerprint, {}));
  const Bytes large(4097);
  EXPECT_NE(judge.complaint(0, large)->find("4097 bytes"), std::string::npos);
  // Nothing to verify it by.
  EXPECT_FALSE(judge.complaint(0, bad));
  EXPECT_FALSE(judge.complaint(fingerprint + 1, bad));
}

TEST(RecordJudge, WithoutValidateOnlyTheSizeCounts) {
  const auto fingerprint = core::schema_fingerprint(sample_schema());
  consumer::RecordJudge judge({4096, false});
  judge.learn(fingerprint, sample_schema());
  EXPECT_FALSE(judge.complaint(fingerprint, Bytes(10)));
}

/// The consumer's half: what it cannot apply is dead in the batch, cut, told in the Ack; the rest is as
/// it was.
TEST(ConsumerVerdicts, OneRecordThatIsTooLargeStopsNothing) {
  consumer::ConsumerSessionOptions rules;
  rules.rules.max_record_bytes = 40;
  consumer::ConsumerSession session(rules);
  const core::Uuid journal = uuid_number(1);
  const auto give = [&](const Bytes& bytes) {
    return session.on_message(std::make_shared<const Bytes>(bytes), 1);
  };
  ASSERT_TRUE(give(encode(Hello{1, kGateway, "g", "u", {{"one", 0, {{journal, 0, 0, 100}}}}})));
  ASSERT_TRUE(session.take_query());
  ASSERT_TRUE(session.on_positions(consumer::Positions{std::nullopt}));
  ASSERT_TRUE(session.take_output());
  ASSERT_TRUE(give(blocks_message(
      0, journal, {make_lane_block(1, "a/b", 0, 9), make_data_block("one", 1, 0, 60, 9)})));
  auto batch = session.take_batch();
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->next, 60U);
  EXPECT_EQ(batch->records.size(), 60U);
  std::size_t expected = 0;
  for (std::uint64_t offset = 0; offset < 60; ++offset) {
    const std::string text = record_text("one", offset);
    const auto& payload = batch->records[static_cast<std::size_t>(offset)].payload;
    EXPECT_EQ(payload.size(), std::min<std::size_t>(text.size(), 40));
    if (text.size() <= 40) continue;
    ASSERT_LT(expected, batch->dead.size());
    EXPECT_EQ(batch->dead[expected].offset, offset);
    EXPECT_EQ(batch->dead[expected].record, offset);
    EXPECT_EQ(batch->dead[expected].record_bytes, text.size());
    ++expected;
  }
  ASSERT_GT(expected, 0U);
  EXPECT_EQ(batch->dead.size(), expected);
  session.on_committed(*batch);
  const auto ack = std::get<Ack>(*decode(*session.take_output()));
  EXPECT_EQ(ack.next_offset, 60U);
  EXPECT_EQ(ack.dead, expected);
  ASSERT_EQ(ack.verdicts.size(), std::min(expected, kVerdictsPerAck));
  EXPECT_TRUE(ack.verdicts[0].kept);
  EXPECT_NE(ack.verdicts[0].text.find("max_record_bytes"), std::string::npos);
}

}  // namespace
}  // namespace spillway::uplink::test
