#include "edge-agent/ingest/api/lane_book.h"

namespace spillway::agent::api {

void LaneBook::submit(Job job) {
  auto found = lanes_.find(job.topic);
  if (found == lanes_.end()) {
    if (!make_room()) {
      return job.done(
          {Status::kFull, Level::kAccepted, "all lanes are in use (lanes_max), and none is idle"});
    }
    auto worker = std::make_unique<LaneWorker>(settings_, job.topic, post_);
    found = lanes_.emplace(job.topic, Lane{std::move(worker), 0}).first;
  }
  found->second.last_used = ++uses_;
  found->second.worker->submit(std::move(job));
}

bool LaneBook::make_room() {
  if (lanes_.size() < lanes_max_) return true;
  auto oldest = lanes_.end();
  for (auto it = lanes_.begin(); it != lanes_.end(); ++it) {
    if (it->second.worker->busy()) continue;
    if (oldest == lanes_.end() || it->second.last_used < oldest->second.last_used) oldest = it;
  }
  if (oldest == lanes_.end()) return false;
  lanes_.erase(oldest);
  return true;
}

}  // namespace spillway::agent::api
