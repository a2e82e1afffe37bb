// Backoff: how long to wait before the next try to connect. Capped, doubling, fully jittered, so
// that a fleet whose far end comes back does not come back all at once. Being offline uses nothing
// up: there is no last try.
//
// Pure: chance comes from the caller. One thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace spillway::uplink {

class Backoff {
 public:
  /// No wait is shorter: a far end that refuses at once must not be asked in a tight loop.
  static constexpr std::uint64_t kWaitNsMin = 5'000'000;

  Backoff(std::uint64_t first_ns, std::uint64_t cap_ns)
      : first_ns_(std::max(first_ns, kWaitNsMin)),
        cap_ns_(std::max(cap_ns, first_ns_)),
        ceiling_ns_(first_ns_) {}

  /// A wait in [kWaitNsMin, ceiling]; the ceiling doubles up to the cap.
  [[nodiscard]] std::uint64_t next_ns(std::uint64_t random) {
    const std::uint64_t wait_ns = kWaitNsMin + random % (ceiling_ns_ - kWaitNsMin + 1);
    ceiling_ns_ = std::min(cap_ns_, ceiling_ns_ > cap_ns_ / 2 ? cap_ns_ : ceiling_ns_ * 2);
    return wait_ns;
  }
  /// For an end that only a person can mend: in the upper half of the cap.
  [[nodiscard]] std::uint64_t long_ns(std::uint64_t random) const {
    return cap_ns_ / 2 + random % (cap_ns_ - cap_ns_ / 2 + 1);
  }
  /// The link worked: the next wait may be short again.
  void reset() { ceiling_ns_ = first_ns_; }

 private:
  std::uint64_t first_ns_;
  std::uint64_t cap_ns_;
  std::uint64_t ceiling_ns_;
};

}  // namespace spillway::uplink
