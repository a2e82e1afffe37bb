// The configuration's tables, each with its keys and rules. Private to core/config.
#pragma once

#include <string>

#include "core/config/table_reader.h"
#include "spillway/core/config.h"

namespace spillway::core {

[[nodiscard]] GatewayConfig default_gateway();
[[nodiscard]] StreamConfig default_stream();

/// Each reads one table; names must be new among what `config` already holds.
[[nodiscard]] Result<void> read_gateway(const toml::table& table, Config& config);
[[nodiscard]] Result<void> read_stream(const toml::table& table, Config& config);
/// After the streams: an uplink may name only those that there are.
[[nodiscard]] Result<void> read_uplink(const toml::table& table, Config& config);
/// proxy, proxy_credentials_file and ping_interval, which a link has.
[[nodiscard]] Result<void> read_proxy(const TableReader& reader, ProxyConfig& proxy);
[[nodiscard]] Result<void> read_ping_interval(const TableReader& reader, std::uint64_t& ns);
/// The links of an uplink, from its own keys and its [[uplink.link]] tables; the rest of it is read.
[[nodiscard]] Result<void> read_links(const TableReader& reader, const std::string& path,
                                      UplinkConfig& uplink);
/// `name` as a person writes it: "[uplink.tls]". `secure`: the address begins with wss://.
[[nodiscard]] Result<void> read_tls(const TableReader& owner, const std::string& name, bool secure,
                                    const std::string& path, TlsConfig& tls);
[[nodiscard]] Result<void> read_consumer(const toml::table& table, Config& config);

/// What puts records in from outside: [iceoryx], [api], [[capture]], [mqtt].
[[nodiscard]] Result<void> read_iceoryx(const toml::table& table, Config& config);
[[nodiscard]] Result<void> read_api(const toml::table& table, Config& config);
[[nodiscard]] Result<void> read_capture(const toml::table& table, Config& config);
[[nodiscard]] Result<void> read_mqtt_ingest(const toml::table& table, Config& config);

/// Of [consumer]: what is applied, and whose; after its listen and tls.
[[nodiscard]] Result<void> read_consumer_rules(const TableReader& reader, ConsumerConfig& consumer);

/// [a-z0-9_-]{1,63}: a name that becomes a directory's or a file's.
[[nodiscard]] bool is_valid_name(std::string_view name);

}  // namespace spillway::core
