// [[capture]]: which tables of which databases feed which topics.
#include <algorithm>
#include <array>

#include "core/config/sections.h"
#include "spillway/core/topic.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 14> kCaptureKeys{
    "name",       "source",          "password_file", "mode",       "tables",    "topic",
    "level",      "snapshot",        "install",       "old_values", "state_dir", "poll_interval",
    "lane_bytes", "max_record_bytes"};
constexpr std::uint64_t kLaneBytesMin = 64ULL << 10;
constexpr std::uint64_t kLaneBytesMax = 64ULL << 20;
constexpr std::uint64_t kRecordMin = 1ULL << 10;
constexpr std::uint64_t kRecordMax = 64ULL << 10;  // what the smallest segments take
constexpr std::uint64_t kPollMinNs = 1'000'000;
constexpr std::uint64_t kPollMaxNs = 60'000'000'000;
constexpr std::size_t kTableBytesMax = 127;

bool is_postgres(const CaptureConfig& capture) {
  return capture.source.starts_with("postgresql://") || capture.source.starts_with("postgres://");
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
}

/// One of two words; `first` where the key is not there.
Result<bool> read_choice(const TableReader& reader, std::string_view key, std::string_view first,
                         std::string_view second) {
  std::string word(first);
  SPILLWAY_CHECKED(reader.read(key, word));
  if (word == first) return true;
  if (word == second) return false;
  return reader.complain(key, std::string(key) + " must be \"" + std::string(first) + "\" or \"" +
                                  std::string(second) + "\"");
}

Result<void> read_source(const TableReader& reader, CaptureConfig& capture) {
  SPILLWAY_CHECKED(reader.read("source", capture.source));
  if (!capture.source.starts_with("sqlite:/") && !is_postgres(capture)) {
    return reader.complain(
        "source", "source must be sqlite:/absolute/path or postgresql://user@host/database");
  }
  for (const std::string_view key : {"password_file", "mode", "old_values"}) {
    if (is_postgres(capture) || !reader.has(key)) continue;
    return reader.complain(key, std::string(key) + " goes with a postgresql:// source");
  }
  SPILLWAY_CHECKED(reader.read("password_file", capture.password_file));
  SPILLWAY_TRY(replication, read_choice(reader, "mode", "replication", "outbox"));
  capture.mode = replication ? CaptureMode::kReplication : CaptureMode::kOutbox;
  SPILLWAY_TRY(full, read_choice(reader, "old_values", "full", "key"));
  capture.full_old_values = full;
  return {};
}

Result<void> check_table(const TableReader& reader, const CaptureConfig& capture,
                         const std::string& table) {
  if (table.empty() || table.size() > kTableBytesMax || table.find('\0') != std::string::npos) {
    return reader.complain("tables", "a table's name must be 1 to 127 bytes");
  }
  if (std::count(capture.tables.begin(), capture.tables.end(), table) > 1) {
    return reader.complain("tables", "\"" + table + "\" stands there twice");
  }
  if (is_valid_topic(capture_topic(capture, table))) return {};
  return reader.complain("topic",
                         "\"" + capture_topic(capture, table) +
                             "\" is no topic: 1 to 255 bytes of UTF-8 without '+' and '#'");
}

Result<void> read_tables(const TableReader& reader, CaptureConfig& capture) {
  SPILLWAY_CHECKED(reader.read("tables", capture.tables));
  SPILLWAY_CHECKED(reader.read("topic", capture.topic));
  if (capture.tables.empty() || capture.tables.size() > kCaptureTablesMax) {
    return reader.complain("tables", "tables must name 1 to 64 tables");
  }
  for (const std::string& table : capture.tables) {
    SPILLWAY_CHECKED(check_table(reader, capture, table));
  }
  return {};
}

Result<void> read_bounds(const TableReader& reader, CaptureConfig& capture) {
  SPILLWAY_CHECKED(reader.read_duration("poll_interval", capture.poll_interval_ns));
  if (capture.poll_interval_ns < kPollMinNs || capture.poll_interval_ns > kPollMaxNs) {
    return reader.complain("poll_interval", "poll_interval must be from \"1ms\" to \"60s\"");
  }
  SPILLWAY_CHECKED(reader.read_bytes("lane_bytes", capture.lane_bytes));
  const bool power_of_two = (capture.lane_bytes & (capture.lane_bytes - 1)) == 0;
  if (!power_of_two || capture.lane_bytes < kLaneBytesMin || capture.lane_bytes > kLaneBytesMax) {
    return reader.complain("lane_bytes", "lane_bytes must be a power of two from 64KiB to 64MiB");
  }
  SPILLWAY_CHECKED(reader.read_bytes("max_record_bytes", capture.max_record_bytes));
  if (capture.max_record_bytes < kRecordMin || capture.max_record_bytes > kRecordMax ||
      capture.max_record_bytes > capture.lane_bytes / 4) {
    return reader.complain("max_record_bytes",
                           "max_record_bytes must be from 1KiB to 64KiB, and at most a quarter of "
                           "lane_bytes; what is larger is split");
  }
  return {};
}

Result<void> read_name(const TableReader& reader, const Config& config, CaptureConfig& capture) {
  SPILLWAY_CHECKED(reader.read("name", capture.name));
  if (!is_valid_name(capture.name) || capture.name.size() > kCaptureNameBytesMax) {
    return reader.complain("name", "name must be 1 to 40 of a-z, 0-9, '_' and '-'");
  }
  if (config.captures.size() == kCapturesMax) {
    return reader.complain("name", "there can be at most 32 [[capture]]");
  }
  for (const CaptureConfig& other : config.captures) {
    if (other.name != capture.name) continue;
    return reader.complain("name", "there is another capture named \"" + capture.name + "\"");
  }
  return {};
}

}  // namespace

std::string capture_topic(const CaptureConfig& capture, const std::string& table) {
  std::string topic = capture.topic;
  replace_all(topic, "{capture}", capture.name);
  replace_all(topic, "{table}", table);
  return topic;
}

Result<void> read_capture(const toml::table& table, Config& config) {
  CaptureConfig capture;
  capture.state_dir = config.gateway.spill_dir + "/.capture";
  const TableReader reader(table, "[[capture]]", config.path);
  SPILLWAY_CHECKED(reader.check_keys({kCaptureKeys, {}}));
  SPILLWAY_CHECKED(read_name(reader, config, capture));
  SPILLWAY_CHECKED(read_source(reader, capture));
  SPILLWAY_CHECKED(read_tables(reader, capture));
  SPILLWAY_TRY(power_safe, read_choice(reader, "level", "power-safe", "process-safe"));
  capture.power_safe = power_safe;
  SPILLWAY_CHECKED(reader.read_truth("snapshot", capture.snapshot));
  SPILLWAY_CHECKED(reader.read_truth("install", capture.install));
  SPILLWAY_CHECKED(reader.read("state_dir", capture.state_dir));
  if (!capture.state_dir.starts_with('/')) {
    return reader.complain("state_dir", "state_dir must be an absolute path");
  }
  SPILLWAY_CHECKED(read_bounds(reader, capture));
  config.captures.push_back(std::move(capture));
  return {};
}

}  // namespace spillway::core
