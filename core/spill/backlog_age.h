// BacklogAge: since when there may be a record that was not acknowledged. Private to core/spill; one
// thread. A plain state machine, told once a second how far the stream and its uplinks are.
//
// It keeps marks 'at this time the stream stood there', at most kMarksMax of them, an eighth of the
// longest age apart: what is not acknowledged now was appended after the newest mark that is. So the
// answer is never younger than the truth and at most that eighth and a second older.
#pragma once

#include <cstdint>
#include <deque>

namespace spillway::core {

class BacklogAge {
 public:
  static constexpr std::size_t kMarksMax = 9;

  /// At `next` the stream goes on; nothing that was not acknowledged is older than `since_ns`.
  BacklogAge(std::uint64_t age_ns_max, std::uint64_t next, std::uint64_t since_ns)
      : apart_ns_(age_ns_max / (kMarksMax - 1)), since_ns_(since_ns), last_next_(next) {}

  /// Everything below `acked` was acknowledged, and nothing from `next` on was appended.
  void note(std::uint64_t acked, std::uint64_t next, std::uint64_t now_ns) {
    caught_up_ = acked >= last_next_;
    last_next_ = next;
    while (!marks_.empty() && acked >= marks_.front().offset) {
      since_ns_ = marks_.front().at_ns;
      marks_.pop_front();
    }
    if (acked >= next) {
      since_ns_ = now_ns;
      marks_.clear();
    } else if (marks_.empty() || now_ns - marks_.back().at_ns >= apart_ns_) {
      if (marks_.size() < kMarksMax) marks_.push_back({next, now_ns});
    }
  }

  [[nodiscard]] std::uint64_t age_ns(std::uint64_t now_ns) const { return now_ns - since_ns_; }
  /// All that stood there at the note before was acknowledged by the last one: the link keeps up.
  [[nodiscard]] bool caught_up() const { return caught_up_; }

 private:
  struct Mark {
    std::uint64_t offset = 0;
    std::uint64_t at_ns = 0;
  };

  std::uint64_t apart_ns_;
  std::uint64_t since_ns_;
  std::uint64_t last_next_;
  bool caught_up_ = false;
  std::deque<Mark> marks_;
};

}  // namespace spillway::core
