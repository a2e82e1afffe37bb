#include "uplink/engines/kafka/kafka_admin.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace spillway::uplink::kafka {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

constexpr std::size_t kReasonBytes = 512;
/// So long one question about a topic waits before the cluster's troubles are looked at again.
constexpr int kAskMs = 500;
constexpr std::uint64_t kMillisecond = 1'000'000;

using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;
using Options = std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;
using Resource =
    std::unique_ptr<rd_kafka_ConfigResource_t, Destroy<rd_kafka_ConfigResource_destroy>>;
using Topic = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>>;

tl::unexpected<core::Error> nobody_answers(const Client& client, const std::string& on) {
  if (client.trouble()) return tl::unexpected(*client.trouble());
  return fail(ErrorCode::kUnavailable, on + ": no broker answers");
}

Result<TopicFacts> facts_of(const rd_kafka_metadata_t& metadata, const std::string& topic) {
  if (metadata.topic_cnt != 1) return fail(ErrorCode::kProtocol, "topic " + topic + ": no answer");
  const rd_kafka_metadata_topic_t& found = metadata.topics[0];
  if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return tl::unexpected(explain(found.err, "topic " + topic));
  }
  return TopicFacts{found.partition_cnt};
}

/// Options with a time limit, for the kind of question.
Options options_for(Client& client, rd_kafka_admin_op_t kind, std::uint64_t until_ns) {
  Options options(rd_kafka_AdminOptions_new(client.get(), kind));
  std::array<char, kReasonBytes> reason{};
  // Times from 0 to 1 h are taken; left_ms() gives no others.
  (void)rd_kafka_AdminOptions_set_request_timeout(options.get(), left_ms(until_ns), reason.data(),
                                                  reason.size());
  return options;
}

/// The one answer that comes into this queue.
Result<Event> await(Client& client, const Queue& queue, const std::string& on,
                    std::uint64_t until_ns) {
  while (true) {
    Event event(rd_kafka_queue_poll(queue.get(), std::min(kAskMs, left_ms(until_ns))));
    client.poll(0);
    if (event && rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return tl::unexpected(
          explain(rd_kafka_event_error(event.get()), on, rd_kafka_event_error_string(event.get())));
    }
    if (event) return event;
    if (client.hopeless() || now_ns() >= until_ns) return nobody_answers(client, on);
  }
}

}  // namespace

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

int left_ms(std::uint64_t until_ns) {
  const std::uint64_t now = now_ns();
  const std::uint64_t left = until_ns > now ? (until_ns - now) / kMillisecond : 0;
  return static_cast<int>(std::clamp<std::uint64_t>(left, 1, 3'600'000));
}

Result<TopicFacts> find_topic(Client& client, const std::string& topic, std::uint64_t until_ns) {
  const TopicHandle handle(rd_kafka_topic_new(client.get(), topic.c_str(), nullptr));
  if (!handle) return tl::unexpected(explain(rd_kafka_last_error(), "topic " + topic));
  while (true) {
    const rd_kafka_metadata_t* answer = nullptr;
    const auto error = rd_kafka_metadata(client.get(), 0, handle.get(), &answer,
                                         std::min(kAskMs, left_ms(until_ns)));
    const Metadata metadata(answer);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return facts_of(*metadata, topic);
    client.poll(0);
    if (client.hopeless() || now_ns() >= until_ns) return nobody_answers(client, "topic " + topic);
  }
}

Result<std::map<std::string, std::string>> topic_settings(Client& client, const std::string& topic,
                                                          std::uint64_t until_ns) {
  std::map<std::string, std::string> settings;
  const Queue queue(rd_kafka_queue_new(client.get()));
  const Resource resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  const Options options = options_for(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, until_ns);
  std::array<rd_kafka_ConfigResource_t*, 1> asked{resource.get()};
  rd_kafka_DescribeConfigs(client.get(), asked.data(), asked.size(), options.get(), queue.get());
  auto answer = await(client, queue, "topic " + topic, until_ns);
  // Brokers that cannot be asked have said all that they will.
  if (!answer && answer.error().code == ErrorCode::kNewerVersion) return settings;
  SPILLWAY_TRY(event, std::move(answer));
  const auto* result = rd_kafka_event_DescribeConfigs_result(event.get());
  std::size_t resources = 0;
  const auto* const answers = rd_kafka_DescribeConfigs_result_resources(result, &resources);
  if (resources != 1 || rd_kafka_ConfigResource_error(answers[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return settings;
  }
  std::size_t count = 0;
  const auto* const entries = rd_kafka_ConfigResource_configs(answers[0], &count);
  for (std::size_t i = 0; i < count; ++i) {
    const char* value = rd_kafka_ConfigEntry_value(entries[i]);
    settings[rd_kafka_ConfigEntry_name(entries[i])] = value == nullptr ? "" : value;
  }
  return settings;
}

// By a consumer that joins nothing: ListConsumerGroupOffsets of librdkafka 2.0 dies where the group's
// coordinator is still on its way.
Result<std::string> group_text(const Connection& connection, const std::string& group,
                               const std::string& topic, std::uint64_t until_ns) {
  Settings settings;
  settings.reach(connection).set("group.id", group).set("enable.auto.commit", "false");
  settings.set("isolation.level", "read_committed");  // waits for what is being committed
  SPILLWAY_TRY(client, Client::open(RD_KAFKA_CONSUMER, std::move(settings)));
  const PartitionList asked(rd_kafka_topic_partition_list_new(1));
  const rd_kafka_topic_partition_t* partition =
      rd_kafka_topic_partition_list_add(asked.get(), topic.c_str(), 0);
  const auto error = rd_kafka_committed(client->get(), asked.get(), left_ms(until_ns));
  client->poll(0);
  if (error == RD_KAFKA_RESP_ERR__TIMED_OUT) {
    if (client->trouble()) {
      return fail(client->trouble()->code, "group " + group + ": " + client->trouble()->message);
    }
    // The brokers answered all else: librdkafka keeps to itself that they refuse this.
    return fail(ErrorCode::kUnavailable,
                "group " + group +
                    ": no answer; where brokers guard their groups, grant the user Read on it");
  }
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return tl::unexpected(explain(error, "group " + group));
  }
  if (partition->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return tl::unexpected(explain(partition->err, "group " + group));
  }
  if (partition->metadata == nullptr) return std::string();
  return std::string(static_cast<const char*>(partition->metadata), partition->metadata_size);
}

Result<bool> create_topic(Client& client, const NewTopic& topic, std::uint64_t until_ns) {
  std::array<char, kReasonBytes> reason{};
  const Topic made(rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, topic.replication,
                                         reason.data(), reason.size()));
  if (!made) return fail(ErrorCode::kInvalidArgument, "topic " + topic.name + ": " + reason.data());
  for (const auto& [key, value] : topic.settings) {
    (void)rd_kafka_NewTopic_set_config(made.get(), key.c_str(), value.c_str());
  }
  const Queue queue(rd_kafka_queue_new(client.get()));
  const Options options = options_for(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, until_ns);
  (void)rd_kafka_AdminOptions_set_operation_timeout(options.get(), left_ms(until_ns), reason.data(),
                                                    reason.size());
  std::array<rd_kafka_NewTopic_t*, 1> list{made.get()};
  rd_kafka_CreateTopics(client.get(), list.data(), list.size(), options.get(), queue.get());
  SPILLWAY_TRY(event, await(client, queue, "topic " + topic.name, until_ns));
  std::size_t count = 0;
  const auto* const answers =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  if (count != 1) return fail(ErrorCode::kProtocol, "topic " + topic.name + ": no answer");
  const auto error = rd_kafka_topic_result_error(answers[0]);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  if (error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return false;
  const char* text = rd_kafka_topic_result_error_string(answers[0]);
  return tl::unexpected(explain(error, "topic " + topic.name, text == nullptr ? "" : text));
}

}  // namespace spillway::uplink::kafka
