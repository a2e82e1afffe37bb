// StreamAge: how old a stream's records are, by BOOTTIME alone. Private to core/spill; the writer's
// thread.
//
// The stream's own time is BOOTTIME summed over the boots, as far as the spill proves it; each
// segment's header says where it stood (elapsed_ns). What passed while the machine was off, or after
// a boot's last block, is not in it.
//
// Invariants:
//  1. It is never ahead of the truth, and by it no record is older than it is by more than the
//     distance of two marks.
//  2. Marks ascend in offset and time, and there is a bound to them: the older ones stand further apart, by
//     at most a two-hundredth of what is held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "spillway/core/format.h"

namespace spillway::core {

class StreamAge {
 public:
  static constexpr std::size_t kMarksMax = 512;
  static constexpr std::uint64_t kMarkIntervalNs = 1'000'000'000;

  /// A stream without a past: its time begins now.
  void begin(std::uint64_t now_ns);
  /// Goes on behind this segment. `last_boottime_ns`: the latest that is known of its boot;
  /// `boot_id`: the present one.
  void resume(const format::SegmentHeader& last, std::uint64_t last_boottime_ns,
              const Uuid& boot_id);

  /// The stream's own time at this BOOTTIME of this boot.
  [[nodiscard]] std::uint64_t at(std::uint64_t boottime_ns) const {
    return base_ns_ + (boottime_ns > from_ns_ ? boottime_ns - from_ns_ : 0);
  }
  /// Records from `offset` on are appended at this BOOTTIME. Costs nothing most of the time.
  void note(std::uint64_t offset, std::uint64_t boottime_ns) {
    if (due_ || boottime_ns >= due_at_ns_) mark(offset, boottime_ns);
  }
  /// What stands before is no longer held.
  void forget_below(std::uint64_t offset);
  /// A group commit was planned: the next record's time counts.
  void expect() { due_ = true; }
  /// How long ago the stream's own time stood there.
  [[nodiscard]] std::uint64_t since(std::uint64_t elapsed_ns, std::uint64_t boottime_ns) const {
    const std::uint64_t now = at(boottime_ns);
    return now > elapsed_ns ? now - elapsed_ns : 0;
  }
  /// Since the record of this offset was appended, or a little longer; nothing for what stands
  /// before the segment in which the stream went on.
  [[nodiscard]] std::optional<std::uint64_t> of(std::uint64_t offset,
                                                std::uint64_t boottime_ns) const;

 private:
  struct Mark {
    std::uint64_t offset = 0;
    std::uint64_t elapsed_ns = 0;
  };

  void mark(std::uint64_t offset, std::uint64_t boottime_ns);
  void add(const Mark& mark);
  void thin_out();

  std::uint64_t base_ns_ = 0;  // the stream's time at ...
  std::uint64_t from_ns_ = 0;  // ... this BOOTTIME
  std::vector<Mark> marks_;
  bool due_ = true;
  std::uint64_t due_at_ns_ = 0;
};

}  // namespace spillway::core
