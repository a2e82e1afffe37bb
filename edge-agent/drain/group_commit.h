// GroupCommit: when a stream is synced, and what each sync makes power-safe in the lanes.
//
//           appended                 due: interval over, or a flush waits
//   Clean -----------> Dirty(since) ------------------------------------> UnderWay(marks)
//     ^                  ^  (appended meanwhile, or the sync failed)          |
//     |                  +----------------------------------------------------+
//     +-----------------------------------------------------------------------+ finished
//
// One thread; stepped with the time. Invariant: the marks were taken when the sync was planned, so
// no lane is ever told that bytes are power-safe which a sync did not cover.
#pragma once

#include <cstdint>
#include <vector>

namespace spillway::agent {

/// A lane's position at the moment a sync was planned.
struct LaneMark {
  std::uint64_t lane_id = 0;
  std::uint64_t position = 0;
};

class GroupCommit {
 public:
  /// A sync that failed is tried again no sooner than this.
  static constexpr std::uint64_t kRetryNs = 1'000'000'000;

  explicit GroupCommit(std::uint64_t interval_ns) : interval_ns_(interval_ns) {}

  /// The stream holds bytes that may not be power-safe yet; `since_ns`: when they came.
  void appended(std::uint64_t since_ns) {
    const std::uint64_t due_at_ns = since_ns + interval_ns_;
    if (!dirty_ || due_at_ns < due_at_ns_) due_at_ns_ = due_at_ns;
    dirty_ = true;
  }
  [[nodiscard]] std::uint64_t interval_ns() const { return interval_ns_; }
  [[nodiscard]] bool due(std::uint64_t now_ns, bool flush_waits) const {
    if (under_way_ || !dirty_ || now_ns < not_before_ns_) return false;
    return flush_waits || now_ns >= due_at_ns_;
  }
  void planned(std::vector<LaneMark> marks) {
    under_way_ = true;
    dirty_ = false;
    marks_ = std::move(marks);
  }
  /// Everything was power-safe already.
  void clean() { dirty_ = false; }
  /// Gives back what the sync covered; nothing if it failed.
  [[nodiscard]] std::vector<LaneMark> finished(bool succeeded, std::uint64_t now_ns) {
    under_way_ = false;
    if (succeeded) return std::move(marks_);
    marks_.clear();
    dirty_ = true;
    due_at_ns_ = now_ns;
    not_before_ns_ = now_ns + kRetryNs;
    return {};
  }
  [[nodiscard]] bool under_way() const { return under_way_; }
  [[nodiscard]] bool dirty() const { return dirty_; }

 private:
  std::uint64_t interval_ns_;
  bool dirty_ = false;
  bool under_way_ = false;
  std::uint64_t due_at_ns_ = 0;
  std::uint64_t not_before_ns_ = 0;
  std::vector<LaneMark> marks_;
};

}  // namespace spillway::agent
