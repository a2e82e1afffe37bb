// TransactionPacer: when a transaction is closed. Readers see a record when its transaction is
// committed, and each commit costs the sink a pause of some round trips and the brokers some markers:
// so a trickle is committed at short intervals, and a backlog in large pieces.
//
//            opened()                 close_due(): the interval is over and all is delivered,
//   closed ───────────▶ open ───────▶             or it is old, or large
//      ▲                                        │
//      └────────────── committed() ◀────────────┘
//
// One thread, no clock: times are passed in (any monotonic clock, ns).
//
// Invariants:
//  1. No transaction takes more bytes than bytes_max(), nor stays open for longer than kAgeMaxNs
//     once what is in it has been delivered.
//  2. bytes_max() follows what the way there carries, so that a transaction on a slow link is
//     committed long before the broker gives it up.
#pragma once

#include <algorithm>
#include <cstdint>

namespace spillway::uplink::kafka {

class TransactionPacer {
 public:
  static constexpr std::uint64_t kBytesMin = 64ULL << 10;
  static constexpr std::uint64_t kBytesStart = 1ULL << 20;
  static constexpr std::uint64_t kBytesMax = 32ULL << 20;
  static constexpr std::uint64_t kAgeMaxNs = 1'000'000'000;
  /// A transaction that took less could have been larger; one that took more, smaller.
  static constexpr std::uint64_t kQuickNs = 500'000'000;
  static constexpr std::uint64_t kSlowNs = 2'000'000'000;

  /// `window`: what may be on its way at all. Who waits for a commit to make room in it waits in vain
  /// if the transaction wants more first.
  struct Window {
    std::uint64_t messages;
    std::uint64_t bytes;
  };
  TransactionPacer(std::uint64_t interval_ns, Window window)
      : interval_ns_(interval_ns),
        messages_max_(std::max<std::uint64_t>(window.messages / 4 * 3, 1)),
        limit_(std::clamp(window.bytes / 4 * 3, kBytesMin, kBytesMax)),
        bytes_max_(std::min(kBytesStart, limit_)) {}

  void opened(std::uint64_t now_ns) {
    open_ = true;
    opened_ns_ = now_ns;
    bytes_ = 0;
    messages_ = 0;
  }
  void took(std::uint64_t bytes) {
    bytes_ += bytes;
    ++messages_;
  }
  void committed(std::uint64_t now_ns) {
    const std::uint64_t took_ns = now_ns - opened_ns_;
    if (took_ns > kSlowNs) bytes_max_ = std::max(kBytesMin, bytes_max_ / 2);
    if (took_ns < kQuickNs && full()) bytes_max_ = std::min(limit_, bytes_max_ * 2);
    open_ = false;
  }
  /// Given up, not committed.
  void aborted() {
    if (open_) bytes_max_ = std::max(kBytesMin, bytes_max_ / 2);
    open_ = false;
  }

  [[nodiscard]] bool open() const { return open_; }
  /// It takes no more: what comes waits for the next one.
  [[nodiscard]] bool full() const { return bytes_ >= bytes_max_ || messages_ >= messages_max_; }
  [[nodiscard]] std::uint64_t bytes_max() const { return bytes_max_; }

  /// `delivered`: the brokers have all that is in it.
  [[nodiscard]] bool close_due(std::uint64_t now_ns, bool delivered) const {
    if (!open_) return false;
    return full() || now_ns - opened_ns_ >= (delivered ? interval_ns_ : kAgeMaxNs);
  }
  /// How long until then if nothing else happens.
  [[nodiscard]] std::uint64_t close_in_ns(std::uint64_t now_ns) const {
    const std::uint64_t due_ns = opened_ns_ + interval_ns_;
    return open_ && due_ns > now_ns ? due_ns - now_ns : 0;
  }

 private:
  std::uint64_t interval_ns_;
  std::uint64_t messages_max_;
  std::uint64_t limit_;
  bool open_ = false;
  std::uint64_t opened_ns_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t bytes_max_;
};

}  // namespace spillway::uplink::kafka
