#include "uplink/consumer/sources/handshake_queue.h"

#include <algorithm>
#include <tuple>

namespace spillway::consumer {

std::optional<std::uint64_t> HandshakeQueue::add(std::uint64_t id, const std::string& address) {
  std::optional<std::uint64_t> gone;
  if (addresses_.size() >= size_max_) {
    gone = victim();
    remove(*gone);
  }
  addresses_.emplace(id, address);
  queues_[address].push_back(id);
  return gone;
}

void HandshakeQueue::remove(std::uint64_t id) {
  const auto found = addresses_.find(id);
  if (found == addresses_.end()) return;
  const auto queue = queues_.find(found->second);
  queue->second.erase(std::find(queue->second.begin(), queue->second.end(), id));
  if (queue->second.empty()) queues_.erase(queue);
  addresses_.erase(found);
}

/// The oldest of the address with the most; of equals, the oldest of all.
std::uint64_t HandshakeQueue::victim() const {
  const auto less = [](const auto& one, const auto& other) {
    const auto& [mine, theirs] = std::tie(one.second, other.second);
    return mine.size() != theirs.size() ? mine.size() < theirs.size()
                                        : mine.front() > theirs.front();
  };
  return std::max_element(queues_.begin(), queues_.end(), less)->second.front();
}

}  // namespace spillway::consumer
