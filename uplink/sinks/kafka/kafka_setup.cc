#include "uplink/sinks/kafka/kafka_setup.h"

#include <algorithm>
#include <set>

#include "uplink/engines/kafka/kafka_admin.h"
#include "uplink/sinks/kafka/kafka_sink.h"

namespace spillway::uplink::kafka {

namespace {

using core::Result;

constexpr std::uint64_t kSetUpNs = 20'000'000'000;
constexpr std::uint64_t kMillisecondNs = 1'000'000;
/// librdkafka's queue is larger than the session's window: what it refuses for want of room is rare.
constexpr std::uint64_t kQueueBytesMin = 8ULL << 20;

/// All that can be named before a record comes.
std::set<std::string> topics_of(const KafkaSettings& settings) {
  std::set<std::string> topics{settings.home_topic()};
  for (const std::string& stream : settings.streams) {
    topics.insert(expand_topic(settings.topic, settings.gateway_name, stream, kNoTopic));
  }
  return topics;
}

NewTopic wanted(const std::string& name, const KafkaSettings& settings) {
  NewTopic topic{name, static_cast<std::int32_t>(settings.partitions), settings.replication, {}};
  if (settings.retention_ns != 0) {
    topic.settings["retention.ms"] = std::to_string(settings.retention_ns / kMillisecondNs);
  }
  return topic;
}

std::string describe(const NewTopic& topic) {
  std::string text =
      "topic " + topic.name + ", " + std::to_string(topic.partitions) + " partitions";
  if (topic.replication > 0) text += ", replication " + std::to_string(topic.replication);
  for (const auto& [key, value] : topic.settings)
    text.append(", ").append(key).append(" ").append(value);
  return text;
}

/// Of a topic that was there before.
Result<std::string> differences(Client& client, const NewTopic& topic, std::uint64_t until_ns) {
  SPILLWAY_TRY(facts, find_topic(client, topic.name, until_ns));
  SPILLWAY_TRY(settings, topic_settings(client, topic.name, until_ns));
  std::string text;
  if (facts.partitions != topic.partitions) {
    text += ", with " + std::to_string(facts.partitions) + " partitions";
  }
  for (const auto& [key, value] : topic.settings) {
    const auto found = settings.find(key);
    if (found != settings.end() && found->second != value) {
      text.append(", with ").append(key).append(" ").append(found->second);
    }
  }
  return text.empty() ? text : text + " and stays as it is";
}

Result<void> set_up_topic(Client& client, const NewTopic& topic, SinkSetup& setup) {
  const std::uint64_t until_ns = now_ns() + kSetUpNs;
  SPILLWAY_TRY(made, create_topic(client, topic, until_ns));
  if (made) {
    setup.lines.push_back(describe(topic));
    return {};
  }
  SPILLWAY_TRY(differs, differences(client, topic, until_ns));
  setup.lines.push_back("topic " + topic.name + ", which was there" + differs);
  return {};
}

}  // namespace

KafkaSettings settings_of(const core::UplinkConfig& uplink) {
  const core::EngineConfig& engine = uplink.engine;
  const core::KafkaConfig& config = engine.kafka;
  KafkaSettings settings;
  settings.connection.brokers = engine.url.hosts_text();
  settings.connection.user = engine.url.user;
  settings.connection.password_file = engine.password_file;
  settings.connection.mechanism = mechanism_of(config.sasl);
  settings.connection.secure = config.tls;
  settings.connection.tls = uplink.tls;
  settings.connection.client_id = "spillway-" + engine.gateway_name;
  settings.topic = config.topic;
  settings.compression = config.compression;
  settings.message_bytes_max = config.message_bytes_max;
  settings.transactions = config.transactions;
  settings.commit_interval_ns = config.commit_interval_ns;
  settings.window_messages = engine.window_messages;
  settings.window_bytes = uplink.window_bytes;
  settings.queue_bytes = std::max(2 * uplink.window_bytes, kQueueBytesMin);
  settings.gateway_name = engine.gateway_name;
  settings.uplink = uplink.name;
  settings.streams = uplink.streams;
  settings.partitions = static_cast<std::uint32_t>(config.partitions);
  settings.replication =
      config.replication == 0 ? -1 : static_cast<std::int32_t>(config.replication);
  settings.retention_ns = config.retention_ns;
  return settings;
}

Result<std::unique_ptr<Sink>> make_kafka_sink(const core::UplinkConfig& uplink) {
  return std::make_unique<KafkaSink>(settings_of(uplink));
}

Result<void> set_up_kafka(const core::UplinkConfig& uplink, SinkSetup& setup) {
  const KafkaSettings settings = settings_of(uplink);
  const std::set<std::string> topics = topics_of(settings);
  if (setup.dry_run) {
    for (const std::string& topic : topics)
      setup.lines.push_back(describe(wanted(topic, settings)));
  } else {
    SPILLWAY_TRY(client,
                 Client::open(RD_KAFKA_PRODUCER, std::move(Settings().reach(settings.connection))));
    for (const std::string& topic : topics) {
      SPILLWAY_CHECKED(set_up_topic(*client, wanted(topic, settings), setup));
    }
  }
  if (follows_topics(settings.topic)) {
    setup.lines.emplace_back(
        "nothing for the records' own topics: the brokers make them as they come "
        "(auto.create.topics.enable), or a person does");
  }
  return {};
}

}  // namespace spillway::uplink::kafka
