#include "core/spill/stream_age.h"

#include <algorithm>

namespace spillway::core {

namespace {

constexpr std::size_t kSpanParts = 200;
constexpr std::size_t kNewestKept = 64;  // they tell how far the levels lag behind each other
static_assert(2 * kSpanParts + kNewestKept < StreamAge::kMarksMax);

}  // namespace

void StreamAge::begin(std::uint64_t now_ns) {
  base_ns_ = 0;
  from_ns_ = now_ns;
}

void StreamAge::resume(const format::SegmentHeader& last, std::uint64_t last_boottime_ns,
                       const Uuid& boot_id) {
  add({last.base_offset(), last.elapsed_ns()});
  base_ns_ = last.elapsed_ns();
  from_ns_ = last.created_boottime_ns();
  if (uuid_of(*last.boot_id()) == boot_id) return;
  // That boot lasted at least until its last block; of the time until this one nothing is known.
  base_ns_ = at(last_boottime_ns);
  from_ns_ = 0;
}

std::optional<std::uint64_t> StreamAge::of(std::uint64_t offset, std::uint64_t boottime_ns) const {
  const auto behind =
      std::upper_bound(marks_.begin(), marks_.end(), offset,
                       [](std::uint64_t wanted, const Mark& mark) { return wanted < mark.offset; });
  if (behind == marks_.begin()) return std::nullopt;
  return since((behind - 1)->elapsed_ns, boottime_ns);
}

void StreamAge::mark(std::uint64_t offset, std::uint64_t boottime_ns) {
  due_ = false;
  due_at_ns_ = boottime_ns + kMarkIntervalNs;
  add({offset, at(boottime_ns)});
}

/// What is left lies no further apart than kSpanParts of what is held, and is at most twice as much.
void StreamAge::thin_out() {
  const std::uint64_t apart = (marks_.back().elapsed_ns - marks_.front().elapsed_ns) / kSpanParts;
  const std::size_t newest = marks_.size() - kNewestKept;
  std::size_t kept = 1;
  for (std::size_t i = 1; i < marks_.size(); ++i) {
    const bool wanted =
        i >= newest || marks_[i + 1].elapsed_ns - marks_[kept - 1].elapsed_ns > apart;
    if (wanted) marks_[kept++] = marks_[i];
  }
  marks_.resize(kept);
}

void StreamAge::forget_below(std::uint64_t offset) {
  const auto first =
      std::upper_bound(marks_.begin(), marks_.end(), offset,
                       [](std::uint64_t wanted, const Mark& mark) { return wanted < mark.offset; });
  if (first - marks_.begin() > 1) marks_.erase(marks_.begin(), first - 1);
}

void StreamAge::add(const Mark& mark) {
  // What was written again is as old as it was.
  if (!marks_.empty() && mark.offset <= marks_.back().offset) return;
  if (marks_.size() >= kMarksMax) thin_out();
  marks_.push_back(mark);
}

}  // namespace spillway::core
