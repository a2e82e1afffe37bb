// LaneClock: when a record was produced, from its raw ticks; for `tail` and the consumer.
//
// A data block's anchor ties the lane's ticks to CLOCK_BOOTTIME, a clock block ties the BOOTTIME of
// one boot to UTC. One thread; no I/O.
//
// Invariants:
//  1. Within a lane, BOOTTIME and times of one certainty never run backwards. A certain time is not bound by an
//     uncertain one before it: a clock that woke in 2099 must not hold a lane there.
//  2. What the ticks say is trusted only up to the block's anchor: no record was produced after it
//     was drained.
//  3. Without any reading of the lane's boot the time is 0 and uncertain.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>

#include "spillway/core/format.h"

namespace spillway::core {

struct ProducedAt {
  std::uint64_t utc_ns = 0;
  bool certain = false;
  std::uint64_t boottime_ns = 0;  // of the lane's boot: what a later reading turns into UTC
};

class LaneClock {
 public:
  /// Takes what a valid block declares: a lane's tick rate and boot, or a clock reading. Other
  /// kinds are ignored.
  void learn(const format::BlockHeader& header, std::span<const std::byte> stored);
  void learn_reading(const format::ClockReading& reading);
  void learn_lane(const format::LaneIdentity& identity);
  void forget_lane(std::uint64_t lane_id) { lanes_.erase(lane_id); }

  /// For the record with these ticks in this data block; call in the records' order.
  [[nodiscard]] ProducedAt produced_at(const format::BlockHeader& data_block, std::uint64_t ticks);

 private:
  struct Lane {
    std::uint64_t tick_rate_hz = 1;
    Uuid boot_id;
    ProducedAt last;
  };
  struct Reading {
    std::uint64_t boottime_ns = 0;
    std::uint64_t utc_ns = 0;
    bool certain = false;
  };
  std::unordered_map<std::uint64_t, Lane> lanes_;
  std::map<Uuid, Reading> boots_;
};

/// The BOOTTIME at which the counter of `rate_hz` stood at `ticks`, if it stood at `anchor_ticks`
/// at `anchor_ns`; never after the anchor, never below 0.
[[nodiscard]] std::uint64_t boottime_of_ticks(std::uint64_t ticks, std::uint64_t anchor_ticks,
                                              std::uint64_t anchor_ns, std::uint64_t rate_hz);

}  // namespace spillway::core
