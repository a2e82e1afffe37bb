// LaneBook: a lane for each topic that records come for, opened on demand.
//
// One thread. At most `lanes_max`; the one that was idle longest gives way, and while none is idle
// there is no room for a new topic.
#pragma once

#include <map>

#include "edge-agent/ingest/api/lane_worker.h"

namespace spillway::agent::api {

class LaneBook final : public Lanes {
 public:
  LaneBook(LaneSettings settings, std::size_t lanes_max, Post post)
      : settings_(std::move(settings)), lanes_max_(lanes_max), post_(std::move(post)) {}

  void submit(Job job) override;
  [[nodiscard]] std::size_t record_bytes_max() const override { return settings_.max_record_bytes; }
  [[nodiscard]] std::size_t open_lanes() const override { return lanes_.size(); }
  /// Ends every lane; what waits for its level is answered by kClosed through `post`.
  void close() { lanes_.clear(); }

 private:
  struct Lane {
    std::unique_ptr<LaneWorker> worker;
    std::uint64_t last_used = 0;
  };
  [[nodiscard]] bool make_room();

  LaneSettings settings_;
  std::size_t lanes_max_;
  Post post_;
  std::map<std::string, Lane> lanes_;
  std::uint64_t uses_ = 0;
};

}  // namespace spillway::agent::api
