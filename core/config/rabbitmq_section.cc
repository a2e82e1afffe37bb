// [uplink.rabbitmq]
#include <array>

#include "core/config/engine_section.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 6> kKeys{"exchange", "routing_key",     "queue",
                                                "binding",  "queue_max_bytes", "heartbeat"};
/// AMQP's short strings: one byte says how long they are.
constexpr std::size_t kNameBytesMax = 255;
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kHeartbeatNsMax = 3600 * kSecondNs;
constexpr std::uint64_t kQueueBytesMin = 1ULL << 20;

Result<void> check_name(const TableReader& reader, std::string_view key, const std::string& name) {
  if (!name.empty() && name.size() <= kNameBytesMax) return {};
  return reader.complain(key, std::string(key) + " must be 1 to 255 bytes");
}

}  // namespace

Result<void> read_rabbitmq(const TableReader& reader, const std::string& path,
                           EngineConfig& engine) {
  SPILLWAY_TRY(table, reader.table("rabbitmq"));
  if (table == nullptr) return {};
  RabbitmqConfig& config = engine.rabbitmq;
  const TableReader own(*table, "[uplink.rabbitmq]", path);
  SPILLWAY_CHECKED(own.check_keys({kKeys, {}}));
  SPILLWAY_CHECKED(own.read("exchange", config.exchange));
  SPILLWAY_CHECKED(own.read("routing_key", config.routing_key));
  SPILLWAY_CHECKED(own.read("queue", config.queue));
  SPILLWAY_CHECKED(own.read("binding", config.binding));
  SPILLWAY_CHECKED(own.read_bytes("queue_max_bytes", config.queue_max_bytes));
  SPILLWAY_CHECKED(own.read_duration("heartbeat", config.heartbeat_ns));
  SPILLWAY_CHECKED(check_name(own, "exchange", config.exchange));
  SPILLWAY_CHECKED(check_name(own, "queue", config.queue));
  SPILLWAY_CHECKED(check_name(own, "routing_key", config.routing_key));
  SPILLWAY_CHECKED(check_name(own, "binding", config.binding));
  SPILLWAY_CHECKED(check_template(own, "routing_key", config.routing_key));
  if (config.queue_max_bytes != 0 && config.queue_max_bytes < kQueueBytesMin) {
    return own.complain("queue_max_bytes", "queue_max_bytes must be at least \"1MiB\", or 0");
  }
  if (config.heartbeat_ns >= 2 * kSecondNs && config.heartbeat_ns <= kHeartbeatNsMax) return {};
  return own.complain("heartbeat", "heartbeat must be from \"2s\" to \"1h\"");
}

}  // namespace spillway::core
