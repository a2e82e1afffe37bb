// Histogram: counts of durations in log-linear buckets, as HdrHistogram lays them out: 64 buckets to
// each power of two, so a value is known to 1.6 % and below 128 exactly.
//
// One thread writes. Plain memory of a fixed size, so it may stand in a mapping that two processes
// share. Values are ticks; whoever prints it turns them into nanoseconds.
// Invariant: total() is the sum of all buckets; nothing is dropped (a value beyond the last bucket
// counts in it, and max() has it exactly).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace spillway::bench {

class Histogram {
 public:
  static constexpr unsigned kSubBits = 6;  // 64 buckets an octave
  static constexpr std::size_t kSub = std::size_t{1} << kSubBits;
  static constexpr unsigned kValueBits = 42;  // half an hour of a 2.5 GHz counter
  static constexpr std::size_t kBuckets = (kValueBits - kSubBits + 1) * kSub;

  void record(std::uint64_t ticks) {
    ++counts_[index_of(ticks)];
    ++total_;
    max_ = std::max(max_, ticks);
  }
  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] std::uint64_t max() const { return max_; }
  [[nodiscard]] std::uint64_t count_at(std::size_t index) const { return counts_[index]; }
  /// The smallest value of a bucket.
  [[nodiscard]] static std::uint64_t value_of(std::size_t index) {
    const std::size_t octave = index / kSub;
    if (octave < 2) return index;
    return (kSub + index % kSub) << (octave - 1);
  }
  /// The smallest bucket's value that at least this share of all values does not exceed.
  [[nodiscard]] std::uint64_t quantile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(total_)));
    std::uint64_t seen = 0;
    for (std::size_t index = 0; index < kBuckets; ++index) {
      seen += counts_[index];
      if (seen >= wanted && seen != 0) return value_of(index);
    }
    return max_;
  }
  void clear() { *this = Histogram(); }

 private:
  [[nodiscard]] static std::size_t index_of(std::uint64_t ticks) {
    if (ticks < kSub) return static_cast<std::size_t>(ticks);
    const auto width = static_cast<unsigned>(std::bit_width(ticks));
    const unsigned octave = width - kSubBits;
    const std::size_t index = octave * kSub + ((ticks >> (octave - 1)) - kSub);
    return std::min(index, kBuckets - 1);
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace spillway::bench
