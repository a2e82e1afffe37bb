// SequenceTracker: what iceoryx has dropped, told exactly by the numbers that each publisher gives
// its samples.
//
// One thread. Plain data of a fixed size, without pointers: it stands in memory that outlives the
// process that reads the samples, so what was seen before that one's death is still known after it.
//
// Invariants:
//  1. Each number of a known publisher is counted once: as taken, or as lost when a later one comes.
//  2. At most kPublishersMax are known; the one that was silent longest gives way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace spillway::agent::iceoryx {

struct Arrival {
  std::uint64_t lost = 0;    // samples of this publisher between the last one and this one
  std::uint64_t unseen = 0;  // that it had sent before its first one that came here
  bool seen_before = false;  // history told again, after it was subscribed to once more
};

class SequenceTracker {
 public:
  static constexpr std::size_t kPublishersMax = 32;

  /// `publisher` is not 0; `number` counts its samples from 0.
  [[nodiscard]] Arrival on_sample(std::uint64_t publisher, std::uint64_t number);
  [[nodiscard]] std::size_t publishers() const;

 private:
  struct Publisher {
    std::uint64_t id = 0;  // 0: free
    std::uint64_t next = 0;
    std::uint64_t last_used = 0;
  };

  std::array<Publisher, kPublishersMax> known_{};
  std::uint64_t uses_ = 0;
};

}  // namespace spillway::agent::iceoryx
