#include "core/spill/lane_table.h"

#include <algorithm>
#include <cstring>

namespace spillway::core {

LanePosition* LaneTable::find(std::uint64_t lane_id) {
  const auto found = index_.find(lane_id);
  return found == index_.end() ? nullptr : &lanes_[found->second];
}

LanePosition& LaneTable::declare(const format::LaneIdentity& identity) {
  if (LanePosition* known = find(identity.lane_id())) {
    known->identity = identity;
    return *known;
  }
  index_[identity.lane_id()] = lanes_.size();
  lanes_.push_back({identity, 0, 0, false});
  return lanes_.back();
}

void LaneTable::forget(std::uint64_t lane_id) {
  const auto found = index_.find(lane_id);
  if (found == index_.end()) return;
  const std::size_t at = found->second;
  index_.erase(found);
  if (at + 1 < lanes_.size()) {
    lanes_[at] = lanes_.back();
    index_[lanes_[at].identity.lane_id()] = at;
  }
  lanes_.pop_back();
}

void LaneTable::learn(const ScannedBlock& block) {
  if (block.kind() == format::BlockKind::lane) {
    format::LaneDeclaration declaration;
    std::memcpy(&declaration, block.stored.data(), sizeof(declaration));
    LanePosition& lane = declare(declaration.identity());
    lane.lane_end = std::max(lane.lane_end, block.header.lane_end());
    lane.rejected = std::max(lane.rejected, declaration.rejected());
    lane.closed = lane.closed || declaration.closed() != 0;
  } else if (block.kind() == format::BlockKind::data) {
    if (LanePosition* lane = find(block.header.lane_id())) {
      lane->lane_end = std::max(lane->lane_end, block.header.lane_end());
    }
  }
}

}  // namespace spillway::core
