// The sink against librdkafka's own mock cluster: what a real broker does not show at will. The mock knows
// no transactions' meaning, so these are about the idempotent producer; transactions are tested with a
// real broker (tests/system/engines/kafka_test.py).
#include "uplink/sinks/kafka/kafka_sink.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <map>

namespace spillway::uplink::kafka {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::int16_t kProduce = 0;
constexpr std::int16_t kMetadata = 3;

class KafkaSinkTest : public ::testing::Test {
 protected:
  KafkaSinkTest() {
    cluster_.reset(rd_kafka_mock_cluster_new(owner_->get(), 1));
    rd_kafka_mock_topic_create(cluster_.get(), "spillway", 3, 1);
    settings_.connection.brokers = rd_kafka_mock_cluster_bootstraps(cluster_.get());
    settings_.gateway_name = "site/pump";
    settings_.transactions = false;
    settings_.message_bytes_max = 1'000'000;  // the mock cannot be asked
    settings_.streams = {"telemetry"};
    envelope_.stream = "telemetry";
    envelope_.topic = "sensor/a";
  }

  core::Result<Offered> offer(KafkaSink& sink, std::uint64_t offset, std::size_t bytes = 50) {
    envelope_.offset = offset;
    const std::vector<std::byte> payload(bytes);
    return sink.offer({offset, &envelope_, "site/pump/sensor/a", payload, "application/json"});
  }
  /// Offers [0, count) and gathers outcomes until there are as many or the sink fails.
  core::Result<void> run(KafkaSink& sink, std::uint64_t count, std::size_t bytes = 50) {
    outcomes_.clear();
    for (std::uint64_t offset = 0; offset < count; ++offset) {
      SPILLWAY_TRY(offered, offer(sink, offset, bytes));
      if (offered != Offered::kTaken) return core::fail(core::ErrorCode::kFull, "full");
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (outcomes_.size() < count && std::chrono::steady_clock::now() < end) {
      std::vector<SinkOutcome> some;
      SPILLWAY_CHECKED(sink.collect(kSecond / 10, some));
      for (SinkOutcome& outcome : some) {
        EXPECT_TRUE(outcomes_.emplace(outcome.ticket, outcome).second) << "told twice";
      }
    }
    return {};
  }
  [[nodiscard]] std::size_t stored() const {
    std::size_t count = 0;
    for (const auto& [ticket, outcome] : outcomes_) {
      if (outcome.kind == SinkOutcome::Kind::kStored) ++count;
    }
    return count;
  }

  std::unique_ptr<Client> owner_ = std::move(*Client::open(RD_KAFKA_PRODUCER, Settings()));
  std::unique_ptr<rd_kafka_mock_cluster_t, Destroy<rd_kafka_mock_cluster_destroy>> cluster_;
  KafkaSettings settings_;
  Envelope envelope_;
  std::map<std::uint64_t, SinkOutcome> outcomes_;
};

TEST_F(KafkaSinkTest, EveryMessageGetsOneOutcome) {
  KafkaSink sink(settings_);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  ASSERT_TRUE(run(sink, 5000));
  EXPECT_EQ(5000U, stored());
}

TEST_F(KafkaSinkTest, WhatTheTopicDoesNotTakeIsRefusedAndTheRestGoesOn) {
  KafkaSink sink(settings_);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  ASSERT_EQ(Offered::kTaken, *offer(sink, 7, 2'000'000));
  std::vector<SinkOutcome> some;
  ASSERT_TRUE(sink.collect(0, some));
  ASSERT_EQ(1U, some.size());
  EXPECT_EQ(SinkOutcome::Kind::kRefused, some[0].kind);
  EXPECT_NE(std::string::npos, some[0].reason.find("max.message.bytes")) << some[0].reason;
  ASSERT_TRUE(run(sink, 5));
  EXPECT_EQ(5U, stored());
}

TEST_F(KafkaSinkTest, ABatchThatIsRefusedIsSentAgainOneByOneUntilTheBadRecordIsKnown) {
  KafkaSink sink(settings_);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  rd_kafka_mock_push_request_errors(cluster_.get(), kProduce, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  const auto failed = run(sink, 100);
  ASSERT_FALSE(failed);
  EXPECT_NE(std::string::npos, failed.error().message.find("one by one")) << failed.error().message;
  ASSERT_TRUE(sink.connect(10 * kSecond));
  rd_kafka_mock_push_request_errors(cluster_.get(), kProduce, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  ASSERT_TRUE(run(sink, 100));
  EXPECT_EQ(99U, stored());
  ASSERT_EQ(100U, outcomes_.size());
}

TEST_F(KafkaSinkTest, AfterTheBadRecordsAreBehindBatchesComeBack) {
  KafkaSink sink(settings_);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  rd_kafka_mock_push_request_errors(cluster_.get(), kProduce, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  ASSERT_FALSE(run(sink, 100));
  ASSERT_TRUE(sink.connect(10 * kSecond));
  ASSERT_TRUE(sink.single_records());
  ASSERT_TRUE(run(sink, KafkaSink::kSingleRecords + 1));
  EXPECT_FALSE(sink.single_records());
  ASSERT_TRUE(run(sink, 100));
  EXPECT_EQ(100U, stored());
}

TEST_F(KafkaSinkTest, ARightThatIsMissingFailsTheSinkAndNoRecord) {
  KafkaSink sink(settings_);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  rd_kafka_mock_push_request_errors(cluster_.get(), kProduce, 1,
                                    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  const auto failed = run(sink, 10);
  ASSERT_FALSE(failed);
  EXPECT_EQ(core::ErrorCode::kPermission, failed.error().code);
  EXPECT_NE(std::string::npos, failed.error().message.find("grant")) << failed.error().message;
  EXPECT_TRUE(outcomes_.empty());
}

TEST_F(KafkaSinkTest, ATopicThatIsNotThereIsNotFoundAndSaysHowItIsMade) {
  rd_kafka_mock_topic_set_error(cluster_.get(), "missing", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  settings_.topic = "missing";
  KafkaSink sink(settings_);
  const auto connected = sink.connect(10 * kSecond);
  ASSERT_FALSE(connected);
  EXPECT_EQ(core::ErrorCode::kNotFound, connected.error().code);
  EXPECT_NE(std::string::npos, connected.error().message.find("spillway sink setup"));
}

TEST_F(KafkaSinkTest, PassingTroubleOfTheBrokersIsRiddenOut) {
  KafkaSink sink(settings_);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  rd_kafka_mock_push_request_errors(
      cluster_.get(), kProduce, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
      RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
  ASSERT_TRUE(run(sink, 100));
  EXPECT_EQ(100U, stored());
}

TEST_F(KafkaSinkTest, NobodyThereIsUnavailableWithinItsTime) {
  rd_kafka_mock_broker_set_down(cluster_.get(), 1);
  KafkaSink sink(settings_);
  const auto begin = std::chrono::steady_clock::now();
  const auto connected = sink.connect(kSecond);
  ASSERT_FALSE(connected);
  EXPECT_EQ(core::ErrorCode::kUnavailable, connected.error().code);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  rd_kafka_mock_broker_set_up(cluster_.get(), 1);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  ASSERT_TRUE(run(sink, 10));
  EXPECT_EQ(10U, stored());
}

TEST_F(KafkaSinkTest, ABrokerThatGoesAwayForAWhileCostsNothing) {
  KafkaSink sink(settings_);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  ASSERT_TRUE(run(sink, 10));
  rd_kafka_mock_broker_set_down(cluster_.get(), 1);
  for (std::uint64_t offset = 0; offset < 10; ++offset) {
    ASSERT_EQ(Offered::kTaken, *offer(sink, offset));
  }
  std::vector<SinkOutcome> some;
  ASSERT_TRUE(sink.collect(kSecond / 5, some));
  EXPECT_TRUE(some.empty());
  rd_kafka_mock_broker_set_up(cluster_.get(), 1);
  while (some.size() < 10) ASSERT_TRUE(sink.collect(kSecond / 10, some));
  EXPECT_EQ(10U, some.size());
}

TEST_F(KafkaSinkTest, MoreThanTheWindowIsNotTaken) {
  settings_.queue_bytes = 1U << 20U;
  KafkaSink sink(settings_);
  ASSERT_TRUE(sink.connect(10 * kSecond));
  rd_kafka_mock_broker_set_rtt(cluster_.get(), 1, 300);
  std::uint64_t taken = 0;
  while (taken < 1000 && *offer(sink, taken, 10'000) == Offered::kTaken) ++taken;
  EXPECT_GT(taken, 50U);
  EXPECT_LT(taken, 200U);
  std::vector<SinkOutcome> some;
  while (some.size() < taken) ASSERT_TRUE(sink.collect(kSecond / 10, some));
  EXPECT_EQ(Offered::kTaken, *offer(sink, taken, 10'000));
}

}  // namespace
}  // namespace spillway::uplink::kafka
