// What a RabbitMQ's confirms mean: one by one, many at once, in any order, and of what came back.
#include "uplink/sinks/rabbitmq/confirm_ledger.h"

#include <gtest/gtest.h>

#include "uplink/sinks/rabbitmq/rabbitmq_sink.h"

namespace spillway::uplink {
namespace {

class ConfirmLedgerTest : public ::testing::Test {
 protected:
  void publish(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i, ++ticket) {
      ledger.published(ticket, "id-" + std::to_string(ticket), 100 * ticket);
    }
  }
  std::vector<std::uint64_t> stored() const { return tickets(SinkOutcome::Kind::kStored); }
  std::vector<std::uint64_t> refused() const { return tickets(SinkOutcome::Kind::kRefused); }
  std::vector<std::uint64_t> tickets(SinkOutcome::Kind kind) const {
    std::vector<std::uint64_t> found;
    for (const SinkOutcome& outcome : outcomes) {
      if (outcome.kind == kind) found.push_back(outcome.ticket);
    }
    return found;
  }
  ConfirmLedger ledger;
  std::uint64_t ticket = 11;
  std::vector<SinkOutcome> outcomes;
};

using Tickets = std::vector<std::uint64_t>;

TEST_F(ConfirmLedgerTest, OneConfirmIsOneOutcomeInWhateverOrder) {
  publish(3);
  ASSERT_TRUE(ledger.confirmed(2, false, outcomes));
  ASSERT_TRUE(ledger.confirmed(1, false, outcomes));
  ASSERT_TRUE(ledger.confirmed(3, false, outcomes));
  EXPECT_EQ(stored(), (Tickets{12, 11, 13}));
  EXPECT_EQ(ledger.open(), 0U);
}

TEST_F(ConfirmLedgerTest, ManyAtOnceAreAllThatWereOpenUpToIt) {
  publish(5);
  ASSERT_TRUE(ledger.confirmed(2, false, outcomes));
  ASSERT_TRUE(ledger.confirmed(4, true, outcomes));
  EXPECT_EQ(stored(), (Tickets{12, 11, 13, 14}));
  publish(2);
  ASSERT_TRUE(ledger.confirmed(0, true, outcomes));
  EXPECT_EQ(stored(), (Tickets{12, 11, 13, 14, 15, 16, 17}));
  EXPECT_EQ(ledger.open(), 0U);
}

TEST_F(ConfirmLedgerTest, WhatCameBackIsRefusedOnceItIsConfirmedAlsoAmongMany) {
  publish(4);
  ledger.returned("id-12", "unroutable");
  EXPECT_TRUE(outcomes.empty());
  ASSERT_TRUE(ledger.confirmed(3, true, outcomes));
  EXPECT_EQ(stored(), (Tickets{11, 13}));
  EXPECT_EQ(refused(), (Tickets{12}));
  EXPECT_EQ(outcomes[1].reason, "unroutable");
}

TEST_F(ConfirmLedgerTest, TwoOfOneIdComeBackOneAfterTheOther) {
  ledger.published(1, "same", 1);
  ledger.published(2, "same", 1);
  ledger.returned("same", "a");
  ledger.returned("same", "b");
  ledger.returned("same", "c");
  ledger.returned("unknown", "d");
  ASSERT_TRUE(ledger.confirmed(2, true, outcomes));
  EXPECT_EQ(refused(), (Tickets{1, 2}));
}

TEST_F(ConfirmLedgerTest, WhatIsConfirmedTwiceIsOneOutcomeAndWhatWasNeverPublishedAnError) {
  publish(2);
  ASSERT_TRUE(ledger.confirmed(1, false, outcomes));
  ASSERT_TRUE(ledger.confirmed(1, false, outcomes));
  ASSERT_TRUE(ledger.confirmed(2, true, outcomes));
  ASSERT_TRUE(ledger.confirmed(2, true, outcomes));
  EXPECT_EQ(outcomes.size(), 2U);
  EXPECT_FALSE(ledger.confirmed(3, false, outcomes));
  EXPECT_FALSE(ledger.confirmed(0, false, outcomes));
  EXPECT_FALSE(ledger.confirmed(~0ULL, true, outcomes));
}

TEST_F(ConfirmLedgerTest, AfterANewConnectionNumbersBeginAnew) {
  publish(3);
  ledger.clear();
  publish(1);
  ASSERT_TRUE(ledger.confirmed(1, false, outcomes));
  EXPECT_EQ(stored(), (Tickets{14}));
}

TEST_F(ConfirmLedgerTest, TheSmallestThatIsTooLargeIsFound) {
  publish(5);  // 1100 to 1500 bytes
  EXPECT_EQ(ledger.smallest_above(1150), 1200U);
  EXPECT_EQ(ledger.smallest_above(1500), 0U);
}

TEST(RabbitmqNames, ATemplateIsFilledInAsATopicExchangeWantsIt) {
  Envelope envelope;
  envelope.gateway = core::Uuid::from_random(1, 2);
  envelope.gateway_name = "site-17/pump-3";
  envelope.stream = "telemetry";
  envelope.topic = "sensor/boiler/temperature";
  EXPECT_EQ(routing_key_of("{gateway}.{stream}.{topic}", envelope),
            "site-17.pump-3.telemetry.sensor.boiler.temperature");
  EXPECT_EQ(routing_key_of("fixed", envelope), "fixed");
  EXPECT_EQ(routing_key_of("a.{topic}", envelope), "a.sensor.boiler.temperature");
  envelope.kind = EnvelopeKind::kGap;
  envelope.topic.clear();
  EXPECT_EQ(routing_key_of("{stream}.{topic}", envelope), "telemetry._spillway.gap");
  envelope.gateway_name.clear();
  EXPECT_EQ(routing_key_of("{gateway}", envelope), envelope.gateway.text());
}

}  // namespace
}  // namespace spillway::uplink
