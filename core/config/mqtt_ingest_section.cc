// [mqtt]: the broker whose messages become records, and which feed which topics.
#include <algorithm>
#include <array>

#include "core/config/engine_section.h"
#include "core/config/sections.h"
#include "spillway/core/topic.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 11> kMqttKeys{
    "url",        "password_file",   "tls",       "client_id", "share", "session_expiry",
    "keep_alive", "receive_maximum", "lanes_max", "state_dir", "map"};
constexpr std::array<std::string_view, 9> kMapKeys{"filter",  "topic",      "schema",
                                                   "payload", "qos",        "retained",
                                                   "level",   "lane_bytes", "max_record_bytes"};
constexpr std::array<std::string_view, 3> kLevels{"accepted", "process-safe", "power-safe"};
constexpr std::array<std::string_view, 2> kPayloads{"raw", "json"};
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kKeepAliveNsMin = 5 * kSecondNs;
constexpr std::uint64_t kKeepAliveNsMax = 3600 * kSecondNs;
/// 32 bits of seconds, of which the highest means for ever.
constexpr std::uint64_t kSessionExpiryNsMax = 4'294'967'294 * kSecondNs;
constexpr std::uint64_t kReceiveMaximumMax = 65'535;
constexpr std::uint64_t kLanesMax = 1'000;
constexpr std::uint64_t kLaneBytesMin = 16ULL << 10;
constexpr std::uint64_t kLaneBytesMax = 64ULL << 20;
constexpr std::size_t kClientIdBytesMax = 255;
constexpr std::size_t kShareBytesMax = 63;
constexpr std::string_view kPlaceholder = "{topic}";

/// Cuts the first level off; nothing where there is none left.
bool take_level(std::string_view& rest, bool& more, std::string_view& level) {
  if (!more) return false;
  const std::size_t slash = rest.find('/');
  more = slash != std::string_view::npos;
  level = rest.substr(0, slash);
  rest = more ? rest.substr(slash + 1) : std::string_view{};
  return true;
}

bool begins_wild(std::string_view filter) {
  return filter.starts_with('+') || filter.starts_with('#');
}

Result<void> read_broker(const TableReader& reader, const Config& config, MqttIngestConfig& mqtt) {
  std::string url;
  SPILLWAY_CHECKED(reader.read("url", url));
  auto parsed = parse_engine_url(url);
  if (!url.empty() && !parsed) return reader.complain("url", "url: " + parsed.error().message);
  if (!parsed || (parsed->scheme != "mqtt" && parsed->scheme != "mqtts") || parsed->has_path) {
    return reader.complain("url", "url must be mqtt://[user@]host[:port], or mqtts:// with TLS");
  }
  mqtt.url = std::move(*parsed);
  SPILLWAY_CHECKED(reader.read("password_file", mqtt.password_file));
  if (!mqtt.password_file.empty() && mqtt.url.user.empty()) {
    return reader.complain("password_file",
                           "password_file is of no use without a user: write it into the address, "
                           "as in mqtt://user@host");
  }
  return read_tls(reader, "[mqtt.tls]", mqtt.url.secure(), config.path, mqtt.tls);
}

Result<void> read_session(const TableReader& reader, MqttIngestConfig& mqtt) {
  SPILLWAY_CHECKED(reader.read("client_id", mqtt.client_id));
  if (mqtt.client_id.empty() || mqtt.client_id.size() > kClientIdBytesMax) {
    return reader.complain("client_id",
                           "client_id must be 1 to 255 bytes: the broker keeps what comes while "
                           "this gateway is away under that name, and nobody else may use it");
  }
  SPILLWAY_CHECKED(reader.read("share", mqtt.share));
  if (mqtt.share.size() > kShareBytesMax || mqtt.share.find_first_of("/+#") != std::string::npos) {
    return reader.complain("share", "share must be at most 63 bytes without '/', '+' and '#'");
  }
  SPILLWAY_CHECKED(reader.read("state_dir", mqtt.state_dir));
  if (!mqtt.state_dir.starts_with('/')) {
    return reader.complain("state_dir", "state_dir must be an absolute path");
  }
  SPILLWAY_CHECKED(reader.read_duration("session_expiry", mqtt.session_expiry_ns));
  if (mqtt.session_expiry_ns > kSessionExpiryNsMax ||
      (mqtt.session_expiry_ns != 0 && mqtt.session_expiry_ns < kSecondNs)) {
    return reader.complain("session_expiry",
                           "session_expiry must be at least \"1s\", or \"0s\": for ever");
  }
  return {};
}

Result<void> read_bounds(const TableReader& reader, MqttIngestConfig& mqtt) {
  SPILLWAY_CHECKED(reader.read_duration("keep_alive", mqtt.keep_alive_ns));
  if (mqtt.keep_alive_ns < kKeepAliveNsMin || mqtt.keep_alive_ns > kKeepAliveNsMax) {
    return reader.complain("keep_alive", "keep_alive must be from \"5s\" to \"1h\"");
  }
  SPILLWAY_CHECKED(reader.read_count("receive_maximum", mqtt.receive_maximum));
  if (mqtt.receive_maximum > kReceiveMaximumMax) {
    return reader.complain("receive_maximum", "receive_maximum must be from 1 to 65535");
  }
  SPILLWAY_CHECKED(reader.read_count("lanes_max", mqtt.lanes_max));
  if (mqtt.lanes_max > kLanesMax) {
    return reader.complain("lanes_max", "lanes_max must be from 1 to 1000");
  }
  return {};
}

Result<void> read_topics(const TableReader& reader, const MqttIngestConfig& mqtt,
                         MqttMapConfig& map) {
  SPILLWAY_CHECKED(reader.read("filter", map.filter));
  if (!is_valid_topic_filter(map.filter)) {
    return reader.complain("filter", "filter must be an MQTT topic filter, such as \"sensor/#\"");
  }
  if (map.filter.starts_with("$share/")) {
    return reader.complain("filter", "a shared subscription is said by share in [mqtt]");
  }
  SPILLWAY_CHECKED(reader.read("topic", map.topic));
  if (!is_valid_topic(mqtt_topic(map, "x")) || map.topic.empty()) {
    return reader.complain("topic",
                           "topic must be 1 to 255 bytes of UTF-8 without '+' and '#'; {topic} in "
                           "it stands for the message's own");
  }
  if (mqtt.maps.size() == kMqttMapsMax) {
    return reader.complain("filter", "there can be at most 128 [[mqtt.map]]");
  }
  for (const MqttMapConfig& other : mqtt.maps) {
    if (!mqtt_filters_overlap(other.filter, map.filter)) continue;
    return reader.complain("filter", "\"" + other.filter + "\" takes messages that \"" +
                                         map.filter +
                                         "\" takes, too: a broker would bring them twice");
  }
  return {};
}

Result<void> read_records(const TableReader& reader, MqttMapConfig& map) {
  SPILLWAY_CHECKED(reader.read("schema", map.schema));
  std::string payload = "raw";
  SPILLWAY_CHECKED(read_word(reader, "payload", kPayloads, payload));
  map.json = payload == "json";
  if (map.json && map.schema.empty()) {
    return reader.complain("payload",
                           "payload = \"json\" needs schema, which says what the JSON means");
  }
  SPILLWAY_CHECKED(reader.read_bytes("lane_bytes", map.lane_bytes));
  const bool power_of_two = (map.lane_bytes & (map.lane_bytes - 1)) == 0;
  if (!power_of_two || map.lane_bytes < kLaneBytesMin || map.lane_bytes > kLaneBytesMax) {
    return reader.complain("lane_bytes", "lane_bytes must be a power of two from 16KiB to 64MiB");
  }
  if (!reader.has("max_record_bytes")) {
    map.max_record_bytes = std::min(map.max_record_bytes, map.lane_bytes / 2 - 32);
  }
  SPILLWAY_CHECKED(reader.read_bytes("max_record_bytes", map.max_record_bytes));
  if (map.max_record_bytes == 0 || map.max_record_bytes > map.lane_bytes / 2 - 32) {
    return reader.complain("max_record_bytes",
                           "max_record_bytes must be at least 1, and at most half of lane_bytes "
                           "less 32");
  }
  return {};
}

Result<void> read_delivery(const TableReader& reader, const MqttIngestConfig& mqtt,
                           MqttMapConfig& map) {
  SPILLWAY_CHECKED(reader.read_integer("qos", map.qos));
  if (map.qos < 0 || map.qos > 1) {
    return reader.complain("qos",
                           "qos must be 0 or 1; what is published with QoS 2 is brought with 1");
  }
  std::string level(name_of(map.level));
  SPILLWAY_CHECKED(read_word(reader, "level", kLevels, level));
  map.level =
      static_cast<MqttLevel>(std::find(kLevels.begin(), kLevels.end(), level) - kLevels.begin());
  SPILLWAY_CHECKED(reader.read_truth("retained", map.retained));
  if (map.retained && !mqtt.share.empty()) {
    return reader.complain("retained", "a broker brings no retained messages to those who share");
  }
  return {};
}

Result<void> read_map(const toml::table& table, const std::string& path, MqttIngestConfig& mqtt) {
  MqttMapConfig map;
  const TableReader reader(table, "[[mqtt.map]]", path);
  SPILLWAY_CHECKED(reader.check_keys({kMapKeys, {}}));
  SPILLWAY_CHECKED(read_topics(reader, mqtt, map));
  SPILLWAY_CHECKED(read_records(reader, map));
  SPILLWAY_CHECKED(read_delivery(reader, mqtt, map));
  mqtt.maps.push_back(std::move(map));
  return {};
}

}  // namespace

std::string_view name_of(MqttLevel level) { return kLevels.at(static_cast<std::size_t>(level)); }

std::string mqtt_topic(const MqttMapConfig& map, std::string_view message_topic) {
  std::string topic = map.topic;
  for (std::size_t at = 0; (at = topic.find(kPlaceholder, at)) != std::string::npos;) {
    topic.replace(at, kPlaceholder.size(), message_topic);
    at += message_topic.size();
  }
  return topic;
}

bool mqtt_filter_matches(std::string_view filter, std::string_view topic) {
  return !(topic.starts_with('$') && begins_wild(filter)) && topic_matches(filter, topic);
}

bool mqtt_filters_overlap(std::string_view one, std::string_view other) {
  if ((one.starts_with('$') && begins_wild(other)) || (other.starts_with('$') && begins_wild(one)))
    return false;
  bool one_more = true;
  bool other_more = true;
  std::string_view left;
  std::string_view right;
  while (true) {
    const bool has_left = take_level(one, one_more, left);
    const bool has_right = take_level(other, other_more, right);
    // "a/#" takes "a", too.
    if ((has_left && left == "#") || (has_right && right == "#")) return true;
    if (!has_left || !has_right) return has_left == has_right;
    if (left != "+" && right != "+" && left != right) return false;
  }
}

Result<void> read_mqtt_ingest(const toml::table& table, Config& config) {
  MqttIngestConfig mqtt;
  mqtt.client_id = "spillway-" + config.gateway.name;
  mqtt.state_dir = config.gateway.spill_dir + "/.mqtt";
  const TableReader reader(table, "[mqtt]", config.path);
  SPILLWAY_CHECKED(reader.check_keys({kMqttKeys, {}}));
  SPILLWAY_CHECKED(read_broker(reader, config, mqtt));
  SPILLWAY_CHECKED(read_session(reader, mqtt));
  SPILLWAY_CHECKED(read_bounds(reader, mqtt));
  SPILLWAY_TRY(maps, reader.tables("map"));
  for (const toml::table* map : maps) SPILLWAY_CHECKED(read_map(*map, config.path, mqtt));
  if (mqtt.maps.empty()) {
    return reader.complain("map", "it has no [[mqtt.map]]: nothing would be subscribed");
  }
  config.mqtt = std::move(mqtt);
  return {};
}

}  // namespace spillway::core
