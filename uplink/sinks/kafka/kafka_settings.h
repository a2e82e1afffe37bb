// What a Kafka sink is told: [uplink.kafka] and who the gateway is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "uplink/engines/kafka/kafka_connection.h"
#include "uplink/sinks/kafka/topic_template.h"

namespace spillway::uplink::kafka {

struct KafkaSettings {
  Connection connection;
  std::string topic = "spillway";  // a template: topic_template.h
  std::string compression = "none";
  std::size_t message_bytes_max = 0;  // 0: what the topic's max.message.bytes says
  bool transactions = true;
  std::uint64_t commit_interval_ns = 100'000'000;
  // What the session has on its way, at most: a transaction is closed before that.
  std::uint64_t window_messages = 16'384;
  std::uint64_t window_bytes = 16ULL << 20;
  std::uint64_t queue_bytes = 32ULL << 20;  // in librdkafka's queue, at most
  // Who writes: makes the transactional id and the names of topics.
  std::string gateway;       // its id
  std::string gateway_name;  // and what people call it
  std::string uplink;
  std::vector<std::string> streams;
  // What `spillway sink setup` makes.
  std::uint32_t partitions = 6;
  std::int32_t replication = -1;   // -1: what the cluster does by default
  std::uint64_t retention_ns = 0;  // 0: what the cluster does by default

  /// Of the producer, and of the group that carries its positions.
  [[nodiscard]] std::string identity() const { return "spillway." + gateway + "." + uplink; }
  /// The topic that is there if any is: the positions are kept at its partition 0.
  [[nodiscard]] std::string home_topic() const {
    return expand_topic(topic, gateway_name, streams.empty() ? std::string() : streams.front(),
                        kNoTopic);
  }
};

}  // namespace spillway::uplink::kafka
