// LaneReader: the agent's side of one lane. Everything in a lane but the agent's own line is
// hostile input.
//
// One thread (the drain). How records are found is RingReader's, with its invariants. Here stands
// one more: a lane file that was truncated under the mapping is contained: the fault ends in
// `damaged`, not in a dead agent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "spillway/core/format.h"
#include "spillway/core/result.h"
#include "spillway/shm/ring_reader.h"

namespace spillway::shm {

class LaneReader {
 public:
  /// Maps and checks a lane file. kNotFound, kPermission, kCorrupt (garbage), kNewerVersion, kIo.
  [[nodiscard]] static core::Result<std::unique_ptr<LaneReader>> attach(const std::string& path);
  virtual ~LaneReader() = default;

  [[nodiscard]] virtual const std::string& path() const = 0;
  [[nodiscard]] virtual const format::LaneIdentity& identity() const = 0;  // own copy
  [[nodiscard]] virtual std::uint64_t capacity() const = 0;

  /// Goes on at max(what the lane says was consumed, `spilled_end`), publishes that, and wakes a
  /// waiting producer. kCorrupt if the lane's word is impossible.
  [[nodiscard]] virtual core::Result<void> resume(std::uint64_t spilled_end) = 0;
  /// The committed frames from the current position on: at most bytes_max, but at least one if
  /// there is one.
  [[nodiscard]] virtual Walk walk(std::uint64_t bytes_max) = 0;
  /// Records the spill has taken: moves `consumed` (release) and wakes the producer if it waits.
  virtual void consume(std::uint64_t lane_end) = 0;
  /// Passes over one record that the stream can never take, for good: counts it as rejected, once,
  /// whatever step the agent dies at, then moves `consumed`.
  virtual void refuse(std::uint64_t lane_end) = 0;
  /// Bytes the disk has: moves `durable` and wakes the producer if it waits.
  virtual void set_durable(std::uint64_t lane_end) = 0;

  [[nodiscard]] virtual std::uint64_t position() const = 0;
  [[nodiscard]] virtual std::uint64_t rejected() const = 0;  // by the producer, and by refuse()
  /// The position that a producer's flush waits to see power-safe; 0 = none.
  [[nodiscard]] virtual std::uint64_t flush_wanted() const = 0;
  /// The producer waits for an answer of any kind: room, or a flush.
  [[nodiscard]] virtual bool producer_waits() const = 0;
  [[nodiscard]] virtual bool fencing() const = 0;
  /// The producer has closed the lane, or died (its OFD lock is free; this call takes it then and
  /// keeps it, so that the answer is final).
  [[nodiscard]] virtual bool producer_gone() = 0;

  virtual void set_stream_full(bool full) = 0;
  virtual void set_quarantined() = 0;
};

/// The counter a lane's ticks come from, read by the agent, for block anchors. 0 for
/// ClockKind::none.
[[nodiscard]] std::uint64_t read_ticks(format::ClockKind kind);

}  // namespace spillway::shm
