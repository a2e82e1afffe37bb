// [api]: the HTTP API, and its limits.
#include <array>

#include "core/config/sections.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 18> kApiKeys{
    "socket",           "listen",          "tls",           "token_file",
    "schema_dir",       "body_bytes_max",  "records_max",   "lanes_max",
    "lane_bytes",       "connections_max", "keys_max",      "header_timeout",
    "body_timeout",     "idle_timeout",    "level_timeout", "keep_keys",
    "max_record_bytes", "bodies_bytes_max"};
constexpr std::array<std::string_view, 3> kTlsKeys{"ca", "certificate", "key"};
constexpr std::uint64_t kTimeoutMaxNs = 3'600'000'000'000;
constexpr std::uint64_t kKeepKeysMaxNs = 7 * 24 * kTimeoutMaxNs;
constexpr std::uint64_t kLaneBytesMin = 64ULL << 10;
constexpr std::uint64_t kLaneBytesMax = 64ULL << 20;
constexpr std::size_t kSocketPathBytesMax = 107;

bool is_loopback(std::string_view listen) {
  constexpr std::string_view kScheme = "http://";
  const std::string_view host = listen.substr(kScheme.size());
  return host.starts_with("127.") || host.starts_with("[::1]:") || host.starts_with("localhost:");
}

/// address:port behind the scheme.
bool has_port(std::string_view listen) {
  const auto colon = listen.rfind(':');
  const std::string_view port = listen.substr(colon + 1);
  if (colon < listen.find("//") + 3 || port.empty() || port.size() > 5) return false;
  std::uint32_t number = 0;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return number <= 65'535;
}

Result<void> read_tls_of_api(const TableReader& reader, const std::string& path, ApiConfig& api) {
  const bool secure = api.listen.starts_with("https://");
  SPILLWAY_TRY(table, reader.table("tls"));
  if (table == nullptr) {
    if (!secure) return {};
    return reader.complain("listen", "https:// needs [api.tls] with certificate and key");
  }
  if (!secure) return reader.complain("tls", "[api.tls] goes with listen = \"https://...\"");
  const TableReader own(*table, "[api.tls]", path);
  SPILLWAY_CHECKED(own.check_keys({kTlsKeys, {}}));
  SPILLWAY_CHECKED(own.read("ca", api.tls.ca));
  SPILLWAY_CHECKED(own.read("certificate", api.tls.certificate));
  SPILLWAY_CHECKED(own.read("key", api.tls.key));
  if (api.tls.certificate.empty() || api.tls.key.empty()) {
    return own.complain("certificate", "certificate and key are both needed");
  }
  return {};
}

Result<void> read_doors(const TableReader& reader, const Config& config, ApiConfig& api) {
  SPILLWAY_CHECKED(reader.read("socket", api.socket));
  SPILLWAY_CHECKED(reader.read("listen", api.listen));
  SPILLWAY_CHECKED(reader.read("token_file", api.token_file));
  if (api.socket.empty() && api.listen.empty()) {
    return reader.complain("socket", "it listens nowhere: give socket, listen, or both");
  }
  if (!api.socket.empty() && (api.socket[0] != '/' || api.socket.size() > kSocketPathBytesMax)) {
    return reader.complain("socket", "socket must be an absolute path of at most 107 bytes");
  }
  const bool plain = api.listen.starts_with("http://");
  if (!api.listen.empty() &&
      ((!plain && !api.listen.starts_with("https://")) || !has_port(api.listen))) {
    return reader.complain("listen", "listen must be http://address:port or https://address:port");
  }
  SPILLWAY_CHECKED(read_tls_of_api(reader, config.path, api));
  // Tokens and records in the clear are for nobody else to see.
  if (plain && !is_loopback(api.listen)) {
    return reader.complain("listen",
                           "http:// is for the loopback (127.0.0.1, [::1]); across a "
                           "network make it https://");
  }
  if (!api.listen.empty() && api.token_file.empty() && api.tls.ca.empty()) {
    return reader.complain("listen",
                           "whoever reaches it could put records: give token_file, or ca "
                           "in [api.tls] (only a Unix socket is guarded by its mode)");
  }
  return {};
}

Result<void> read_timeout(const TableReader& reader, std::string_view key, std::uint64_t& ns,
                          std::uint64_t max_ns = kTimeoutMaxNs) {
  SPILLWAY_CHECKED(reader.read_duration(key, ns));
  if (ns != 0 && ns <= max_ns) return {};
  return reader.complain(key, std::string(key) + " must be above 0 and at most " +
                                  std::to_string(max_ns / 1'000'000'000) + " s");
}

struct Limit {
  std::string_view key;
  std::uint64_t ApiConfig::*value;
  std::uint64_t min;
  std::uint64_t max;
};
constexpr std::array<Limit, 4> kCounts{{{"records_max", &ApiConfig::records_max, 1, 1'000'000},
                                        {"connections_max", &ApiConfig::connections_max, 1, 10'000},
                                        {"lanes_max", &ApiConfig::lanes_max, 1, 1'000},
                                        {"keys_max", &ApiConfig::keys_max, 1, 1'000'000}}};
constexpr std::array<Limit, 4> kSizes{
    {{"body_bytes_max", &ApiConfig::body_bytes_max, 1 << 10, 256ULL << 20},
     {"bodies_bytes_max", &ApiConfig::bodies_bytes_max, 1 << 10, 4ULL << 30},
     {"lane_bytes", &ApiConfig::lane_bytes, kLaneBytesMin, kLaneBytesMax},
     {"max_record_bytes", &ApiConfig::max_record_bytes, 1 << 10, 32ULL << 20}}};

Result<void> read_limits(const TableReader& reader, ApiConfig& api) {
  const auto check = [&](const Limit& limit) -> Result<void> {
    const std::uint64_t value = api.*limit.value;
    if (value >= limit.min && value <= limit.max) return {};
    return reader.complain(limit.key, std::string(limit.key) + " must be from " +
                                          std::to_string(limit.min) + " to " +
                                          std::to_string(limit.max));
  };
  for (const Limit& limit : kCounts) {
    SPILLWAY_CHECKED(reader.read_count(limit.key, api.*limit.value));
    SPILLWAY_CHECKED(check(limit));
  }
  for (const Limit& limit : kSizes) {
    SPILLWAY_CHECKED(reader.read_bytes(limit.key, api.*limit.value));
    SPILLWAY_CHECKED(check(limit));
  }
  if ((api.lane_bytes & (api.lane_bytes - 1)) != 0) {
    return reader.complain("lane_bytes", "lane_bytes must be a power of two");
  }
  if (api.max_record_bytes > api.lane_bytes / 2 - 32) {
    return reader.complain("max_record_bytes", "a record is at most half of lane_bytes less 32");
  }
  if (api.bodies_bytes_max < api.body_bytes_max) {
    return reader.complain("bodies_bytes_max", "bodies_bytes_max is below body_bytes_max");
  }
  return {};
}

}  // namespace

Result<void> read_api(const toml::table& table, Config& config) {
  ApiConfig api;
  api.schema_dir = config.gateway.spill_dir + "-api";
  const TableReader reader(table, "[api]", config.path);
  SPILLWAY_CHECKED(reader.check_keys({kApiKeys, {}}));
  SPILLWAY_CHECKED(read_doors(reader, config, api));
  SPILLWAY_CHECKED(reader.read("schema_dir", api.schema_dir));
  SPILLWAY_CHECKED(read_timeout(reader, "header_timeout", api.header_timeout_ns));
  SPILLWAY_CHECKED(read_timeout(reader, "body_timeout", api.body_timeout_ns));
  SPILLWAY_CHECKED(read_timeout(reader, "idle_timeout", api.idle_timeout_ns));
  SPILLWAY_CHECKED(read_timeout(reader, "level_timeout", api.level_timeout_ns));
  SPILLWAY_CHECKED(read_timeout(reader, "keep_keys", api.keep_keys_ns, kKeepKeysMaxNs));
  SPILLWAY_CHECKED(read_limits(reader, api));
  config.api = std::move(api);
  return {};
}

}  // namespace spillway::core
