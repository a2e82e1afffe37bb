// Fencing: how long a session that was fenced is asked to stay away. Once, that is soon; where two
// machines take each other's place again and again, ever later.
//
// Pure: time is passed in. One thread.
//
// Invariants:
//  1. Each takeover of a gateway doubles the wait, from kFirstMs up to kLongestMs; kQuietNs without one
//     forgets it.
//  2. At most kGatewaysMax are remembered; beyond that the quiet ones go, and if there is none the wait
//     is the longest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

#include "spillway/core/uuid.h"

namespace spillway::consumer {

class Fencing {
 public:
  static constexpr std::uint64_t kFirstMs = 2'000;
  static constexpr std::uint64_t kLongestMs = 60'000;
  static constexpr std::uint64_t kQuietNs = 600'000'000'000;
  static constexpr std::size_t kGatewaysMax = 10'000;

  /// A newer session took over from an older one, which is to stay away for so long.
  [[nodiscard]] std::uint64_t on_takeover(const core::Uuid& gateway, std::uint64_t now_ns) {
    const auto is_quiet = [now_ns](const auto& entry) {
      return now_ns - entry.second.last_ns > kQuietNs;
    };
    if (waits_.size() >= kGatewaysMax) std::erase_if(waits_, is_quiet);
    if (waits_.size() >= kGatewaysMax && !waits_.contains(gateway)) return kLongestMs;
    Wait& wait = waits_[gateway];
    if (wait.ms != 0 && now_ns - wait.last_ns > kQuietNs) wait = {};
    wait.ms = wait.ms == 0 ? kFirstMs : std::min(kLongestMs, wait.ms * 2);
    wait.last_ns = now_ns;
    return wait.ms;
  }

 private:
  struct Wait {
    std::uint64_t ms = 0;
    std::uint64_t last_ns = 0;
  };
  std::map<core::Uuid, Wait> waits_;
};

}  // namespace spillway::consumer
