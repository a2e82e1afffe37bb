// [iceoryx]: which iceoryx events feed which topics.
#include <array>

#include "core/config/sections.h"
#include "spillway/core/topic.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 1> kIceoryxKeys{"map"};
constexpr std::array<std::string_view, 10> kMapKeys{
    "service", "instance",          "event",      "topic",           "schema", "queue_capacity",
    "history", "queue_full_policy", "lane_bytes", "max_record_bytes"};
constexpr std::uint64_t kLaneBytesMin = 16ULL << 10;
constexpr std::uint64_t kLaneBytesMax = 64ULL << 20;

Result<void> read_name(const TableReader& reader, std::string_view key, std::string& out) {
  SPILLWAY_CHECKED(reader.read(key, out));
  if (!out.empty() && out.size() <= kIceoryxNameBytesMax) return {};
  return reader.complain(key, std::string(key) + " must be 1 to 100 bytes, as the publisher's is");
}

Result<void> read_queue(const TableReader& reader, IceoryxMapConfig& map) {
  SPILLWAY_CHECKED(reader.read_count("queue_capacity", map.queue_capacity));
  if (map.queue_capacity == 0 || map.queue_capacity > kIceoryxQueueMax) {
    return reader.complain("queue_capacity", "queue_capacity must be from 1 to 256");
  }
  SPILLWAY_CHECKED(reader.read_count("history", map.history));
  if (map.history > kIceoryxHistoryMax || map.history > map.queue_capacity) {
    return reader.complain("history", "history must be at most 16, and at most queue_capacity");
  }
  std::string policy = "discard-oldest";
  SPILLWAY_CHECKED(reader.read("queue_full_policy", policy));
  if (policy != "discard-oldest" && policy != "block-producer") {
    return reader.complain("queue_full_policy",
                           "queue_full_policy must be \"discard-oldest\" or \"block-producer\" "
                           "(which only publishers that wait for their consumers agree to)");
  }
  map.block_producer = policy == "block-producer";
  return {};
}

Result<void> read_lane(const TableReader& reader, IceoryxMapConfig& map) {
  SPILLWAY_CHECKED(reader.read_bytes("lane_bytes", map.lane_bytes));
  const bool power_of_two = (map.lane_bytes & (map.lane_bytes - 1)) == 0;
  if (map.lane_bytes != 0 &&
      (!power_of_two || map.lane_bytes < kLaneBytesMin || map.lane_bytes > kLaneBytesMax)) {
    return reader.complain("lane_bytes", "lane_bytes must be a power of two from 16KiB to 64MiB");
  }
  SPILLWAY_CHECKED(reader.read_bytes("max_record_bytes", map.max_record_bytes));
  if (map.max_record_bytes > kRecordBytesLimit) {
    return reader.complain("max_record_bytes", "max_record_bytes must be at most 32MiB");
  }
  return {};
}

Result<void> check_unique(const TableReader& reader, const IceoryxConfig& iceoryx,
                          const IceoryxMapConfig& map) {
  if (iceoryx.maps.size() == kIceoryxMapsMax) {
    return reader.complain("service", "there can be at most 128 [[iceoryx.map]]");
  }
  for (const IceoryxMapConfig& other : iceoryx.maps) {
    if (other.service != map.service || other.instance != map.instance || other.event != map.event)
      continue;
    return reader.complain("event", "this service, instance and event go to \"" + other.topic +
                                        "\" already: each sample becomes one record");
  }
  return {};
}

Result<void> read_map(const toml::table& table, const std::string& path, IceoryxConfig& iceoryx) {
  IceoryxMapConfig map;
  const TableReader reader(table, "[[iceoryx.map]]", path);
  SPILLWAY_CHECKED(reader.check_keys({kMapKeys, {}}));
  SPILLWAY_CHECKED(read_name(reader, "service", map.service));
  SPILLWAY_CHECKED(read_name(reader, "instance", map.instance));
  SPILLWAY_CHECKED(read_name(reader, "event", map.event));
  SPILLWAY_CHECKED(reader.read("topic", map.topic));
  if (!is_valid_topic(map.topic)) {
    return reader.complain("topic", "topic must be 1 to 255 bytes of UTF-8 without '+' and '#'");
  }
  SPILLWAY_CHECKED(reader.read("schema", map.schema));
  SPILLWAY_CHECKED(read_queue(reader, map));
  SPILLWAY_CHECKED(read_lane(reader, map));
  SPILLWAY_CHECKED(check_unique(reader, iceoryx, map));
  iceoryx.maps.push_back(std::move(map));
  return {};
}

}  // namespace

Result<void> read_iceoryx(const toml::table& table, Config& config) {
  IceoryxConfig iceoryx;
  const TableReader reader(table, "[iceoryx]", config.path);
  SPILLWAY_CHECKED(reader.check_keys({kIceoryxKeys, {}}));
  SPILLWAY_TRY(maps, reader.tables("map"));
  for (const toml::table* map : maps) SPILLWAY_CHECKED(read_map(*map, config.path, iceoryx));
  if (iceoryx.maps.empty()) {
    return reader.complain("map", "it has no [[iceoryx.map]]: nothing would be bridged");
  }
  config.iceoryx = std::move(iceoryx);
  return {};
}

}  // namespace spillway::core
