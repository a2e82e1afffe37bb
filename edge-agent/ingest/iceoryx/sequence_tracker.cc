#include "edge-agent/ingest/iceoryx/sequence_tracker.h"

#include <algorithm>

namespace spillway::agent::iceoryx {

Arrival SequenceTracker::on_sample(std::uint64_t publisher, std::uint64_t number) {
  Arrival arrival;
  auto found = std::find_if(known_.begin(), known_.end(),
                            [publisher](const Publisher& one) { return one.id == publisher; });
  if (found == known_.end()) {
    // A free one was never used, so it is the oldest, too.
    found = std::min_element(known_.begin(), known_.end(), [](const auto& a, const auto& b) {
      return a.last_used < b.last_used;
    });
    *found = {publisher, number, 0};
    arrival.unseen = number;
  }
  found->last_used = ++uses_;
  arrival.seen_before = number < found->next;
  if (arrival.seen_before) return arrival;
  arrival.lost = number - found->next;
  found->next = number + 1;
  return arrival;
}

std::size_t SequenceTracker::publishers() const {
  return static_cast<std::size_t>(std::count_if(known_.begin(), known_.end(),
                                                [](const Publisher& one) { return one.id != 0; }));
}

}  // namespace spillway::agent::iceoryx
