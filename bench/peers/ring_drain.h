// RingDrain: the bare spinning drain, the same for ours and for the floor ring: walk, copy the run
// out, hand `consumed` back. The agent's reader without a spill behind it.
//
// The consumer's process, one thread.
#pragma once

#include <cstring>
#include <vector>

#include "spillway/shm/ring_reader.h"

namespace spillway::bench {

inline constexpr std::uint64_t kRunBytesMax = 64U * 1024;

class RingDrain {
 public:
  RingDrain(const std::byte* data, std::size_t capacity, shm::RingReader::Position& consumed)
      : ring_(data, capacity, kRunBytesMax, consumed), copy_(capacity) {}

  template <typename Visit>
  void drain(Visit&& visit) {
    const shm::Walk walk = ring_.walk(kRunBytesMax);
    if (walk.frames.empty()) return;
    std::memcpy(copy_.data(), walk.frames.data(), walk.frames.size());
    ring_.consume(walk.lane_end);
    for (std::size_t at = 0; at < walk.frames.size();) {
      std::uint32_t word = 0;
      std::memcpy(&word, copy_.data() + at, sizeof word);
      visit(std::span<const std::byte>(copy_.data() + at + core::kFrameHeaderBytes, word - 1));
      at += core::frame_bytes(word - 1);
    }
  }

 private:
  shm::RingReader ring_;
  std::vector<std::byte> copy_;
};

}  // namespace spillway::bench
