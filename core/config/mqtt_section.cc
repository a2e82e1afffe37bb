// [uplink.mqtt]
#include <array>

#include "core/config/engine_section.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 2> kKeys{"topic", "keep_alive"};
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kKeepAliveNsMin = 5 * kSecondNs;
constexpr std::uint64_t kKeepAliveNsMax = 3600 * kSecondNs;

}  // namespace

Result<void> read_mqtt(const TableReader& reader, const std::string& path, EngineConfig& engine) {
  SPILLWAY_TRY(table, reader.table("mqtt"));
  if (table == nullptr) return {};
  MqttConfig& config = engine.mqtt;
  const TableReader own(*table, "[uplink.mqtt]", path);
  SPILLWAY_CHECKED(own.check_keys({kKeys, {}}));
  SPILLWAY_CHECKED(own.read("topic", config.topic));
  SPILLWAY_CHECKED(own.read_duration("keep_alive", config.keep_alive_ns));
  SPILLWAY_CHECKED(check_template(own, "topic", config.topic));
  if (config.topic.find_first_of("+#") != std::string::npos) {
    return own.complain("topic", "topic names one topic: no wildcards");
  }
  if (config.keep_alive_ns >= kKeepAliveNsMin && config.keep_alive_ns <= kKeepAliveNsMax) return {};
  return own.complain("keep_alive", "keep_alive must be from \"5s\" to \"1h\"");
}

}  // namespace spillway::core
