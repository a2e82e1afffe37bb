// What the configuration says of the MQTT broker whose messages become records: [mqtt].
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/engine_config.h"
#include "spillway/core/tls_config.h"

namespace spillway::core {

/// How safe a record is before its message is acknowledged.
enum class MqttLevel : std::uint8_t { kAccepted, kProcessSafe, kPowerSafe };

/// As the configuration says it.
[[nodiscard]] std::string_view name_of(MqttLevel level);

/// The messages that a filter takes become the records of one topic, or of one each.
struct MqttMapConfig {
  std::string filter;
  std::string topic = "{topic}";  // {topic} is the message's own
  std::string schema;             // .bfbs or .fbs file that explains the records; empty: none
  bool json = false;              // payload = "json": the schema makes FlatBuffers of messages
  std::int64_t qos = 1;           // 0 or 1
  bool retained = false;          // what the broker holds is taken once, by a new session
  MqttLevel level = MqttLevel::kProcessSafe;
  std::uint64_t lane_bytes = 1ULL << 20;
  std::uint64_t max_record_bytes = 64ULL << 10;
};

struct MqttIngestConfig {
  EngineUrl url;
  std::string password_file;
  TlsConfig tls;
  std::string client_id;                // default: "spillway-" and the gateway's name
  std::string share;                    // a group that shares the messages; empty: all of them come
  std::string state_dir;                // default: <spill_dir>/.mqtt
  std::uint64_t session_expiry_ns = 0;  // 0: for ever
  std::uint64_t keep_alive_ns = 60'000'000'000;
  std::uint64_t receive_maximum = 1000;
  std::uint64_t lanes_max = 64;
  std::vector<MqttMapConfig> maps;
};

inline constexpr std::size_t kMqttMapsMax = 128;

/// The Spillway topic of a message; it need not be a valid one.
[[nodiscard]] std::string mqtt_topic(const MqttMapConfig& map, std::string_view message_topic);
/// As brokers do it: a wildcard at the beginning takes no topic that begins with '$'.
[[nodiscard]] bool mqtt_filter_matches(std::string_view filter, std::string_view topic);
/// Whether some topic matches both.
[[nodiscard]] bool mqtt_filters_overlap(std::string_view one, std::string_view other);

}  // namespace spillway::core
