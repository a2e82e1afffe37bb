// What the configuration says of databases whose changes become records: [[capture]].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spillway::core {

/// How the changes of a PostgreSQL database are taken.
enum class CaptureMode : std::uint8_t {
  kReplication,  // logical replication, with a slot of its own
  kOutbox,       // triggers write an outbox table, which is polled
};

/// One database, and some of its tables.
struct CaptureConfig {
  std::string name;           // [a-z0-9_-]{1,40}
  std::string source;         // sqlite:/path or postgresql://...
  std::string password_file;  // for postgresql://; empty: as libpq finds it
  CaptureMode mode = CaptureMode::kReplication;
  std::vector<std::string> tables;
  std::string topic = "db/{table}";  // {table} and {capture} are replaced
  bool power_safe = true;       // level: a change leaves the source when it is; else process-safe
  bool snapshot = true;         // the rows that are there at first become records, too
  bool install = true;          // triggers, publication and slot are made at start
  bool full_old_values = true;  // PostgreSQL: REPLICA IDENTITY FULL for the tables
  std::uint64_t poll_interval_ns = 20'000'000;
  std::uint64_t max_record_bytes = 60ULL << 10;
  std::uint64_t lane_bytes = 1ULL << 20;
  std::string state_dir;  // default: <spill_dir>/.capture
};

inline constexpr std::size_t kCapturesMax = 32;
inline constexpr std::size_t kCaptureTablesMax = 64;
inline constexpr std::size_t kCaptureNameBytesMax = 40;

/// The topic of a table's changes.
[[nodiscard]] std::string capture_topic(const CaptureConfig& capture, const std::string& table);

}  // namespace spillway::core
