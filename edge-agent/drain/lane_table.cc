#include "edge-agent/drain/lane_table.h"

#include <algorithm>
#include <tuple>

#include "spillway/core/assert.h"

namespace spillway::agent {

void LaneTable::add(std::unique_ptr<Lane> lane) {
  SPILLWAY_ASSERT(find(lane->id()) == nullptr);
  const std::string topic = lane->topic;
  const std::string producer = lane->producer;
  const std::uint32_t uid = lane->uid;
  lanes_.push_back(std::move(lane));
  order_siblings(uid, topic, producer);
}

void LaneTable::erase(const Lane& lane) {
  const auto found = std::find_if(lanes_.begin(), lanes_.end(),
                                  [&lane](const auto& other) { return other.get() == &lane; });
  SPILLWAY_ASSERT(found != lanes_.end());
  const std::string topic = lane.topic;
  const std::string producer = lane.producer;
  const std::uint32_t uid = lane.uid;
  lanes_.erase(found);
  order_siblings(uid, topic, producer);
}

Lane* LaneTable::find(std::uint64_t lane_id) {
  for (auto& lane : lanes_) {
    if (lane->id() == lane_id) return lane.get();
  }
  return nullptr;
}

bool LaneTable::has_path(const std::string& path) const {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [&path](const auto& lane) { return lane->path == path; });
}

LaneTable::UserTotal LaneTable::total_of(std::uint32_t uid) const {
  UserTotal total;
  for (const auto& lane : lanes_) {
    if (lane->uid != uid) continue;
    ++total.lanes;
    total.bytes += lane->file_bytes;
  }
  return total;
}

bool LaneTable::older(const Lane& a, const Lane& b) const {
  const auto key = [this](const Lane& lane) {
    const auto& identity = lane.reader->identity();
    const bool this_boot = core::uuid_of(*identity.boot_id()) == boot_id_;
    return std::tuple(this_boot, identity.created_boottime_ns(), identity.lane_id());
  };
  return key(a) < key(b);
}

/// Of one user only: a name is only what a lane says of itself, and another user may say anything.
void LaneTable::order_siblings(std::uint32_t uid, const std::string& topic,
                               const std::string& producer) {
  Lane* oldest = nullptr;
  std::size_t count = 0;
  for (auto& lane : lanes_) {
    if (lane->uid != uid || lane->topic != topic || lane->producer != producer) continue;
    ++count;
    lane->waiting = true;
    lane->has_successor = false;
    if (oldest == nullptr || older(*lane, *oldest)) oldest = lane.get();
  }
  if (oldest == nullptr) return;
  oldest->waiting = false;
  oldest->has_successor = count > 1;
}

}  // namespace spillway::agent
