// Admission: when a newcomer may come in, and when to come back if not now: after an outage a whole
// fleet says Hello at once, and while the inbox takes nothing nobody needs to send.
//
// Pure: time is passed in. One thread.
//
// Invariants:
//  1. At most kLookupsMax newcomers are looked up at once.
//  2. The others are given times of their own, kStepNs / kLookupsMax apart, so that they come back as
//     fast as they can be served and not all at once.
//  3. While the inbox rests nobody is let in; a rest ends by itself, and the next one is longer, up to
//     kRestNsMax.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace spillway::consumer {

class Admission {
 public:
  static constexpr std::size_t kLookupsMax = 64;
  static constexpr std::uint64_t kStepNs = 250'000'000;
  static constexpr std::uint64_t kRetryNsMax = 30'000'000'000;
  static constexpr std::uint64_t kRestNsMin = 1'000'000'000;
  static constexpr std::uint64_t kRestNsMax = 10'000'000'000;

  struct Answer {
    bool let_in = false;
    bool resting = false;              // why not: the inbox takes nothing now
    std::uint64_t retry_after_ms = 0;  // if not
  };

  /// A Hello came. Who is let in is being looked up until on_looked_up().
  [[nodiscard]] Answer ask(std::uint64_t now_ns) {
    if (is_resting(now_ns)) return {false, true, later(now_ns, rest_until_ns_ - now_ns)};
    if (lookups_ >= kLookupsMax) return {false, false, later(now_ns, kStepNs)};
    ++lookups_;
    return {true, false, 0};
  }
  void on_looked_up() { --lookups_; }

  /// The inbox could not take a batch.
  void on_inbox_failed(std::uint64_t now_ns) {
    if (is_resting(now_ns)) return;
    rest_until_ns_ = now_ns + rest_ns_;
    rest_ns_ = std::min(rest_ns_ * 2, kRestNsMax);
  }
  void on_inbox_worked() { rest_ns_ = kRestNsMin; }
  [[nodiscard]] bool is_resting(std::uint64_t now_ns) const { return now_ns < rest_until_ns_; }
  /// For a session that ends because the inbox failed.
  [[nodiscard]] std::uint64_t retry_after_ms(std::uint64_t now_ns) {
    return later(now_ns, is_resting(now_ns) ? rest_until_ns_ - now_ns : kRestNsMin);
  }

 private:
  /// The next free time, at least `wait_ns` from now.
  std::uint64_t later(std::uint64_t now_ns, std::uint64_t wait_ns) {
    next_slot_ns_ = std::max(next_slot_ns_, now_ns + wait_ns) + kStepNs / kLookupsMax;
    const std::uint64_t limit_ns = now_ns + std::max(wait_ns, kRetryNsMax);
    next_slot_ns_ = std::min(next_slot_ns_, limit_ns);
    return (next_slot_ns_ - now_ns) / 1'000'000;
  }

  std::size_t lookups_ = 0;
  std::uint64_t next_slot_ns_ = 0;
  std::uint64_t rest_until_ns_ = 0;
  std::uint64_t rest_ns_ = kRestNsMin;
};

}  // namespace spillway::consumer
