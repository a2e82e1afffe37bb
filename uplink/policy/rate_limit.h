// RateLimit: no more than so many bytes a second, exactly.
//
// It keeps the time from which the link is free again (the generic cell rate algorithm of ATM
// Forum TM 4.0): every byte spent moves it on by a byte's time. Nothing is saved up beyond kBurstNs.
//
// Pure: the time is told. One thread.
//
// Invariant: in any stretch of time T no more than rate x (T + kBurstNs) bytes are spent, and one
// message.
#pragma once

#include <algorithm>
#include <cstdint>

namespace spillway::uplink {

class RateLimit {
 public:
  static constexpr std::uint64_t kBurstNs = 100'000'000;

  /// 0: no limit.
  explicit RateLimit(std::uint64_t bytes_per_s) : bytes_per_s_(bytes_per_s) {}

  void spend(std::uint64_t bytes, std::uint64_t now_ns) {
    if (bytes_per_s_ == 0) return;
    constexpr std::uint64_t kSecondNs = 1'000'000'000;
    const std::uint64_t saved_ns = now_ns - std::min(now_ns, kBurstNs);
    const std::uint64_t whole_ns = bytes / bytes_per_s_ * kSecondNs;
    const std::uint64_t part_ns =
        (bytes % bytes_per_s_ * kSecondNs + bytes_per_s_ - 1) / bytes_per_s_;
    free_at_ns_ = std::max(free_at_ns_, saved_ns) + whole_ns + part_ns;
  }
  /// 0: now.
  [[nodiscard]] std::uint64_t wait_ns(std::uint64_t now_ns) const {
    return free_at_ns_ > now_ns ? free_at_ns_ - now_ns : 0;
  }
  [[nodiscard]] std::uint64_t bytes_per_s() const { return bytes_per_s_; }

 private:
  std::uint64_t bytes_per_s_;
  std::uint64_t free_at_ns_ = 0;
};

}  // namespace spillway::uplink
