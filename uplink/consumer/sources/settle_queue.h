// SettleQueue: up to where an engine's messages are done. Messages go to the inbox in groups, a group
// makes several batches, and those of different gateways are committed in any order.
//
// Pure. One thread.
//
// Invariants:
//  1. settled() never names a tag with a batch before it that is not committed.
//  2. What is on its way is bounded by the caller, who looks at groups().
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "spillway/core/assert.h"

namespace spillway::consumer {

class SettleQueue {
 public:
  /// All messages up to `tag` that were not in an earlier group; returns the group's number. One without a
  /// batch is done at once.
  std::uint64_t begin(std::uint64_t tag, std::size_t batches) {
    groups_.push_back({tag, batches});
    return first_ + groups_.size() - 1;
  }
  /// A batch of the group is committed.
  void committed(std::uint64_t group) {
    SPILLWAY_ASSERT(group >= first_ && group - first_ < groups_.size());
    --groups_[static_cast<std::size_t>(group - first_)].open;
  }
  /// The tag up to which all is done; nothing if that is no further than before.
  [[nodiscard]] std::optional<std::uint64_t> settled() {
    std::optional<std::uint64_t> tag;
    while (!groups_.empty() && groups_.front().open == 0) {
      tag = groups_.front().tag;
      groups_.pop_front();
      ++first_;
    }
    return tag;
  }
  [[nodiscard]] std::size_t groups() const { return groups_.size(); }

 private:
  struct Group {
    std::uint64_t tag = 0;
    std::size_t open = 0;  // batches that are not committed
  };

  std::deque<Group> groups_;
  std::uint64_t first_ = 0;  // the number of the front
};

}  // namespace spillway::consumer
