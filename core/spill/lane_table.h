// LaneTable: the lanes a stream knows, with their positions. Private to core/spill; one thread.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "core/spill/segment_scan.h"
#include "spillway/core/stream.h"

namespace spillway::core {

class LaneTable {
 public:
  [[nodiscard]] const std::vector<LanePosition>& all() const { return lanes_; }
  [[nodiscard]] LanePosition* find(std::uint64_t lane_id);
  LanePosition& declare(const format::LaneIdentity& identity);
  void forget(std::uint64_t lane_id);
  /// Learns from a lane or data block. Positions only grow, so segments may be shown in any order;
  /// of a lane's declared totals the highest count.
  void learn(const ScannedBlock& block);

 private:
  std::vector<LanePosition> lanes_;
  std::unordered_map<std::uint64_t, std::size_t> index_;
};

}  // namespace spillway::core
