// [gateway] and [[stream]]: what happens on this machine.
#include <algorithm>
#include <array>

#include "core/config/sections.h"
#include "spillway/core/format.h"
#include "spillway/core/topic.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 8> kGatewayKeys{"name",
                                                       "queue_dir",
                                                       "spill_dir",
                                                       "nap",
                                                       "lanes_per_user_max",
                                                       "lane_bytes_per_user_max",
                                                       "flash_endurance",
                                                       "sandbox"};
constexpr std::array<std::string_view, 13> kStreamKeys{
    "name",      "topics",   "sync_interval", "segment_bytes", "max_bytes",
    "when_full", "max_age",  "placement",     "memory_bytes",  "memory_age",
    "compress",  "priority", "weight"};

constexpr std::int64_t kPriorityMax = 1000;
constexpr std::uint64_t kWeightMax = 1000;

constexpr std::uint64_t kSegmentBytesMin = kSegmentBytesUsable;
constexpr std::uint64_t kSegmentBytesMax = 1ULL << 30;
constexpr std::uint64_t kStreamBytesMin = 1ULL << 20;
constexpr std::uint64_t kSegmentsMin = 4;
constexpr std::uint64_t kMemorySegmentsMin = 2;
constexpr std::uint64_t kMemorySegments = 4;  // where segment_bytes is not stated
constexpr std::uint64_t kMemoryAgeMinNs = 1'000'000'000;
constexpr std::uint64_t kNapMaxNs = 1'000'000'000;
constexpr std::uint64_t kMaxAgeMinNs = 1'000'000'000;  // segments are looked at once a second
constexpr std::size_t kNameBytesMax = 63;

Result<void> check_sizes(const TableReader& reader, const StreamConfig& stream) {
  if (stream.max_bytes < kStreamBytesMin) {
    return reader.complain("max_bytes", "max_bytes must be at least 1MiB");
  }
  if (stream.segment_bytes < kSegmentBytesMin || stream.segment_bytes > kSegmentBytesMax ||
      stream.segment_bytes % kPageBytes != 0) {
    return reader.complain("segment_bytes",
                           "segment_bytes must be a multiple of 4KiB from 96KiB, which takes a "
                           "record of 64KiB, to 1GiB");
  }
  if (stream.segment_bytes > stream.max_bytes / kSegmentsMin) {
    return reader.complain(reader.has("segment_bytes") ? "segment_bytes" : "max_bytes",
                           "segment_bytes (" + std::to_string(stream.segment_bytes) +
                               ") must be at most a quarter of max_bytes (" +
                               std::to_string(stream.max_bytes) + ")");
  }
  return {};
}

Result<void> check_topics(const TableReader& reader, const StreamConfig& stream) {
  if (stream.topics.empty()) {
    return reader.complain("topics", "topics is missing; [\"#\"] takes everything");
  }
  for (const std::string& filter : stream.topics) {
    if (is_valid_topic_filter(filter)) continue;
    return reader.complain("topics", "\"" + filter +
                                         "\" is not a topic filter: '+' stands for a whole level, "
                                         "'#' for the rest and only at the end");
  }
  return {};
}

Result<void> read_when_full(const TableReader& reader, StreamConfig& stream) {
  std::string when_full = "drop-oldest";
  SPILLWAY_CHECKED(reader.read("when_full", when_full));
  if (when_full != "drop-oldest" && when_full != "reject-new") {
    return reader.complain("when_full", "when_full must be \"drop-oldest\" or \"reject-new\"");
  }
  stream.when_full = when_full == "drop-oldest" ? WhenFull::kDropOldest : WhenFull::kRejectNew;
  return {};
}

Result<void> read_max_age(const TableReader& reader, StreamConfig& stream) {
  SPILLWAY_CHECKED(reader.read_duration("max_age", stream.max_age_ns));
  if (stream.max_age_ns == 0 || stream.max_age_ns >= kMaxAgeMinNs) return {};
  return reader.complain("max_age", "max_age must be at least \"1s\", or \"0\" for none");
}

Result<void> read_compress(const TableReader& reader, StreamConfig& stream) {
  std::string text(name_of(stream.compress));
  SPILLWAY_CHECKED(reader.read("compress", text));
  for (const Compress value : {Compress::kBacklog, Compress::kAlways, Compress::kNever}) {
    if (name_of(value) != text) continue;
    stream.compress = value;
    return {};
  }
  return reader.complain("compress", R"(compress must be "backlog", "always" or "never")");
}

Result<void> read_placement(const TableReader& reader, StreamConfig& stream) {
  std::string text(name_of(stream.placement));
  SPILLWAY_CHECKED(reader.read("placement", text));
  SPILLWAY_CHECKED(reader.read_bytes("memory_bytes", stream.memory_bytes));
  SPILLWAY_CHECKED(reader.read_duration("memory_age", stream.memory_age_ns));
  if (text == name_of(Placement::kMemoryFirst)) stream.placement = Placement::kMemoryFirst;
  if (text != name_of(stream.placement)) {
    return reader.complain("placement", R"(placement must be "disk" or "memory-first")");
  }
  for (const std::string_view key : {"memory_bytes", "memory_age"}) {
    if (stream.placement == Placement::kMemoryFirst || !reader.has(key)) continue;
    return reader.complain(key, std::string(key) + R"( goes with placement = "memory-first")");
  }
  if (stream.memory_age_ns < kMemoryAgeMinNs) {
    return reader.complain("memory_age", "memory_age must be at least \"1s\"");
  }
  return {};
}

Result<void> read_share(const TableReader& reader, StreamConfig& stream) {
  SPILLWAY_CHECKED(reader.read_integer("priority", stream.priority));
  if (stream.priority < -kPriorityMax || stream.priority > kPriorityMax) {
    return reader.complain("priority", "priority must be from -1000 to 1000; higher goes first");
  }
  SPILLWAY_CHECKED(reader.read_count("weight", stream.weight));
  if (stream.weight > kWeightMax) {
    return reader.complain("weight", "weight must be from 1 to 1000");
  }
  return {};
}

Result<void> check_memory(const TableReader& reader, const StreamConfig& stream) {
  if (stream.placement != Placement::kMemoryFirst ||
      stream.memory_bytes / kMemorySegmentsMin >= stream.segment_bytes) {
    return {};
  }
  return reader.complain("memory_bytes",
                         "memory_bytes (" + std::to_string(stream.memory_bytes) +
                             ") must hold at least two segments of segment_bytes (" +
                             std::to_string(stream.segment_bytes) + ")");
}

Result<void> read_sandbox(const TableReader& reader, GatewayConfig& gateway) {
  std::string text = "on";
  SPILLWAY_CHECKED(reader.read("sandbox", text));
  if (text != "on" && text != "off") {
    return reader.complain("sandbox", R"(sandbox must be "on" or "off")");
  }
  gateway.sandbox = text == "on";
  return {};
}

Result<void> check_directories(const TableReader& reader, const GatewayConfig& gateway) {
  const std::array<std::pair<std::string_view, const std::string*>, 2> directories{
      {{"queue_dir", &gateway.queue_dir}, {"spill_dir", &gateway.spill_dir}}};
  for (const auto& [key, directory] : directories) {
    if (directory->starts_with('/')) continue;
    return reader.complain(key, std::string(key) + " must be an absolute path");
  }
  if (gateway.queue_dir == gateway.spill_dir) {
    return reader.complain("spill_dir", "spill_dir and queue_dir must not be the same directory");
  }
  return {};
}

}  // namespace

bool is_valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

Result<void> read_gateway(const toml::table& table, Config& config) {
  GatewayConfig& gateway = config.gateway;
  const TableReader reader(table, "[gateway]", config.path);
  SPILLWAY_CHECKED(reader.check_keys({kGatewayKeys, {}}));
  SPILLWAY_CHECKED(reader.read("name", gateway.name));
  SPILLWAY_CHECKED(reader.read("queue_dir", gateway.queue_dir));
  SPILLWAY_CHECKED(reader.read("spill_dir", gateway.spill_dir));
  SPILLWAY_CHECKED(reader.read_duration("nap", gateway.nap_ns));
  SPILLWAY_CHECKED(reader.read_count("lanes_per_user_max", gateway.lanes_per_user_max));
  SPILLWAY_CHECKED(reader.read_bytes("lane_bytes_per_user_max", gateway.lane_bytes_per_user_max));
  SPILLWAY_CHECKED(reader.read_storage_bytes("flash_endurance", gateway.flash_endurance_bytes));
  SPILLWAY_CHECKED(read_sandbox(reader, gateway));
  if (!is_valid_topic(gateway.name)) {
    return reader.complain("name", "name must be 1 to 255 bytes of UTF-8 without '+' and '#'");
  }
  if (gateway.nap_ns == 0 || gateway.nap_ns > kNapMaxNs) {
    return reader.complain("nap", "nap must be above 0 and at most \"1s\"");
  }
  return check_directories(reader, gateway);
}

Result<void> read_stream(const toml::table& table, Config& config) {
  StreamConfig stream;
  const TableReader reader(table, "[[stream]]", config.path);
  SPILLWAY_CHECKED(reader.check_keys({kStreamKeys, {}}));
  SPILLWAY_CHECKED(reader.read("name", stream.name));
  SPILLWAY_CHECKED(reader.read("topics", stream.topics));
  SPILLWAY_CHECKED(reader.read_duration("sync_interval", stream.sync_interval_ns));
  SPILLWAY_CHECKED(reader.read_bytes("segment_bytes", stream.segment_bytes));
  SPILLWAY_CHECKED(reader.read_bytes("max_bytes", stream.max_bytes));
  SPILLWAY_CHECKED(read_when_full(reader, stream));
  SPILLWAY_CHECKED(read_max_age(reader, stream));
  SPILLWAY_CHECKED(read_compress(reader, stream));
  SPILLWAY_CHECKED(read_placement(reader, stream));
  SPILLWAY_CHECKED(read_share(reader, stream));
  if (!is_valid_name(stream.name)) {
    return reader.complain("name", "name must be 1 to 63 of a-z, 0-9, '_' and '-'");
  }
  for (const StreamConfig& other : config.streams) {
    if (other.name != stream.name) continue;
    return reader.complain("name", "there is another stream named \"" + stream.name + "\"");
  }
  SPILLWAY_CHECKED(check_topics(reader, stream));
  // A small quota without a word about segments means smaller segments, not an error.
  if (!reader.has("segment_bytes")) {
    const std::uint64_t quarter = stream.max_bytes / kSegmentsMin / kPageBytes * kPageBytes;
    stream.segment_bytes = std::min(stream.segment_bytes, std::max(quarter, kSegmentBytesMin));
    if (stream.placement == Placement::kMemoryFirst) {
      const std::uint64_t part = stream.memory_bytes / kMemorySegments / kPageBytes * kPageBytes;
      stream.segment_bytes = std::min(stream.segment_bytes, std::max(part, kSegmentBytesMin));
    }
  }
  SPILLWAY_CHECKED(check_sizes(reader, stream));
  SPILLWAY_CHECKED(check_memory(reader, stream));
  config.streams.push_back(std::move(stream));
  return {};
}

}  // namespace spillway::core
