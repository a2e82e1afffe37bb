// The uplink's session against a consumer that lies.
#include "uplink/session/uplink_session.h"

#include <gtest/gtest.h>

#include <random>

#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

class UplinkSessionTest : public ::testing::Test {
 protected:
  UplinkSessionTest() : spill_("one"), session_({uuid_number(7), "g", "cloud"}, sources_) {
    for (int i = 0; i < 3; ++i) spill_.append(10);
  }
  void open() { ASSERT_TRUE(session_.on_open(1)); }
  core::Result<void> welcome(std::uint64_t next) {
    return session_.on_message(
        encode(Welcome{1, 1 << 20, {{0, {{spill_.newest_journal(), next}}}}}), 1);
  }
  core::Result<void> ack(std::uint64_t next) {
    return session_.on_message(encode(Ack{0, spill_.newest_journal(), next}), 1);
  }
  /// A message is no larger than the link is known to carry: it takes some.
  void send_all() {
    while (session_.pull(1)->has_value()) {
    }
    ASSERT_EQ(session_.streams()[0].sent_offset(), spill_.next_offset());
  }
  void expect_over() {
    EXPECT_EQ(session_.state(), UplinkState::kClosed);
    EXPECT_TRUE(session_.farewell().has_value());
    EXPECT_FALSE(session_.pull(1)->has_value());
  }

  FakeSpill spill_;
  BlockSource* sources_[1] = {&spill_};
  UplinkSession session_;
};

TEST_F(UplinkSessionTest, AnAckBeyondWhatWasSentEndsTheSession) {
  open();
  ASSERT_TRUE(welcome(0));
  EXPECT_FALSE(ack(1));  // nothing was sent yet
  expect_over();
  EXPECT_EQ(spill_.cursor()->next_offset, 0U);
}

TEST_F(UplinkSessionTest, AnAckThatGoesBackEndsTheSession) {
  open();
  ASSERT_TRUE(welcome(0));
  send_all();
  ASSERT_TRUE(ack(30));
  EXPECT_FALSE(ack(29));
  expect_over();
  EXPECT_EQ(spill_.cursor()->next_offset, 30U);
}

TEST_F(UplinkSessionTest, ARepeatedAckIsHarmless) {
  open();
  ASSERT_TRUE(welcome(0));
  send_all();
  EXPECT_TRUE(ack(30));
  EXPECT_TRUE(ack(30));
  EXPECT_EQ(session_.in_flight_bytes(), 0U);
}

TEST_F(UplinkSessionTest, AWelcomeAheadRaisesTheCursor) {
  open();
  ASSERT_TRUE(welcome(20));
  EXPECT_EQ(spill_.cursor()->next_offset, 20U);
}

TEST_F(UplinkSessionTest, AConsumerThatHoldsMoreThanWeDoIsAClearErrorAndALongPause) {
  open();
  const auto outcome = welcome(31);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("rolled back"), std::string::npos);
  EXPECT_EQ(session_.pause(), Pause::kLong);
  expect_over();
}

TEST_F(UplinkSessionTest, MessagesOutOfTurnEndTheSession) {
  open();
  EXPECT_FALSE(ack(0));
  expect_over();
}

TEST_F(UplinkSessionTest, AWelcomeThatDoesNotFitTheHelloEndsTheSession) {
  for (const Welcome& wrong : {Welcome{1, 1, {}}, Welcome{1, 1, {{0, {}}}},
                               Welcome{1, 1, {{1, {{spill_.newest_journal(), 0}}}}},
                               Welcome{1, 1, {{0, {{uuid_number(12345), 0}}}}},
                               Welcome{2, 1, {{0, {{spill_.newest_journal(), 0}}}}}}) {
    UplinkSession session({uuid_number(7), "g", "cloud"}, sources_);
    ASSERT_TRUE(session.on_open(1));
    EXPECT_FALSE(session.on_message(encode(wrong), 1));
    EXPECT_EQ(session.state(), UplinkState::kClosed);
  }
}

TEST_F(UplinkSessionTest, SilenceEndsTheSession) {
  open();
  EXPECT_TRUE(session_.on_tick(1'000'000'000));
  EXPECT_FALSE(session_.on_tick(40'000'000'000));
  EXPECT_EQ(session_.pause(), Pause::kBackoff);
}

TEST_F(UplinkSessionTest, WhatIsStillOnItsWayOutCannotBeAnsweredYet) {
  open();
  session_.still_sending(3'600'000'000'000);
  EXPECT_TRUE(session_.on_tick(3'601'000'000'000));
  session_.still_sending(1'000'000'000);
  EXPECT_TRUE(session_.on_tick(3'602'000'000'000)) << "time does not run backwards";
  EXPECT_FALSE(session_.on_tick(3'640'000'000'000));
}

TEST_F(UplinkSessionTest, ARefusalIsNotAnsweredAndDecidesThePause) {
  open();
  EXPECT_FALSE(session_.on_message(encode(Refusal{RefusalCode::kFenced, "newer"}), 1));
  EXPECT_EQ(session_.pause(), Pause::kLong);
  EXPECT_FALSE(session_.farewell().has_value());
}

TEST_F(UplinkSessionTest, RubbishEndsOnlyTheSession) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) {
    UplinkSession session({uuid_number(7), "g", "cloud"}, sources_);
    ASSERT_TRUE(session.on_open(1));
    Bytes rubbish(random() % 300);
    for (auto& byte : rubbish) byte = static_cast<std::byte>(random());
    EXPECT_FALSE(session.on_message(rubbish, 1));
    EXPECT_EQ(session.state(), UplinkState::kClosed);
  }
}

TEST_F(UplinkSessionTest, TheCursorNeverGoesBeyondWhatWasSentWhateverBitOfAnAckFlips) {
  const Bytes valid = encode(Ack{0, spill_.newest_journal(), 10});
  for (std::size_t bit = 0; bit < valid.size() * 8; ++bit) {
    FakeSpill spill("one");
    spill.append(30);
    BlockSource* sources[] = {&spill};
    UplinkSession session({uuid_number(7), "g", "cloud"}, sources);
    ASSERT_TRUE(session.on_open(1));
    ASSERT_TRUE(
        session.on_message(encode(Welcome{1, 1 << 20, {{0, {{spill.newest_journal(), 0}}}}}), 1));
    ASSERT_TRUE(session.pull(1)->has_value());
    Bytes flipped = valid;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    static_cast<void>(session.on_message(flipped, 1));
    EXPECT_LE(spill.cursor()->next_offset, 30U);
  }
}

}  // namespace
}  // namespace spillway::uplink::test
