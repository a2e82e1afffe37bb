// The machine's configuration: one TOML file for all daemons (docs/operations.md lists every key).
//
// Unknown keys are errors that name the nearest known key and the line. Sizes read "8MiB",
// durations "1s", "5ms", "7d".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/capture_config.h"
#include "spillway/core/engine_config.h"
#include "spillway/core/format.h"
#include "spillway/core/ingest_config.h"
#include "spillway/core/mqtt_ingest_config.h"
#include "spillway/core/result.h"
#include "spillway/core/source_config.h"
#include "spillway/core/stream.h"
#include "spillway/core/tls_config.h"

namespace spillway::core {

struct GatewayConfig {
  std::string name;       // default: the host name
  std::string queue_dir;  // default: /run/spillway as root, else $XDG_RUNTIME_DIR/spillway
  std::string spill_dir;  // default: /var/lib/spillway as root, else $XDG_STATE_HOME/spillway or
                          // ~/.local/state/spillway
  std::uint64_t nap_ns = 5'000'000;
  std::uint64_t lanes_per_user_max = 1024;
  std::uint64_t lane_bytes_per_user_max = 256ULL << 20;
  std::uint64_t flash_endurance_bytes =
      0;                // what the card may be written in its life; 0: not stated
  bool sandbox = true;  // the daemons shut themselves in (sandbox.h)
};

struct StreamConfig {
  std::string name;                 // [a-z0-9_-]{1,63}
  std::vector<std::string> topics;  // filters
  std::uint64_t sync_interval_ns = 1'000'000'000;
  std::uint64_t segment_bytes = 8ULL << 20;
  std::uint64_t max_bytes = 256ULL << 20;
  WhenFull when_full = WhenFull::kDropOldest;
  std::uint64_t max_age_ns = 0;  // records older than this are dropped; 0: never for their age
  Compress compress = Compress::kBacklog;
  Placement placement = Placement::kDisk;
  std::uint64_t memory_bytes = 16ULL << 20;
  std::uint64_t memory_age_ns = 3'600'000'000'000;
  std::int64_t priority = 0;  // uplinks: what is higher goes first
  std::uint64_t weight = 1;   // and this is the share among equals
};

/// A part of each week. An end at or before the begin lies on the next day.
struct TimeWindow {
  static constexpr std::uint16_t kMinutesADay = 24 * 60;

  std::uint8_t days = 0x7F;  // on which it begins; bit 0 is Monday
  std::uint16_t begin_minute = 0;
  std::uint16_t end_minute = kMinutesADay;
};

/// An HTTP proxy between the uplink and its far end.
struct ProxyConfig {
  std::string url;               // http://host[:port]; empty: none
  std::string credentials_file;  // "user:password"; empty: none are sent
};

/// One way to the far end, and what it may cost.
struct LinkConfig {
  std::string name;
  std::string interface;  // empty: the one that the routes say
  std::string url;
  TlsConfig tls;
  ProxyConfig proxy;
  std::uint64_t ping_interval_ns = 4'000'000'000;  // an open link may be silent for so long
  std::uint64_t rate_limit_bytes_per_s = 0;        // 0: none
  std::uint64_t budget_per_day_bytes = 0;          // 0: none
  std::uint64_t budget_per_month_bytes = 0;        // 0: none
  std::vector<TimeWindow> windows;                 // empty: always
  bool windows_are_local = false;                  // in the machine's time zone; else UTC
};

struct UplinkConfig {
  std::string name;
  std::vector<std::string> streams;
  std::string relay;    // instead: a relay's directory, of which it drains every stream
  std::string url;      // ws://host:port[/path] or wss://, or an engine's
  EngineConfig engine;  // where it is an engine's
  TlsConfig tls;
  ProxyConfig proxy;
  std::uint64_t ping_interval_ns = 4'000'000'000;  // an open link may be silent for so long
  std::vector<LinkConfig> links;  // the best one first; at least one, of what stands above
  bool compress = true;           // messages, where the far end knows how and it pays
  std::uint64_t gather_ns = 0;    // live records wait so long for others of their message
  std::uint64_t window_bytes = 4ULL << 20;          // sent and not yet acknowledged, at most
  std::uint64_t reconnect_ns_min = 200'000'000;     // backoff: first wait
  std::uint64_t reconnect_ns_max = 60'000'000'000;  // and its cap
};

/// A consumer that stores into streams of its own, for an uplink to drain.
struct RelayConfig {
  std::string directory;                      // of inbox = "spill:..."; empty: it is a database
  std::uint64_t segment_bytes = 8ULL << 20;   // at most
  std::uint64_t stream_bytes = 256ULL << 20;  // each foreign stream, at most
  std::uint64_t max_bytes = 8ULL << 30;       // all together
  WhenFull when_full = WhenFull::kRejectNew;
  std::uint64_t max_age_ns = 0;  // since they came here; 0: never dropped for their age
};

struct ConsumerConfig {
  std::string listen;               // ws://address:port or wss://; empty: it has sources alone
  std::string inbox;                // sqlite:/path, postgresql://... or spill:/directory
  std::string inbox_password_file;  // of postgresql://user@...; empty: as libpq finds it
  TlsConfig tls;
  std::uint64_t max_record_bytes = kRecordBytesLimit;  // a larger record becomes a dead letter
  bool validate = false;             // and so does one that does not verify against its schema
  bool known_gateways_only = false;  // gateways = "known": those that a person allowed
  bool bind_certificates = false;    // a gateway's certificate must name its id
  std::uint64_t retain_ns = 0;       // records go when they are older; 0: never for their age
  std::uint64_t max_bytes = 0;       // and the oldest ones when the inbox is larger; 0: no bound
  RelayConfig relay;
  std::vector<std::string> relays;    // ids or names of gateways that may bring others' streams
  std::vector<SourceConfig> sources;  // engines that it reads from
};

struct Config {
  std::string path;
  GatewayConfig gateway;
  std::vector<StreamConfig> streams;  // if none is given: one named "default" for "#"
  std::vector<UplinkConfig> uplinks;
  std::optional<ConsumerConfig> consumer;
  std::optional<IceoryxConfig> iceoryx;
  std::optional<ApiConfig> api;
  std::vector<CaptureConfig> captures;
  std::optional<MqttIngestConfig> mqtt;
};

/// kNotFound, kPermission, or kInvalidArgument with "FILE:LINE: ..." for the first thing that is
/// wrong.
[[nodiscard]] Result<Config> load_config(const std::string& path);
/// The same from text, for tests; `path` stands in messages.
[[nodiscard]] Result<Config> parse_config(std::string_view text, const std::string& path);
/// Without a file: the defaults.
[[nodiscard]] Config default_config();

/// "8MiB", "64KiB", "1GiB", "512" -> bytes. "5ms", "1s", "2m", "12h", "7d" -> ns.
[[nodiscard]] Result<std::uint64_t> parse_bytes(std::string_view text);
/// The same, and decimal as on a card's label: "64GB", "10TB".
[[nodiscard]] Result<std::uint64_t> parse_storage_bytes(std::string_view text);
[[nodiscard]] Result<std::uint64_t> parse_duration_ns(std::string_view text);
/// "2Mbit/s", "64kbit/s", "250kB/s", "1MiB/s" -> bytes a second.
[[nodiscard]] Result<std::uint64_t> parse_link_rate(std::string_view text);
/// "22:00-06:00", "sat,sun 00:00-24:00", "mon-fri 18:30-07:00".
[[nodiscard]] Result<TimeWindow> parse_time_window(std::string_view text);
/// The same the other way round.
[[nodiscard]] std::string text_of(const TimeWindow& window);

}  // namespace spillway::core
