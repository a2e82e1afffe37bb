// The source against librdkafka's own mock cluster: where it begins, what it hands over, and what it says
// of it to the group and to the inbox. Real brokers: tests/system/engines/kafka_test.py.
#include "uplink/consumer/sources/kafka_source.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <chrono>
#include <cstring>

namespace spillway::consumer {
namespace {

using uplink::kafka::Client;
using uplink::kafka::Destroy;
using uplink::kafka::PartitionList;
using uplink::kafka::Settings;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr int kTopicPartition = 0;

class KafkaSourceTest : public ::testing::Test {
 protected:
  KafkaSourceTest() {
    cluster_.reset(rd_kafka_mock_cluster_new(owner_->get(), 1));
    rd_kafka_mock_topic_create(cluster_.get(), "spillway", 1, 1);
    settings_.connection.brokers = rd_kafka_mock_cluster_bootstraps(cluster_.get());
    settings_.topics = {"spillway"};
  }

  /// Messages "0", "1", ... with a header that says the same.
  void produce(int count) {
    auto client =
        Client::open(RD_KAFKA_PRODUCER, std::move(Settings().reach(settings_.connection)));
    ASSERT_TRUE(client);
    for (int i = 0; i < count; ++i, ++produced_) {
      std::string text = std::to_string(produced_);
      rd_kafka_headers_t* headers = rd_kafka_headers_new(1);
      rd_kafka_header_add(headers, "number", -1, text.c_str(), -1);
      std::array<rd_kafka_vu_t, 5> parts{};
      parts[0].vtype = RD_KAFKA_VTYPE_TOPIC;
      parts[0].u.cstr = "spillway";
      parts[1].vtype = RD_KAFKA_VTYPE_PARTITION;
      parts[1].u.i32 = kTopicPartition;
      parts[2].vtype = RD_KAFKA_VTYPE_VALUE;
      parts[2].u.mem.ptr = text.data();
      parts[2].u.mem.size = text.size();
      parts[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
      parts[3].u.i = RD_KAFKA_MSG_F_COPY;
      parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
      parts[4].u.headers = headers;
      ASSERT_EQ(nullptr, rd_kafka_produceva((*client)->get(), parts.data(), parts.size()));
    }
    ASSERT_EQ(RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_flush((*client)->get(), 10'000));
  }

  core::Result<void> connect(KafkaSource& source) {
    return source.connect(10 * kSecond, read_marks_);
  }
  /// Until so many have come; their payloads, and the last tag.
  std::vector<std::string> fetch(KafkaSource& source, std::size_t count) {
    std::vector<std::string> payloads;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (payloads.size() < count && std::chrono::steady_clock::now() < end) {
      const auto fetched =
          source.fetch(kSecond / 10, count - payloads.size(), [&](const BrokerMessage& message) {
            payloads.emplace_back(reinterpret_cast<const char*>(message.payload.data()),
                                  message.payload.size());
            EXPECT_EQ(payloads.back(), (*message.header)("number").value_or("none"));
            EXPECT_EQ(std::nullopt, (*message.header)("other"));
            EXPECT_GT(message.tag, tag_);
            tag_ = message.tag;
            return true;
          });
      EXPECT_TRUE(fetched) << fetched.error().message;
      if (!fetched) break;
    }
    return payloads;
  }
  /// What the runner does with a source's marks: they are in the inbox from now on.
  void settle(KafkaSource& source) {
    ASSERT_TRUE(source.settle(tag_));
    for (InboxMark& mark : source.marks(tag_)) {
      std::erase_if(marks_, [&](const InboxMark& old) { return old.partition == mark.partition; });
      marks_.push_back(std::move(mark));
    }
  }

  std::unique_ptr<Client> owner_ = std::move(*Client::open(RD_KAFKA_PRODUCER, Settings()));
  std::unique_ptr<rd_kafka_mock_cluster_t, Destroy<rd_kafka_mock_cluster_destroy>> cluster_;
  KafkaSourceSettings settings_;
  std::vector<InboxMark> marks_;
  BrokerSource::ReadMarks read_marks_ = [this] {
    return core::Result<std::vector<InboxMark>>(marks_);
  };
  int produced_ = 0;
  std::uint64_t tag_ = 0;
};

TEST_F(KafkaSourceTest, WhatWasSettledIsReadNoMoreAndWhatWasNotComesAgain) {
  produce(5);
  KafkaSource source(settings_);
  ASSERT_TRUE(connect(source));
  ASSERT_EQ(3U, fetch(source, 3).size());
  settle(source);
  ASSERT_EQ((std::vector<std::string>{"3", "4"}), fetch(source, 2));
  source.disconnect();
  tag_ = 0;
  ASSERT_TRUE(connect(source));
  EXPECT_EQ((std::vector<std::string>{"3", "4"}), fetch(source, 2));
}

TEST_F(KafkaSourceTest, AnInboxThatForgotReadsAgainWhatItHasForgotten) {
  produce(5);
  KafkaSource source(settings_);
  ASSERT_TRUE(connect(source));
  ASSERT_EQ(2U, fetch(source, 2).size());
  settle(source);
  const std::vector<InboxMark> backup = marks_;
  ASSERT_EQ(3U, fetch(source, 3).size());
  settle(source);
  source.disconnect();
  marks_ = backup;
  tag_ = 0;
  KafkaSource restored(settings_);
  ASSERT_TRUE(connect(restored));
  EXPECT_EQ((std::vector<std::string>{"2", "3", "4"}), fetch(restored, 3));
}

TEST_F(KafkaSourceTest, AnotherInboxOfTheGroupGoesOnWhereThisOneWas) {
  produce(5);
  {
    KafkaSource source(settings_);
    ASSERT_TRUE(connect(source));
    ASSERT_EQ(3U, fetch(source, 3).size());
    settle(source);
  }
  marks_.clear();
  tag_ = 0;
  KafkaSource other(settings_);
  ASSERT_TRUE(connect(other));
  EXPECT_EQ((std::vector<std::string>{"3", "4"}), fetch(other, 2));
}

TEST_F(KafkaSourceTest,
       ANewGroupBeginsAtTheBeginningAndMarksNameThePartitionAndTheInboxsOwnNumber) {
  produce(2);
  KafkaSource source(settings_);
  ASSERT_TRUE(connect(source));
  EXPECT_TRUE(source.marks(0).empty());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(source.fetch(0, 0, [](const BrokerMessage&) {
      ADD_FAILURE() << "handed over, though nothing was wanted";
      return true;
    }));
  }
  ASSERT_EQ((std::vector<std::string>{"0", "1"}), fetch(source, 2));
  settle(source);
  ASSERT_EQ(2U, marks_.size());
  EXPECT_EQ(source.name(), marks_[0].source);
  EXPECT_EQ("spillway/0", marks_[0].partition);
  EXPECT_EQ(2U, marks_[0].position);
  EXPECT_EQ("reader", marks_[1].partition);
  EXPECT_NE(0U, marks_[1].position);
  EXPECT_LT(marks_[1].position, 1ULL << 63U);
}

TEST_F(KafkaSourceTest, MarksThatCannotBeReadFailTheConnectionAndNothingIsReadFromAnywhere) {
  produce(2);
  KafkaSource source(settings_);
  const BrokerSource::ReadMarks broken = [] {
    return core::Result<std::vector<InboxMark>>(
        core::fail(core::ErrorCode::kIo, "the inbox's disk"));
  };
  ASSERT_TRUE(source.connect(10 * kSecond, broken));
  core::Result<void> fetched;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (fetched && std::chrono::steady_clock::now() < end) {
    fetched = source.fetch(kSecond / 10, 10, [](const BrokerMessage&) {
      ADD_FAILURE() << "handed over";
      return true;
    });
  }
  ASSERT_FALSE(fetched);
  EXPECT_NE(std::string::npos, fetched.error().message.find("the inbox's disk"));
}

TEST_F(KafkaSourceTest, ABrokerThatGoesAwayForAWhileIsWaitedFor) {
  produce(2);
  KafkaSource source(settings_);
  ASSERT_TRUE(connect(source));
  ASSERT_EQ(2U, fetch(source, 2).size());
  rd_kafka_mock_broker_set_down(cluster_.get(), 1);
  ASSERT_TRUE(source.fetch(kSecond / 2, 10, [](const BrokerMessage&) { return true; }));
  rd_kafka_mock_broker_set_up(cluster_.get(), 1);
  produce(1);
  EXPECT_EQ((std::vector<std::string>{"2"}), fetch(source, 1));
}

TEST_F(KafkaSourceTest, ATopicThatIsNotThereIsNotFound) {
  rd_kafka_mock_topic_set_error(cluster_.get(), "missing", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  settings_.topics = {"missing"};
  KafkaSource source(settings_);
  const auto connected = connect(source);
  ASSERT_FALSE(connected);
  EXPECT_EQ(core::ErrorCode::kNotFound, connected.error().code);
  EXPECT_NE(std::string::npos, connected.error().message.find("spillway sink setup"));
}

}  // namespace
}  // namespace spillway::consumer
