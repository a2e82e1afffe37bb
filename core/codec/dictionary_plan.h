// DictionaryPlan: when a stream's dictionary is trained, and from what. Private to core; the drain's
// thread.
//
//               enough samples                  trained
//   Collecting ----------------> UnderWay ------------------> Using
//      ^  ^                         |  nothing in common         |
//      |  |                         v                            |
//      |  +------------------- Resting                           |
//      |     kRestBytes later                                    |
//      +---------------------------------------------------------+
//        blocks have become half as large again as they once were
//
// A dictionary found in the spill at start is used from there on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "spillway/core/dictionary.h"

namespace spillway::core {

class DictionaryPlan {
 public:
  /// What a training learns from. Of the system sensor half of it does as well.
  static constexpr std::size_t kSampleBytes = 128 * 1024;
  static constexpr std::size_t kSamplesMax = 4096;
  /// Over this many bytes of records it is judged whether a dictionary still fits.
  static constexpr std::uint64_t kJudgedBytes = 1 << 20;
  static constexpr std::uint64_t kRestBytes = 64 << 20;

  explicit DictionaryPlan(std::size_t dictionary_bytes) : dictionary_bytes_(dictionary_bytes) {}

  /// A dictionary is there already.
  void adopt();
  /// A run that was appended: `stored_bytes` of the run's are what it takes now.
  void note(std::span<const std::byte> frames, std::size_t stored_bytes);
  /// The training that is due; come back through finish.
  [[nodiscard]] std::shared_ptr<Training> order();
  void finish(bool adopted);

 private:
  enum class State : std::uint8_t { kCollecting, kUnderWay, kUsing, kResting };

  void collect(std::span<const std::byte> frames);
  void judge();

  std::size_t dictionary_bytes_;
  State state_ = State::kCollecting;
  std::shared_ptr<Training> training_;
  std::uint64_t raw_bytes_ = 0;  // since the last judgement, or the rest's beginning
  std::uint64_t stored_bytes_ = 0;
  double best_share_ = 1;  // stored to raw, the least over kJudgedBytes
};

}  // namespace spillway::core
