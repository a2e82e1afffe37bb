// SendWindow: how much may be on its way, so that the link is full and yet nothing stands in line
// long: live data has to pass what was sent before it.
//
// It learns the link from acknowledgements alone, as BBR (Cardwell et al., 2016) does for TCP: the
// rate at which bytes were acknowledged, at best, in the last ten seconds, and the shortest round
// trip of late. Their product fills the link; a margin keeps it full through jitter and pauses. To
// measure a round trip anew costs about one of them: a long one is measured less often.
//
//           the rate stopped to rise       no short round trip for trip_filter_ns()
//   kStartup -------------------------> kCruise ---------------------------> kRefresh
//      ^  window: 2 x                     |  ^  1 x; one round in 8: 1.25 x     |  window: 0.5 x
//      +----------------------------------+  +----------------------------------+
//          the rate rose by a fifth            a message sent alone has come back
//
// Pure: the time is told. One thread. Bytes are those of messages on the wire, times are ns of any
// monotonic clock.
//
// Invariants:
//  1. A message is at most what the link carries in kMessageTime, but never less than
//     kMessageBytesMin, and at most kMessageBytesMax.
//  2. Backlog is admitted while less than window_bytes() is on its way; live data for two messages
//     more, so that it never waits for an acknowledgement of what is not live.
//  3. At least two messages are always allowed: the link does not run dry between two.
//  4. What was sent while there was nothing more to send never lowers the rate.
#pragma once

#include <array>
#include <cstdint>

namespace spillway::uplink {

/// What has to be remembered of a message until it is acknowledged.
struct Flight {
  std::uint64_t bytes = 0;
  std::uint64_t sent_ns = 0;
  std::uint64_t delivered_bytes = 0;  // of all, when it was sent ...
  std::uint64_t delivered_ns = 0;     // ... and when the last of them was
  std::uint64_t first_sent_ns = 0;
  bool starved = false;  // there was not enough to fill the window
  bool alone = false;    // hardly anything else was on its way
};

class SendWindow {
 public:
  static constexpr std::uint64_t kMessageTimeNs = 100'000'000;
  static constexpr std::uint64_t kMessageBytesMin = 512;
  static constexpr std::uint64_t kMessageBytesMax = 256U << 10;
  static constexpr std::uint64_t kMarginNs = 100'000'000;
  static constexpr std::uint64_t kFilterNs = 10'000'000'000;
  /// A round trip is good for this many of its kind, and for kFilterNs at least.
  static constexpr std::uint64_t kTripsAFilter = 40;

  /// `bytes_max`: never more than that. `rate_limit`: what may be sent in a second; 0: any.
  SendWindow(std::uint64_t bytes_max, std::uint64_t rate_limit);

  /// A round trip without load, as that of Hello and Welcome.
  void on_round_trip(std::uint64_t took_ns, std::uint64_t now_ns);
  [[nodiscard]] Flight on_sent(std::uint64_t bytes, std::uint64_t now_ns);
  /// Once for each flight, in the order of their sending within a stream.
  void on_acknowledged(const Flight& flight, std::uint64_t now_ns);
  /// The window was open and there was nothing to send.
  void on_starved();

  [[nodiscard]] bool admits_backlog() const { return in_flight_ < window_bytes(); }
  [[nodiscard]] bool admits_live() const {
    return in_flight_ < window_bytes() + 2 * message_bytes();
  }
  [[nodiscard]] std::uint64_t window_bytes() const;
  [[nodiscard]] std::uint64_t message_bytes() const;
  [[nodiscard]] std::uint64_t in_flight_bytes() const { return in_flight_; }
  /// Bytes a second that the link is known to carry; 0: nothing is known yet.
  [[nodiscard]] std::uint64_t rate() const;
  /// The shortest of late; 0: none yet.
  [[nodiscard]] std::uint64_t round_trip_ns() const;

 private:
  enum class Mode : std::uint8_t { kStartup, kCruise, kRefresh };
  struct RateSlot {
    std::uint64_t since_ns = 0;
    std::uint64_t rate = 0;
  };

  void note_round_trip(const Flight& flight, std::uint64_t now_ns);
  void note_rate(const Flight& flight, std::uint64_t now_ns);
  void keep_rate(std::uint64_t rate, std::uint64_t now_ns);
  void end_round();
  void refresh(std::uint64_t now_ns);
  [[nodiscard]] std::uint64_t drained_in(std::uint64_t time_ns) const;
  [[nodiscard]] std::uint64_t alone_bytes() const;
  [[nodiscard]] std::uint64_t trip_filter_ns() const;

  std::uint64_t bytes_max_;
  std::uint64_t rate_limit_;
  Mode mode_ = Mode::kStartup;

  std::uint64_t in_flight_ = 0;
  std::uint64_t delivered_bytes_ = 0;
  std::uint64_t delivered_ns_ = 0;
  std::uint64_t first_sent_ns_ = 0;
  std::uint64_t starved_until_ = 0;  // a count of delivered bytes

  std::array<RateSlot, 8> rates_{};  // each the best of an eighth of kFilterNs
  std::uint64_t shortest_ns_ = 0;    // of this period; 0: none
  std::uint64_t shortest_before_ns_ = 0;
  std::uint64_t period_since_ns_ = 0;
  bool period_has_alone_ = false;
  std::uint64_t last_trip_ns_ = 0;
  std::uint64_t jitter_ns_ = 0;

  std::uint64_t round_ends_at_ = 0;  // a count of delivered bytes
  bool round_starved_ = false;
  std::uint64_t full_rate_ = 0;
  unsigned flat_rounds_ = 0;
  unsigned phase_ = 0;
};

}  // namespace spillway::uplink
