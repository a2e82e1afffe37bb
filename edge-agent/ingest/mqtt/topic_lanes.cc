#include "edge-agent/ingest/mqtt/topic_lanes.h"

#include <algorithm>
#include <chrono>

#include "edge-agent/ingest/lane_parts.h"

namespace spillway::agent::mqtt {

using core::Result;
using LaneStatus = spillway::Status;

namespace {

/// So long is waited at a time, before the caller is asked.
constexpr std::chrono::milliseconds kTurn{100};

Producer::TimePoint turn_end() { return std::chrono::steady_clock::now() + kTurn; }

Level level_of(const Route& route) {
  switch (route.map->level) {
    case core::MqttLevel::kAccepted:
      return Level::kAccepted;
    case core::MqttLevel::kProcessSafe:
      return Level::kProcessSafe;
    case core::MqttLevel::kPowerSafe:
      break;
  }
  return Level::kPowerSafe;
}

}  // namespace

Result<TopicLanes::Lane*> TopicLanes::lane_of(const Route& route, const std::string& topic) {
  const Name name{route.index, topic};
  auto found = lanes_.find(name);
  if (found == lanes_.end()) {
    SPILLWAY_CHECKED(make_room());
    SPILLWAY_TRY(lane, open(route, topic));
    found = lanes_.emplace(name, std::move(lane)).first;
  }
  found->second->last_used = ++uses_;
  return found->second.get();
}

Result<std::unique_ptr<TopicLanes::Lane>> TopicLanes::open(const Route& route,
                                                           const std::string& topic) {
  auto lane = std::make_unique<Lane>();
  lane->route = &route;
  lane->topic = topic;
  ProducerOptions options;
  options.producer_name = route.producer_name.c_str();
  options.lane_bytes = route.map->lane_bytes;
  options.max_record_bytes = static_cast<std::uint32_t>(route.map->max_record_bytes);
  if (route.schema) options.schema = route.schema->bfbs();
  const LaneStatus status = lane->producer.open(queue_dir_.c_str(), topic.c_str(), options);
  if (status != LaneStatus::kOk) return lane_error(status, topic);
  return lane;
}

Result<void> TopicLanes::make_room() {
  if (lanes_.size() < lanes_max_) return {};
  const auto oldest = std::min_element(
      lanes_.begin(), lanes_.end(),
      [](const auto& a, const auto& b) { return a.second->last_used < b.second->last_used; });
  // Else the lanes that nobody drains while the agent is away would be without number.
  const Level level = std::max(level_of(*oldest->second->route), Level::kProcessSafe);
  SPILLWAY_CHECKED(flush(*oldest->second, level));
  lanes_.erase(oldest);
  return {};
}

Result<void> TopicLanes::put(Lane& lane, std::span<const std::byte> record, bool wants_level) {
  while (!has_room(lane.producer, record.size())) {
    const LaneStatus status = lane.producer.flush_until(turn_end(), Level::kProcessSafe);
    if (status == LaneStatus::kSetAside || status == LaneStatus::kClosed) return lost(lane, status);
    if (status == LaneStatus::kTimeout) SPILLWAY_CHECKED(hooks_.go_on());
  }
  const LaneStatus status = lane.producer.put(record);
  if (status != LaneStatus::kOk) return lost(lane, status);
  if (wants_level && level_of(*lane.route) != Level::kAccepted) lane.unsafe = true;
  return {};
}

Result<void> TopicLanes::flush() {
  for (auto at = lanes_.begin(); at != lanes_.end();) {
    Lane& lane = *(at++)->second;  // may be lost
    if (lane.unsafe) SPILLWAY_CHECKED(flush(lane, level_of(*lane.route)));
  }
  return {};
}

Result<void> TopicLanes::flush(Lane& lane, Level level) {
  while (true) {
    const LaneStatus status = lane.producer.flush_until(turn_end(), level);
    if (const std::uint64_t refused = lane.producer.refused(); refused > lane.refused) {
      hooks_.on_refused(*lane.route, lane.topic, refused - lane.refused);
      lane.refused = refused;
    }
    // The level is reached, but for records that were passed over.
    if (status == LaneStatus::kOk || status == LaneStatus::kTooLarge) break;
    if (status != LaneStatus::kTimeout) return lost(lane, status);
    SPILLWAY_CHECKED(hooks_.go_on());
  }
  lane.unsafe = false;
  return {};
}

tl::unexpected<core::Error> TopicLanes::lost(const Lane& lane, LaneStatus status) {
  auto error = lane_error(status, lane.topic);
  lanes_.erase({lane.route->index, lane.topic});
  hooks_.on_lost();
  return error;
}

}  // namespace spillway::agent::mqtt
