// RingReader: the agent's half of a lane's ring, and nothing but the algorithm. LaneReader stands
// on it; the model checker (tests/model) explores this very header.
//
// One thread. Everything in the ring is hostile input. Invariants:
//  1. `position_` is the reader's own copy of `consumed`; the shared word is only ever written,
//     never read back after resume.
//  2. Each commit word is read once (acquire), and bounds are checked before anything behind it is
//     touched; whether the run really is a run of frames is decided later, in the spill's copy.
//  3. `consumed` moves only to a record's end, and only after the spill has the bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "spillway/core/atomic.h"
#include "spillway/core/frame.h"
#include "spillway/core/step.h"

namespace spillway::shm {

enum class WalkEnd : std::uint8_t {
  kEmpty,    // nothing (more) is committed
  kBounded,  // bytes_max reached, or the ring's end: there may be more
  kDamaged,  // a rule is broken: set the lane aside
};

struct Walk {
  std::span<const std::byte>
      frames;  // contiguous, whole frames by their commit words; may be empty
  std::uint64_t lane_end =
      0;  // position behind them (behind closing padding, too, when the run ended there)
  WalkEnd end = WalkEnd::kEmpty;
  const char* rule = nullptr;  // for kDamaged: the rule that is broken
};

class RingReader {
 public:
  using Word = core::Atomic<std::uint32_t>;
  using Position = core::Atomic<std::uint64_t>;

  /// No lane gets as far in a lifetime of its machine: where a position starts below, adding a lap
  /// to it cannot wrap, and every database holds it.
  static constexpr std::uint64_t kPositionLimit = 1ULL << 62;

  /// `data`: `capacity` bytes (a power of two). `consumed`: the agent's word in the lane.
  RingReader(const std::byte* data, std::size_t capacity, std::uint32_t record_max,
             Position& consumed)
      : data_(data), capacity_(capacity), record_max_(record_max), consumed_(&consumed) {}

  /// Goes on at max(what the lane says was consumed, `spilled_end`) and publishes that. Null, or
  /// the rule that the two break.
  [[nodiscard]] const char* resume(std::uint64_t spilled_end);
  /// The committed frames from the position on: at most bytes_max, but at least one if there is
  /// one.
  [[nodiscard]] Walk walk(std::uint64_t bytes_max) const;
  /// The spill has everything before `lane_end`, which came from walk.
  void consume(std::uint64_t lane_end);
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  struct Run {
    std::size_t bytes = 0;
    std::size_t padding = 0;  // behind the run, to the ring's end
    WalkEnd end = WalkEnd::kEmpty;
    const char* rule = nullptr;
  };

  [[nodiscard]] std::uint32_t commit_word(std::size_t offset) const {
    // SYNC published: pairs with the release stores in RingWriter::commit and RingBatch::publish.
    return reinterpret_cast<const Word*>(data_ + offset)->load(std::memory_order_acquire);
  }
  [[nodiscard]] Run find_run(std::size_t offset, std::uint64_t bytes_max) const;

  const std::byte* data_;
  std::size_t capacity_;
  std::uint32_t record_max_;
  Position* consumed_;
  std::uint64_t position_ = 0;
};

inline const char* RingReader::resume(std::uint64_t spilled_end) {
  // The agent's own word: what the agent before wrote there is as old as that agent's end.
  const std::uint64_t consumed = consumed_->load(std::memory_order_relaxed);
  if (consumed % core::kFrameAlignment != 0) return "its consumed word is no frame's end";
  if (spilled_end % core::kFrameAlignment != 0) return "the spill's lane end is no frame's end";
  if (consumed >= kPositionLimit || spilled_end >= kPositionLimit) {
    return "its position is beyond what any lane reaches";
  }
  if (spilled_end > consumed && spilled_end - consumed > capacity_) {
    return "its consumed word is more than a lap behind the spill";
  }
  // A producer may have waited since the last agent died.
  consume(std::max(consumed, spilled_end));
  return nullptr;
}

inline RingReader::Run RingReader::find_run(std::size_t offset, std::uint64_t bytes_max) const {
  std::size_t at = offset;
  while (at < capacity_) {
    const std::uint32_t word = commit_word(at);
    if (word == core::kCommitNothing) return {at - offset, 0, WalkEnd::kEmpty, nullptr};
    if (word == core::kCommitPadding) {
      return {at - offset, capacity_ - at, WalkEnd::kBounded, nullptr};
    }
    const std::uint32_t record = word - 1;
    if (record == 0) return {0, 0, WalkEnd::kDamaged, "an empty record"};
    if (record > record_max_) {
      return {0, 0, WalkEnd::kDamaged, "a record larger than the lane's limit"};
    }
    const auto frame = static_cast<std::size_t>(core::frame_bytes(record));
    if (frame > capacity_ - at) {
      return {0, 0, WalkEnd::kDamaged, "a frame that runs past the ring's end"};
    }
    if (at != offset && at - offset + frame > bytes_max) break;
    at += frame;
  }
  return {at - offset, 0, WalkEnd::kBounded, nullptr};
}

inline Walk RingReader::walk(std::uint64_t bytes_max) const {
  const auto offset = static_cast<std::size_t>(position_ & (capacity_ - 1));
  std::size_t first = offset;
  std::size_t skipped = 0;
  Run run = find_run(offset, bytes_max);
  if (run.end != WalkEnd::kDamaged && run.bytes == 0 && run.padding != 0) {
    // The padding's word publishes the record behind it (rule 3): go on at the ring's begin.
    skipped = run.padding;
    first = 0;
    run = find_run(0, std::min<std::uint64_t>(bytes_max, offset));
    if (run.end != WalkEnd::kDamaged && run.bytes == 0) {
      run = {0, 0, WalkEnd::kDamaged, "padding without a record behind it"};
    }
  }
  const std::uint64_t length = skipped + run.bytes + run.padding;
  if (run.end != WalkEnd::kDamaged && length > capacity_ - core::kFrameHeaderBytes) {
    run = {0, 0, WalkEnd::kDamaged, "no free header before the consumed position"};
  }
  if (run.end == WalkEnd::kDamaged) return {{}, position_, WalkEnd::kDamaged, run.rule};
  return {{data_ + first, run.bytes}, position_ + length, run.end, nullptr};
}

inline void RingReader::consume(std::uint64_t lane_end) {
  position_ = lane_end;
  // SYNC consumed: pairs with the acquire load in RingWriter::fits.
  consumed_->store(lane_end, std::memory_order_release);
  SPILLWAY_STEP("ring.consumed");
}

}  // namespace spillway::shm
