#include "core/config/engine_section.h"

#include <algorithm>
#include <array>

#include "core/config/sections.h"

namespace spillway::core {

namespace {

using ReadTable = Result<void> (*)(const TableReader&, const std::string&, EngineConfig&);

/// An engine's table in [[uplink]], and whose it is.
struct EngineTable {
  std::string_view key;
  std::string_view scheme;  // and the same with an s
  ReadTable read;
};

constexpr std::array<EngineTable, 5> kTables{{{"rabbitmq", "amqp", read_rabbitmq},
                                              {"kafka", "kafka", read_kafka},
                                              {"nats", "nats", read_nats},
                                              {"mqtt", "mqtt", read_mqtt},
                                              {"http", "http", read_http}}};

constexpr std::array<std::string_view, 8> kEngineKeys{
    "payload", "window_messages", "password_file", "rabbitmq", "kafka", "nats", "mqtt", "http"};
/// What is measured at the native link's own socket, or is that link's own way.
constexpr std::array<std::string_view, 9> kNativeKeys{
    "link",      "compress",      "gather",         "proxy",           "proxy_credentials_file",
    "interface", "ping_interval", "budget_per_day", "budget_per_month"};

constexpr std::array<std::string_view, 3> kPayloadNames{"raw", "json", "blocks"};
constexpr std::uint64_t kWindowMessagesMax = 1'000'000;
/// Outcomes come with the commits: so much lets transactions grow while a backlog drains.
constexpr std::uint64_t kKafkaWindowBytes = 16ULL << 20;

Result<void> read_payload(const TableReader& reader, EngineConfig& engine) {
  std::string payload = "raw";
  SPILLWAY_CHECKED(reader.read("payload", payload));
  const auto named = std::find(kPayloadNames.begin(), kPayloadNames.end(), payload);
  if (named == kPayloadNames.end()) {
    return reader.complain("payload", R"(payload must be "raw", "json" or "blocks")");
  }
  engine.payload = static_cast<EnginePayload>(named - kPayloadNames.begin());
  SPILLWAY_CHECKED(reader.read_count("window_messages", engine.window_messages));
  if (engine.window_messages > kWindowMessagesMax) {
    return reader.complain("window_messages", "window_messages must be from 1 to 1000000");
  }
  SPILLWAY_CHECKED(reader.read("password_file", engine.password_file));
  // NATS and HTTP know tokens, which belong to no user.
  const std::string& scheme = engine.url.scheme;
  const bool takes_token = scheme == "nats" || scheme == "http" || scheme == "https";
  if (engine.password_file.empty() || takes_token || !engine.url.user.empty()) return {};
  return reader.complain("password_file",
                         "password_file is of no use without a user: write it into the address, "
                         "as in amqp://user@host");
}

Result<void> read_tables(const TableReader& reader, const std::string& path, EngineConfig& engine) {
  for (const EngineTable& table : kTables) {
    const std::string secure = std::string(table.scheme) + "s";
    if (engine.url.scheme == table.scheme || engine.url.scheme == secure) {
      SPILLWAY_CHECKED(table.read(reader, path, engine));
    } else if (reader.has(table.key)) {
      return reader.complain(table.key, "[uplink." + std::string(table.key) + "] goes with " +
                                            std::string(table.scheme) + ":// and not with " +
                                            engine.url.scheme + "://");
    }
  }
  return {};
}

}  // namespace

Result<void> check_template(const TableReader& reader, std::string_view key,
                            const std::string& text) {
  for (std::size_t at = text.find_first_of("{}"); at != std::string::npos;
       at = text.find_first_of("{}", at)) {
    const std::size_t end = text.find('}', at);
    const std::string word = end == std::string::npos ? "" : text.substr(at, end - at + 1);
    if (word != "{gateway}" && word != "{stream}" && word != "{topic}") {
      return reader.complain(
          key, std::string(key) + ": what may be filled in is {gateway}, {stream} and {topic}");
    }
    at = end + 1;
  }
  if (!text.empty()) return {};
  return reader.complain(key, std::string(key) + " must not be empty");
}

std::span<const std::string_view> engine_keys() { return kEngineKeys; }

Result<void> refuse_engine_keys(const TableReader& reader) {
  for (const std::string_view key : kEngineKeys) {
    if (!reader.has(key)) continue;
    return reader.complain(key, std::string(key) +
                                    " goes with an engine at the far end (amqp://, kafka://, ...), "
                                    "not with ws:// or wss://");
  }
  return {};
}

std::string_view name_of(EnginePayload payload) {
  return kPayloadNames[static_cast<std::size_t>(payload)];
}

Result<void> read_engine(const TableReader& reader, const std::string& path, UplinkConfig& uplink) {
  auto url = parse_engine_url(uplink.url);
  if (!url) return reader.complain("url", "url: " + url.error().message);
  uplink.engine.url = std::move(*url);
  const std::string scheme = uplink.engine.url.scheme + "://";
  for (const std::string_view key : kNativeKeys) {
    if (!reader.has(key)) continue;
    return reader.complain(key, std::string(key) + " is the native link's (ws:// and wss://): " +
                                    scheme + " does not have it");
  }
  SPILLWAY_CHECKED(read_payload(reader, uplink.engine));
  SPILLWAY_CHECKED(read_tables(reader, path, uplink.engine));
  if (scheme == "kafka://" && !reader.has("window_bytes")) {
    uplink.window_bytes = kKafkaWindowBytes;
  }
  // Kafka and NATS say in no scheme whether they speak TLS: the table does.
  const bool by_table = uplink.engine.url.scheme == "kafka" || uplink.engine.url.scheme == "nats";
  return read_tls(reader, "[uplink.tls]", by_table || uplink.engine.url.secure(), path, uplink.tls);
}

}  // namespace spillway::core
