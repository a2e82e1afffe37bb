#include "uplink/policy/stream_scheduler.h"

#include <algorithm>
#include <limits>

namespace spillway::uplink {

namespace {

/// Weights are at most this: a byte counts at least 1.
constexpr std::uint64_t kWeightScale = 1000;
constexpr std::uint64_t kFirstLiveBytes = 16U << 10;
/// More than so many messages are not owed to anybody, and a single one is at most this large here.
constexpr std::uint64_t kOwedMessagesMax = 4;
constexpr std::uint64_t kMessageBytesMax = 64U << 20;

}  // namespace

StreamScheduler::StreamScheduler(std::vector<StreamShare> shares) : live_bytes_(kFirstLiveBytes) {
  turns_.reserve(shares.size());
  for (const StreamShare& share : shares) {
    Turn turn;
    turn.share = {share.priority, std::clamp<std::uint64_t>(share.weight, 1, kWeightScale)};
    turn.live_credit = live_bytes_;
    weights_ += turn.share.weight;
    turns_.push_back(turn);
  }
}

void StreamScheduler::begin() {
  for (Turn& turn : turns_) turn.asked = false;
  in_order_ = false;
}

bool StreamScheduler::is_owed(const Turn& turn) const {
  return turn.owed >= live_bytes_ * weights_ * kGuaranteedPart;
}

bool StreamScheduler::goes_before(const Turn& one, const Turn& other) const {
  const bool one_owed = is_owed(one);
  const bool other_owed = is_owed(other);
  if (one_owed != other_owed) return one_owed;
  if (one_owed) return one.owed > other.owed;
  const bool one_live = one.live_credit != 0;
  const bool other_live = other.live_credit != 0;
  if (one_live != other_live) return one_live;
  if (one.share.priority != other.share.priority) return one.share.priority > other.share.priority;
  return one.served < other.served;
}

/// Of equals the first goes first.
bool StreamScheduler::goes_behind(std::size_t one, std::size_t other) const {
  if (goes_before(turns_[other], turns_[one])) return true;
  return other < one && !goes_before(turns_[one], turns_[other]);
}

void StreamScheduler::put_in_order() {
  order_.clear();
  for (std::size_t i = 0; i < turns_.size(); ++i) {
    if (!turns_[i].asked) order_.push_back(i);
  }
  std::make_heap(order_.begin(), order_.end(),
                 [this](std::size_t one, std::size_t other) { return goes_behind(one, other); });
  in_order_ = true;
}

std::optional<std::size_t> StreamScheduler::next(Admission admission) {
  if (!in_order_) put_in_order();
  if (order_.empty()) return {};
  // If this one may not, none behind it may.
  const Turn& first = turns_[order_.front()];
  const bool may = admission == Admission::kAll || first.live_credit != 0 || is_owed(first);
  return may ? std::optional(order_.front()) : std::nullopt;
}

/// Its idle time gives it no claim to more than the others.
void StreamScheduler::catch_up(Turn& turn) const {
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (const Turn& other : turns_) {
    if (&other == &turn || !other.waiting || other.share.priority != turn.share.priority) continue;
    least = std::min(least, other.served);
  }
  if (least != std::numeric_limits<std::uint64_t>::max()) {
    turn.served = std::max(turn.served, least);
  }
}

void StreamScheduler::sent(std::size_t stream, std::uint64_t bytes) {
  bytes = std::min(bytes, kMessageBytesMax);
  Turn& turn = turns_[stream];
  in_order_ = false;
  if (!turn.waiting) catch_up(turn);
  turn.waiting = true;
  turn.served += std::max<std::uint64_t>(bytes * kWeightScale / turn.share.weight, 1);
  turn.live_credit -= std::min(turn.live_credit, bytes);
  const std::uint64_t owed_max = kOwedMessagesMax * live_bytes_ * weights_ * kGuaranteedPart;
  for (Turn& other : turns_) {
    if (&other != &turn) {
      other.owed = std::min(owed_max, other.owed + bytes * other.share.weight);
    }
  }
  turn.owed -= std::min(turn.owed, bytes * weights_ * kGuaranteedPart);
}

void StreamScheduler::found_empty(std::size_t stream) {
  if (in_order_ && !order_.empty() && order_.front() == stream) {
    std::pop_heap(order_.begin(), order_.end(),
                  [this](std::size_t one, std::size_t other) { return goes_behind(one, other); });
    order_.pop_back();
  } else {
    in_order_ = false;
  }
  Turn& turn = turns_[stream];
  turn.asked = true;
  turn.waiting = false;
  turn.live_credit = live_bytes_;
  turn.owed = 0;
}

}  // namespace spillway::uplink
