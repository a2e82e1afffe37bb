// What is asked of the brokers beside records: whether a topic is there and how large its messages may
// be, the text beside a group's offset, and new topics. Each call waits for its answer.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "uplink/engines/kafka/kafka_connection.h"

namespace spillway::uplink::kafka {

struct TopicFacts {
  std::int32_t partitions = 0;
};

/// kNotFound if there is none; kUnavailable with the cluster's last trouble if nobody answers until
/// then.
[[nodiscard]] core::Result<TopicFacts> find_topic(Client& client, const std::string& topic,
                                                  std::uint64_t until_ns);
/// A topic's settings by name; empty where we may not ask (DescribeConfigs).
[[nodiscard]] core::Result<std::map<std::string, std::string>> topic_settings(
    Client& client, const std::string& topic, std::uint64_t until_ns);
/// What stands beside the group's offset of the topic's partition 0; empty: nothing. Waits for
/// transactions that are being completed.
[[nodiscard]] core::Result<std::string> group_text(const Connection& connection,
                                                   const std::string& group,
                                                   const std::string& topic,
                                                   std::uint64_t until_ns);

struct NewTopic {
  std::string name;
  std::int32_t partitions = 1;
  std::int32_t replication = -1;  // -1: what the cluster does by default
  std::map<std::string, std::string> settings;
};
/// False: it was there already.
[[nodiscard]] core::Result<bool> create_topic(Client& client, const NewTopic& topic,
                                              std::uint64_t until_ns);

/// The monotonic clock, for the times above.
[[nodiscard]] std::uint64_t now_ns();
/// What is left until then, at least 1 ms, in the library's unit.
[[nodiscard]] int left_ms(std::uint64_t until_ns);

}  // namespace spillway::uplink::kafka
