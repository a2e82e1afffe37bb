#include "system/network/link_model.h"

#include <algorithm>
#include <cmath>

namespace spillway::network_test {

namespace {

constexpr double kNsPerSecond = 1e9;
/// A double comes right behind its original.
constexpr std::uint64_t kDoubleNs = 1'000'000;

}  // namespace

bool Path::happens(double probability) {
  return probability > 0 && std::uniform_real_distribution<double>(0, 1)(chance_) < probability;
}

void Path::set(const PathSettings& settings, std::uint64_t now_ns) {
  advance(now_ns);
  settings_ = settings;
}

void Path::offer(Packet packet, std::uint64_t now_ns) {
  advance(now_ns);
  ++counts_.offered;
  counts_.offered_bytes += packet.size();
  if (settings_.hole) {
    ++counts_.swallowed;
  } else if (settings_.mtu_bytes != 0 && packet.size() > settings_.mtu_bytes) {
    ++counts_.too_big;
  } else if (happens(settings_.loss)) {
    ++counts_.lost;
  } else if (queued_bytes_ + packet.size() > settings_.queue_bytes) {
    ++counts_.queue_full;
  } else {
    queued_bytes_ += packet.size();
    queue_.push_back(std::move(packet));
    advance(now_ns);
  }
}

std::uint64_t Path::head_left_ns() const {
  if (settings_.rate_bytes_per_s == 0) return 0;
  const double left = static_cast<double>(queue_.front().size()) - head_sent_bytes_;
  const double rate = static_cast<double>(settings_.rate_bytes_per_s);
  return static_cast<std::uint64_t>(std::ceil(std::max(0.0, left) / rate * kNsPerSecond));
}

/// Serves the queue up to `now_ns`, at the settings as they are.
void Path::advance(std::uint64_t now_ns) {
  while (!queue_.empty()) {
    const std::uint64_t left_ns = head_left_ns();
    if (clock_ns_ + left_ns > now_ns) {
      head_sent_bytes_ += static_cast<double>(now_ns - clock_ns_) *
                          static_cast<double>(settings_.rate_bytes_per_s) / kNsPerSecond;
      break;
    }
    clock_ns_ += left_ns;
    head_sent_bytes_ = 0;
    Packet packet = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= packet.size();
    ++counts_.carried;
    counts_.carried_bytes += packet.size();
    launch(std::move(packet), clock_ns_);
  }
  clock_ns_ = now_ns;
}

void Path::launch(Packet packet, std::uint64_t at_ns) {
  std::uint64_t delay_ns = settings_.delay_ns;
  if (settings_.jitter_ns != 0) {
    const std::uint64_t less_ns = std::min(settings_.jitter_ns, delay_ns);
    delay_ns = delay_ns - less_ns + chance_() % (less_ns + settings_.jitter_ns + 1);
  }
  if (happens(settings_.reorder)) {
    ++counts_.reordered;
    return put_on_its_way(std::move(packet), at_ns + delay_ns + settings_.hold_ns);
  }
  newest_due_ns_ = std::max(newest_due_ns_, at_ns + delay_ns);
  if (happens(settings_.duplicate)) {
    ++counts_.duplicated;
    put_on_its_way(packet, newest_due_ns_ + kDoubleNs);
  }
  put_on_its_way(std::move(packet), newest_due_ns_);
}

void Path::put_on_its_way(Packet packet, std::uint64_t due_ns) {
  if (on_their_way_bytes_ + packet.size() > kOnTheirWayBytesMax) {
    ++counts_.queue_full;
    return;
  }
  on_their_way_bytes_ += packet.size();
  on_their_way_.emplace(due_ns, std::move(packet));
}

std::optional<std::uint64_t> Path::due_ns() const {
  std::optional<std::uint64_t> due;
  if (!on_their_way_.empty()) due = on_their_way_.begin()->first;
  if (!queue_.empty()) due = std::min(due.value_or(UINT64_MAX), clock_ns_ + head_left_ns());
  return due;
}

std::optional<Packet> Path::take(std::uint64_t now_ns) {
  advance(now_ns);
  while (!on_their_way_.empty() && on_their_way_.begin()->first <= now_ns) {
    const auto first = on_their_way_.begin();
    Packet packet = std::move(first->second);
    on_their_way_.erase(first);
    on_their_way_bytes_ -= packet.size();
    if (!settings_.hole) return packet;
    ++counts_.swallowed;
  }
  return {};
}

}  // namespace spillway::network_test
