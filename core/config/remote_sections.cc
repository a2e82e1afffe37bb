// [[uplink]] and [consumer]: what goes over the network.
#include <algorithm>
#include <array>

#include "core/config/address.h"
#include "core/config/engine_section.h"
#include "core/config/relay_section.h"
#include "core/config/sections.h"
#include "core/config/source_section.h"

namespace spillway::core {

namespace {

/// From the proxy on they are each link's, see link_section.cc.
constexpr std::array<std::string_view, 20> kUplinkKeys{"name",
                                                       "streams",
                                                       "relay",
                                                       "url",
                                                       "tls",
                                                       "compress",
                                                       "gather",
                                                       "window_bytes",
                                                       "reconnect_min",
                                                       "reconnect_max",
                                                       "link",
                                                       "proxy",
                                                       "proxy_credentials_file",
                                                       "ping_interval",
                                                       "interface",
                                                       "rate_limit",
                                                       "budget_per_day",
                                                       "budget_per_month",
                                                       "windows",
                                                       "window_times"};
constexpr std::array<std::string_view, 3> kTlsKeys{"ca", "certificate", "key"};
constexpr std::array<std::string_view, 13> kConsumerKeys{"listen",
                                                         "inbox",
                                                         "tls",
                                                         "max_record_bytes",
                                                         "validate",
                                                         "gateways",
                                                         "retain",
                                                         "bind_certificates",
                                                         "max_bytes",
                                                         "relay",
                                                         "relays",
                                                         "source",
                                                         "inbox_password_file"};
constexpr std::array<std::string_view, 1> kLaterConsumerKeys{"workflow"};

constexpr std::uint64_t kGatherNsMax = 60'000'000'000;
constexpr std::uint64_t kWindowBytesMin = 64ULL << 10;
constexpr std::uint64_t kWindowBytesMax = 1ULL << 30;

Result<void> read_uplink_compress(const TableReader& reader, UplinkConfig& uplink) {
  std::string compress = "auto";
  SPILLWAY_CHECKED(reader.read("compress", compress));
  if (compress != "auto" && compress != "never") {
    return reader.complain("compress", "compress must be \"auto\" or \"never\"");
  }
  uplink.compress = compress == "auto";
  SPILLWAY_CHECKED(reader.read_duration("gather", uplink.gather_ns));
  if (uplink.gather_ns > kGatherNsMax)
    return reader.complain("gather", "gather is at most \"60s\"");
  return {};
}

Result<void> check_uplink_of_relay(const TableReader& reader, const UplinkConfig& uplink) {
  if (!uplink.relay.starts_with('/')) {
    return reader.complain(
        "relay",
        "relay must be the absolute path of a relay's directory, that of [consumer] "
        "inbox = \"spill:...\"");
  }
  if (!reader.has("streams")) return {};
  return reader.complain("streams",
                         "relay stands for all streams of the relay; for this machine's own "
                         "streams make another [[uplink]]");
}

Result<void> check_streams(const TableReader& reader, const Config& config, UplinkConfig& uplink) {
  if (reader.has("relay")) return check_uplink_of_relay(reader, uplink);
  if (!reader.has("streams")) {
    for (const StreamConfig& stream : config.streams) uplink.streams.push_back(stream.name);
    return {};
  }
  if (uplink.streams.empty()) {
    return reader.complain("streams", "streams is empty; leave it out to take all streams");
  }
  for (std::size_t i = 0; i < uplink.streams.size(); ++i) {
    const std::string& wanted = uplink.streams[i];
    const auto begin = uplink.streams.begin();
    if (std::find(begin, begin + static_cast<std::ptrdiff_t>(i), wanted) !=
        begin + static_cast<std::ptrdiff_t>(i)) {
      return reader.complain("streams", "\"" + wanted + "\" is named twice");
    }
    const bool known = std::any_of(config.streams.begin(), config.streams.end(),
                                   [&](const StreamConfig& s) { return s.name == wanted; });
    if (!known) return reader.complain("streams", "there is no stream named \"" + wanted + "\"");
  }
  return {};
}

Result<void> check_uplink(const TableReader& reader, const Config& config,
                          const UplinkConfig& uplink) {
  if (!is_valid_name(uplink.name)) {
    return reader.complain("name", "name must be 1 to 63 of a-z, 0-9, '_' and '-'");
  }
  for (const UplinkConfig& other : config.uplinks) {
    if (other.name != uplink.name) continue;
    return reader.complain("name", "there is another uplink named \"" + uplink.name + "\"");
  }
  if (uplink.window_bytes < kWindowBytesMin || uplink.window_bytes > kWindowBytesMax) {
    return reader.complain("window_bytes", "window_bytes must be from 64KiB to 1GiB");
  }
  if (uplink.reconnect_ns_min == 0 || uplink.reconnect_ns_min > uplink.reconnect_ns_max) {
    return reader.complain(reader.has("reconnect_min") ? "reconnect_min" : "reconnect_max",
                           "reconnect_min must be above 0 and not above reconnect_max");
  }
  return {};
}

Result<void> check_inbox(const TableReader& reader, const std::string& inbox) {
  constexpr std::string_view kScheme = "sqlite:";
  // What stands behind it is libpq's to judge, and whether this build has it the daemon's.
  if (inbox.starts_with("postgresql://") || inbox.starts_with("postgres://")) {
    const std::string_view authority = std::string_view(inbox).substr(
        inbox.find("://") + 3, inbox.find('@') == std::string::npos ? 0 : std::string::npos);
    if (authority.substr(0, authority.find('@')).find(':') != std::string_view::npos) {
      return reader.complain("inbox",
                             "inbox: a password does not belong into the address: name its file as "
                             "inbox_password_file");
    }
    if (inbox.find_first_of(" \t\r\n") == std::string::npos) return {};
    return reader.complain("inbox", "inbox: no blanks in the address of a database");
  }
  if (reader.has("inbox_password_file")) {
    return reader.complain("inbox_password_file", "inbox_password_file goes with postgresql://");
  }
  if (inbox.starts_with(kScheme) && inbox.size() > kScheme.size()) return {};
  if (inbox.starts_with(std::string(kRelayScheme) + "/")) return {};
  if (inbox.starts_with(kRelayScheme)) {
    return reader.complain("inbox",
                           "inbox: a relay's directory is an absolute path, such as "
                           "\"spill:/var/lib/spillway-relay\"");
  }
  return reader.complain("inbox",
                         "inbox must be given, such as \"sqlite:/var/lib/spillway/inbox.db\"");
}

}  // namespace

Result<void> read_tls(const TableReader& owner, const std::string& name, bool secure,
                      const std::string& path, TlsConfig& tls) {
  SPILLWAY_TRY(table, owner.table("tls"));
  if (table == nullptr) return {};
  const TableReader reader(*table, name, path);
  SPILLWAY_CHECKED(reader.check_keys({kTlsKeys, {}}));
  SPILLWAY_CHECKED(reader.read("ca", tls.ca));
  SPILLWAY_CHECKED(reader.read("certificate", tls.certificate));
  SPILLWAY_CHECKED(reader.read("key", tls.key));
  if (tls.certificate.empty() != tls.key.empty()) {
    return reader.complain("key", "certificate and key are given together or not at all");
  }
  // Somebody who wrote this believes that the link is encrypted.
  if (secure) return {};
  return reader.complain(
      "ca", "the address is one without TLS; make it one with it (wss://, amqps://, ...)");
}

Result<void> read_uplink(const toml::table& table, Config& config) {
  UplinkConfig uplink;
  const TableReader reader(table, "[[uplink]]", config.path);
  std::vector<std::string_view> keys(kUplinkKeys.begin(), kUplinkKeys.end());
  const auto engines = engine_keys();
  keys.insert(keys.end(), engines.begin(), engines.end());
  SPILLWAY_CHECKED(reader.check_keys({keys, {}}));
  uplink.engine.gateway_name = config.gateway.name;
  SPILLWAY_CHECKED(reader.read("name", uplink.name));
  SPILLWAY_CHECKED(reader.read("streams", uplink.streams));
  SPILLWAY_CHECKED(reader.read("relay", uplink.relay));
  SPILLWAY_CHECKED(reader.read("url", uplink.url));
  SPILLWAY_CHECKED(read_uplink_compress(reader, uplink));
  SPILLWAY_CHECKED(reader.read_bytes("window_bytes", uplink.window_bytes));
  SPILLWAY_CHECKED(reader.read_duration("reconnect_min", uplink.reconnect_ns_min));
  SPILLWAY_CHECKED(reader.read_duration("reconnect_max", uplink.reconnect_ns_max));
  SPILLWAY_CHECKED(read_proxy(reader, uplink.proxy));
  SPILLWAY_CHECKED(read_ping_interval(reader, uplink.ping_interval_ns));
  SPILLWAY_CHECKED(check_uplink(reader, config, uplink));
  SPILLWAY_CHECKED(check_streams(reader, config, uplink));
  SPILLWAY_CHECKED(read_links(reader, config.path, uplink));
  config.uplinks.push_back(std::move(uplink));
  return {};
}

namespace {

Result<void> read_listener(const TableReader& reader, const std::string& path,
                           ConsumerConfig& consumer) {
  if (consumer.listen.empty() && !consumer.sources.empty()) {
    SPILLWAY_TRY(tls, reader.table("tls"));
    if (tls == nullptr) return {};
    return reader.complain("tls", "[consumer.tls] goes with listen; a source has its own tls");
  }
  if (consumer.listen.empty()) {
    return reader.complain(
        "listen",
        "listen is missing, such as \"ws://127.0.0.1:7443\" (a consumer may have "
        "[[consumer.source]] instead)");
  }
  if (std::string complaint = complaint_about_listen(consumer.listen); !complaint.empty()) {
    return reader.complain("listen", "listen: " + complaint);
  }
  const bool secure = is_secure(consumer.listen);
  SPILLWAY_CHECKED(read_tls(reader, "[consumer.tls]", secure, path, consumer.tls));
  if (secure && consumer.tls.certificate.empty()) {
    return reader.complain("listen", "wss:// needs certificate and key in [consumer.tls]");
  }
  return {};
}

}  // namespace

Result<void> read_consumer(const toml::table& table, Config& config) {
  ConsumerConfig consumer;
  const TableReader reader(table, "[consumer]", config.path);
  SPILLWAY_CHECKED(reader.check_keys({kConsumerKeys, kLaterConsumerKeys}));
  SPILLWAY_CHECKED(reader.read("listen", consumer.listen));
  SPILLWAY_CHECKED(reader.read("inbox", consumer.inbox));
  SPILLWAY_CHECKED(reader.read("inbox_password_file", consumer.inbox_password_file));
  SPILLWAY_CHECKED(reader.read("relays", consumer.relays));
  SPILLWAY_CHECKED(check_inbox(reader, consumer.inbox));
  SPILLWAY_CHECKED(read_relay(reader, config, consumer));
  SPILLWAY_CHECKED(read_sources(reader, config.path, consumer));
  SPILLWAY_CHECKED(read_listener(reader, config.path, consumer));
  SPILLWAY_CHECKED(read_consumer_rules(reader, consumer));
  config.consumer = std::move(consumer);
  return {};
}

}  // namespace spillway::core
