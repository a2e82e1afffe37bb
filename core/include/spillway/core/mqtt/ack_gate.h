// AckGate: when an MQTT client whose library acknowledges by itself may read, and when it may write.
//
// The library queues an acknowledgement the moment it reads a message, and whoever writes its queue writes all
// of it. So the queue is written only while everything that was read is settled:
//
//             received                     settled: all               all is written
//   open -----------------> holding -----------------------> open ...
//    reads, writes           reads for kHoldNsMax, writes nothing
//
// Pure. One thread.
//
// Invariants:
//  1. may_write() only while no message that was read is unsettled: no acknowledgement leaves before its
//     message is safe, whatever else stands in the queue.
//  2. Reading ends kHoldNsMax after the first unsettled message: those that are still on their way to
//     safety arrive there, and then all is acknowledged. A trickle that never pauses holds nothing back for
//     longer, and neither does a ping that stands behind acknowledgements.
#pragma once

#include <cstdint>

#include "spillway/core/assert.h"

namespace spillway::core {

class AckGate {
 public:
  static constexpr std::uint64_t kHoldNsMax = 1'000'000'000;

  /// A message was read; returns its tag. They ascend from 1.
  std::uint64_t received(std::uint64_t now_ns) {
    if (may_write()) held_since_ns_ = now_ns;
    return ++received_;
  }
  /// All messages up to this tag are safe.
  void settled(std::uint64_t tag) {
    SPILLWAY_ASSERT(tag <= received_);
    if (tag > settled_) settled_ = tag;
  }
  [[nodiscard]] bool may_write() const { return settled_ == received_; }
  /// How long messages have been unsettled; 0: none is.
  [[nodiscard]] std::uint64_t held_ns(std::uint64_t now_ns) const {
    return may_write() ? 0 : now_ns - held_since_ns_;
  }
  [[nodiscard]] bool may_read(std::uint64_t now_ns) const {
    return may_write() || now_ns - held_since_ns_ < kHoldNsMax;
  }

 private:
  std::uint64_t received_ = 0;
  std::uint64_t settled_ = 0;
  std::uint64_t held_since_ns_ = 0;
};

}  // namespace spillway::core
