#include "core/config/source_section.h"

#include <algorithm>
#include <array>

#include "core/config/engine_section.h"
#include "core/config/sections.h"
#include "spillway/core/topic.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 3> kCommonKeys{"url", "password_file", "tls"};
/// A key of one engine's alone.
struct EngineKey {
  std::string_view key;
  std::string_view scheme;  // and the same with an s
};
constexpr std::array<EngineKey, 15> kEngineKeys{{{"queue", "amqp"},
                                                 {"prefetch", "amqp"},
                                                 {"heartbeat", "amqp"},
                                                 {"stream", "nats"},
                                                 {"durable", "nats"},
                                                 {"ack_wait", "nats"},
                                                 {"topics", "kafka"},
                                                 {"group", "kafka"},
                                                 {"instance", "kafka"},
                                                 {"sasl", "kafka"},
                                                 {"client_id", "mqtt"},
                                                 {"filters", "mqtt"},
                                                 {"session_expiry", "mqtt"},
                                                 {"receive_maximum", "mqtt"},
                                                 {"keep_alive", "mqtt"}}};

constexpr std::size_t kSourcesMax = 16;
constexpr std::size_t kTopicsMax = 256;
constexpr std::size_t kFiltersMax = 64;
/// AMQP's short strings: one byte says how long they are.
constexpr std::size_t kNameBytesMax = 255;
constexpr std::uint64_t kPrefetchMax = 65'535;
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kHeartbeatNsMax = 3600 * kSecondNs;
constexpr std::uint64_t kAckWaitNsMax = 3600 * kSecondNs;
constexpr std::uint64_t kReceiveMaximumMax = 65'535;
constexpr std::uint64_t kKeepAliveNsMin = 5 * kSecondNs;
constexpr std::uint64_t kKeepAliveNsMax = 3600 * kSecondNs;
/// 32 bits of seconds, of which the highest means for ever.
constexpr std::uint64_t kSessionExpiryNsMax = 4'294'967'294 * kSecondNs;
constexpr std::string_view kSharePrefix = "$share/";

Result<void> check_keys(const TableReader& reader) {
  std::array<std::string_view, kCommonKeys.size() + kEngineKeys.size()> keys{};
  const auto end = std::copy(kCommonKeys.begin(), kCommonKeys.end(), keys.begin());
  std::transform(kEngineKeys.begin(), kEngineKeys.end(), end,
                 [](const EngineKey& key) { return key.key; });
  return reader.check_keys({keys, {}});
}

/// What is of no use to this engine is an error, not something that is silently left undone.
Result<void> check_engine(const TableReader& reader, const SourceConfig& source) {
  for (const EngineKey& key : kEngineKeys) {
    const bool fits =
        source.url.scheme == key.scheme || source.url.scheme == std::string(key.scheme) + "s";
    if (fits || !reader.has(key.key)) continue;
    return reader.complain(key.key, std::string(key.key) + " goes with " + std::string(key.scheme) +
                                        ":// and not with " + source.url.scheme + "://");
  }
  return {};
}

Result<void> read_rabbitmq_keys(const TableReader& reader, SourceConfig& source) {
  SPILLWAY_CHECKED(reader.read("queue", source.queue));
  SPILLWAY_CHECKED(reader.read_count("prefetch", source.prefetch));
  SPILLWAY_CHECKED(reader.read_duration("heartbeat", source.heartbeat_ns));
  if (source.queue.empty() || source.queue.size() > kNameBytesMax) {
    return reader.complain("queue", "queue must be 1 to 255 bytes");
  }
  if (source.prefetch == 0 || source.prefetch > kPrefetchMax) {
    return reader.complain("prefetch", "prefetch must be from 1 to 65535");
  }
  if (source.heartbeat_ns < 2 * kSecondNs || source.heartbeat_ns > kHeartbeatNsMax) {
    return reader.complain("heartbeat", "heartbeat must be from \"2s\" to \"1h\"");
  }
  return {};
}

Result<void> read_nats_keys(const TableReader& reader, SourceConfig& source) {
  SPILLWAY_CHECKED(reader.read("stream", source.stream));
  SPILLWAY_CHECKED(reader.read("durable", source.durable));
  SPILLWAY_CHECKED(reader.read_duration("ack_wait", source.ack_wait_ns));
  for (const auto& [key, name] :
       {std::pair<std::string_view, const std::string&>{"stream", source.stream},
        {"durable", source.durable}}) {
    if (!name.empty() && name.find_first_of(" \t.*>/\\") == std::string::npos) continue;
    return reader.complain(
        key, std::string(key) + " is a JetStream name: no blanks, dots, slashes or wildcards");
  }
  if (source.ack_wait_ns >= kSecondNs && source.ack_wait_ns <= kAckWaitNsMax) return {};
  return reader.complain("ack_wait", "ack_wait must be from \"1s\" to \"1h\"");
}

Result<void> read_kafka_keys(const TableReader& reader, SourceConfig& source) {
  SPILLWAY_CHECKED(reader.read("topics", source.topics));
  SPILLWAY_CHECKED(reader.read("group", source.group));
  SPILLWAY_CHECKED(reader.read("instance", source.instance));
  SPILLWAY_CHECKED(read_sasl(reader, source.sasl));
  const auto fits = [](const std::string& topic) {
    return !topic.empty() && topic.size() <= kNameBytesMax;
  };
  if (source.topics.empty() || source.topics.size() > kTopicsMax ||
      !std::all_of(source.topics.begin(), source.topics.end(), fits)) {
    return reader.complain("topics", "topics must be 1 to 256 names of 1 to 255 bytes");
  }
  if (!fits(source.group)) return reader.complain("group", "group must be 1 to 255 bytes");
  return {};
}

/// A topic filter, or "$share/group/filter". What fits a topic's bounds: Spillway's own topics in MQTT may be longer, but
/// a filter for them need not be.
bool is_mqtt_filter(std::string_view filter) {
  if (!filter.starts_with(kSharePrefix)) return is_valid_topic_filter(filter);
  filter.remove_prefix(kSharePrefix.size());
  const std::size_t slash = filter.find('/');
  if (slash == 0 || slash == std::string_view::npos) return false;
  return filter.substr(0, slash).find_first_of("+#") == std::string_view::npos &&
         is_valid_topic_filter(filter.substr(slash + 1));
}

Result<void> read_mqtt_keys(const TableReader& reader, SourceConfig& source) {
  SPILLWAY_CHECKED(reader.read("client_id", source.client_id));
  SPILLWAY_CHECKED(reader.read("filters", source.filters));
  SPILLWAY_CHECKED(reader.read_duration("session_expiry", source.session_expiry_ns));
  SPILLWAY_CHECKED(reader.read_count("receive_maximum", source.receive_maximum));
  SPILLWAY_CHECKED(reader.read_duration("keep_alive", source.keep_alive_ns));
  const bool is_mqtt = source.url.scheme == "mqtt" || source.url.scheme == "mqtts";
  if (is_mqtt && (source.client_id.empty() || source.client_id.size() > kNameBytesMax)) {
    return reader.complain(source.client_id.empty() ? "url" : "client_id",
                           "client_id must be 1 to 255 bytes: the broker keeps what this consumer "
                           "has not read under that name, and no other consumer may use it");
  }
  if (source.filters.empty() || source.filters.size() > kFiltersMax ||
      !std::all_of(source.filters.begin(), source.filters.end(), is_mqtt_filter)) {
    return reader.complain("filters",
                           "filters must be 1 to 64 topic filters, such as \"spillway/#\" or "
                           "\"$share/group/spillway/#\"");
  }
  if (source.session_expiry_ns > kSessionExpiryNsMax ||
      (source.session_expiry_ns != 0 && source.session_expiry_ns < kSecondNs)) {
    return reader.complain("session_expiry",
                           "session_expiry must be at least \"1s\", or \"0s\": for ever");
  }
  if (source.receive_maximum == 0 || source.receive_maximum > kReceiveMaximumMax) {
    return reader.complain("receive_maximum", "receive_maximum must be from 1 to 65535");
  }
  if (source.keep_alive_ns >= kKeepAliveNsMin && source.keep_alive_ns <= kKeepAliveNsMax) return {};
  return reader.complain("keep_alive", "keep_alive must be from \"5s\" to \"1h\"");
}

Result<SourceConfig> read_source(const toml::table& table, const std::string& path) {
  SourceConfig source;
  const TableReader reader(table, "[[consumer.source]]", path);
  SPILLWAY_CHECKED(check_keys(reader));
  std::string url;
  SPILLWAY_CHECKED(reader.read("url", url));
  if (url.empty()) {
    return reader.complain("url", "url is missing, such as \"amqp://consumer@rabbit.example\"");
  }
  auto parsed = parse_engine_url(url);
  if (!parsed) return reader.complain("url", "url: " + parsed.error().message);
  source.url = std::move(*parsed);
  SPILLWAY_CHECKED(check_engine(reader, source));
  SPILLWAY_CHECKED(reader.read("password_file", source.password_file));
  // NATS knows tokens, which belong to no user.
  const bool needs_user = source.url.scheme != "nats" && source.url.user.empty();
  if (!source.password_file.empty() && needs_user) {
    return reader.complain("password_file",
                           "password_file is of no use without a user: write it into the address, "
                           "as in amqp://user@host");
  }
  SPILLWAY_CHECKED(read_rabbitmq_keys(reader, source));
  SPILLWAY_CHECKED(read_nats_keys(reader, source));
  SPILLWAY_CHECKED(read_kafka_keys(reader, source));
  SPILLWAY_CHECKED(read_mqtt_keys(reader, source));
  source.has_tls = reader.has("tls");
  // Kafka and NATS say in no scheme whether they speak TLS: the table does.
  const bool by_table = source.url.scheme == "kafka" || source.url.scheme == "nats";
  SPILLWAY_CHECKED(
      read_tls(reader, "[consumer.source.tls]", by_table || source.url.secure(), path, source.tls));
  return source;
}

}  // namespace

Result<void> read_sources(const TableReader& reader, const std::string& path,
                          ConsumerConfig& consumer) {
  SPILLWAY_TRY(tables, reader.tables("source"));
  if (tables.empty()) return {};
  if (!consumer.relay.directory.empty()) {
    return reader.complain(
        "source",
        "a source needs an inbox in a database: through an engine records come in "
        "any order, and a relay passes them on in theirs");
  }
  if (tables.size() > kSourcesMax) return reader.complain("source", "at most 16 sources");
  for (const toml::table* table : tables) {
    SPILLWAY_TRY(source, read_source(*table, path));
    consumer.sources.push_back(std::move(source));
  }
  return {};
}

}  // namespace spillway::core
