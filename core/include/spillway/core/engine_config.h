// What the configuration says of somebody else's engine (Kafka, RabbitMQ, MQTT, NATS, HTTP) at an
// uplink's far end, and the addresses of such engines.
//
// Whether this build can speak to the engine is not the configuration's to say, but the daemon's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::core {

struct EngineHost {
  std::string host;  // a literal IPv6 address without its brackets
  std::uint16_t port = 0;
};

/// scheme://[user@]host[:port][,host[:port]...][/path]
struct EngineUrl {
  std::string scheme;
  std::string user;
  std::vector<EngineHost>
      hosts;              // several where the engine is a cluster that one may enter anywhere
  std::string path;       // without the slash before it
  bool has_path = false;  // a slash stands behind the host, whatever follows

  [[nodiscard]] bool secure() const;
  /// "host:port" of all, for messages.
  [[nodiscard]] std::string hosts_text() const;
};

/// The scheme of a url is an engine's: kafka, amqp, amqps, mqtt, mqtts, nats, http, https.
[[nodiscard]] bool is_engine_url(std::string_view url);
/// kInvalidArgument says what is wrong with it. A password in it is wrong: it has a file.
[[nodiscard]] Result<EngineUrl> parse_engine_url(std::string_view url);

/// How records stand in a message's payload.
enum class EnginePayload : std::uint8_t {
  kRaw,     // one: its bytes as the producer made them
  kJson,    // one, printed by its schema
  kBlocks,  // a block of them as it stands in the spill
};

/// As the configuration says it.
[[nodiscard]] std::string_view name_of(EnginePayload payload);

/// [uplink.rabbitmq]
struct RabbitmqConfig {
  std::string exchange = "spillway";
  /// Of a record; what stands in braces is filled in: {gateway}, {stream}, {topic}. The slashes of a
  /// topic become dots, as a topic exchange wants them.
  std::string routing_key = "{gateway}.{stream}.{topic}";
  // What `spillway sink setup` declares beside the exchange.
  std::string queue = "spillway";
  std::string binding = "#";
  std::uint64_t queue_max_bytes = 0;  // 0: no bound; at it the queue refuses (reject-publish)
  std::uint64_t heartbeat_ns = 30'000'000'000;
};

/// [uplink.kafka]
struct KafkaConfig {
  std::string topic = "spillway";  // {gateway}, {stream} and {topic} are filled in
  std::string compression = "none";
  /// Records and how far the stream has come are one transaction: no doubles over a restart.
  bool transactions = true;
  std::uint64_t commit_interval_ns = 100'000'000;
  std::uint64_t message_bytes_max = 0;  // 0: what the topic's max.message.bytes says
  bool tls = false;            // with the system's authorities where [uplink.tls] has no ca
  std::string sasl = "plain";  // how the url's user is authenticated
  // What `spillway sink setup` makes.
  std::uint64_t partitions = 6;
  std::uint64_t replication = 0;   // 0: what the cluster does by default
  std::uint64_t retention_ns = 0;  // 0: what the cluster does by default
};

/// [uplink.nats]
struct NatsConfig {
  /// Of a message; {gateway}, {stream} and {topic} are filled in, slashes become dots.
  std::string subject = "spillway.{gateway}.{stream}.{topic}";
  std::string stream = "SPILLWAY";  // the JetStream stream that takes it
  // What `spillway sink setup` makes of that stream.
  std::string subjects = "spillway.>";
  std::uint64_t replicas = 1;
  std::uint64_t duplicate_window_ns = 120'000'000'000;
  std::uint64_t max_bytes = 0;   // 0: no bound; at it the stream refuses new messages
  std::uint64_t max_age_ns = 0;  // 0: for ever
};

/// [uplink.mqtt]
struct MqttConfig {
  /// Of a message; {gateway}, {stream} and {topic} are filled in.
  std::string topic = "spillway/{gateway}/{stream}/{topic}";
  std::uint64_t keep_alive_ns = 30'000'000'000;
};

/// [uplink.http]
struct HttpConfig {
  // Of a POST, at most.
  std::uint64_t batch_records = 1000;
  std::uint64_t batch_bytes = 1ULL << 20;
};

struct EngineConfig {
  EngineUrl url;  // without a host: the far end is a consumer, by the native link
  std::string password_file;
  EnginePayload payload = EnginePayload::kRaw;
  std::uint64_t window_messages = 4096;  // sent and not yet confirmed, at most
  RabbitmqConfig rabbitmq;
  KafkaConfig kafka;
  NatsConfig nats;
  MqttConfig mqtt;
  HttpConfig http;
  std::string gateway_name;  // [gateway] name, for the names that are made of it

  [[nodiscard]] bool used() const { return !url.hosts.empty(); }
};

}  // namespace spillway::core
