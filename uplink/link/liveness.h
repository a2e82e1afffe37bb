// Liveness: whether a link still lives, from what the kernel tells of it once a second.
//
//            silent for ping_after                 a pong
//   kListening ------------------> kAsked -------------------> kListening
//        |                           |
//        +-- no sign within the timeout --> kDead
//
// What counts as a sign of life: any byte that comes in; and, while something of ours is under way,
// any byte of it that the peer's kernel acknowledges, because a pong stands behind our own data: on a
// slow link for minutes. Once the ping itself was acknowledged only bytes that come in count, since a
// proxy or a half of a connection may acknowledge for ever.
//
// The timeout adapts as TCP's own does (RFC 6298): smoothed round trip + 4 x variance, within bounds.
//
// Pure: time and signs are passed in. One thread.
//
// Invariants:
//  1. At most one ping is under way.
//  2. A link that is cut at a packet boundary is dead after ping_after + timeout + two looks at the
//     latest; one with data under way after timeout + two looks.
//  3. Time in which nobody looked (a stopped process, a loaded machine) does not count.
//  4. A link of which bytes are acknowledged again and again is not cut, however slow.
#pragma once

#include <cstdint>

#include "uplink/link/tcp_state.h"

namespace spillway::uplink {

class Liveness {
 public:
  static constexpr std::uint64_t kLookNs = 1'000'000'000;
  static constexpr std::uint64_t kTimeoutNsMin = 5'000'000'000;
  static constexpr std::uint64_t kTimeoutNsMax = 30'000'000'000;
  /// For data that the kernel has under way its own estimate counts, too: it learns faster.
  static constexpr std::uint64_t kStallNsMax = 120'000'000'000;
  /// The peer's kernel answers, but nobody behind it takes anything: bounded, so that a far end that
  /// hangs is left one day.
  static constexpr std::uint64_t kStuckNsMax = 3'600'000'000'000;
  /// Who receives without anything to say says so much that the peer, whose pings may stand behind
  /// its own data, knows of it.
  static constexpr std::uint64_t kHeartbeatNs = 10'000'000'000;
  /// So many questions of the kernel after a closed window may stay without an answer.
  static constexpr std::uint32_t kProbesMax = 3;

  enum class Action : std::uint8_t { kNone, kPing, kHeartbeat, kDead };
  enum class State : std::uint8_t { kListening, kAsked, kDead };

  /// `tcp` at the moment when the link opens: its round trip is the first estimate.
  Liveness(std::uint64_t ping_after_ns, std::uint64_t now_ns, const TcpState& tcp);

  /// Call every kLookNs. `paused`: we read nothing now, so that a pong could not be seen.
  [[nodiscard]] Action look(std::uint64_t now_ns, const TcpState& tcp, bool paused);
  /// The ping asked for is with the kernel.
  void on_ping_sent(std::uint64_t now_ns, const TcpState& tcp);
  void on_pong(std::uint64_t now_ns);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint64_t timeout_ns() const;
  [[nodiscard]] std::uint64_t silent_ns(std::uint64_t now_ns) const { return now_ns - heard_ns_; }

 private:
  void forgive(std::uint64_t now_ns);
  void take_in(std::uint64_t now_ns, const TcpState& tcp, bool paused);
  [[nodiscard]] bool is_stalled(std::uint64_t now_ns, const TcpState& tcp) const;
  [[nodiscard]] bool is_unanswered(std::uint64_t now_ns) const;
  void measure(std::uint64_t rtt_ns);

  std::uint64_t ping_after_ns_;
  State state_ = State::kListening;
  std::uint64_t looked_ns_;
  std::uint64_t heard_ns_;       // a byte came in
  std::uint64_t progressed_ns_;  // a byte of ours was acknowledged, or none is under way
  std::uint64_t answered_ns_;    // the peer's kernel acknowledged anything
  std::uint64_t spoke_ns_;       // a byte went to the kernel
  std::uint64_t asked_ns_;       // the last ping was asked for
  std::uint64_t ping_sent_ns_ = 0;
  std::uint64_t ping_acked_ns_ = 0;
  std::uint64_t ping_end_ = 0;  // our bytes up to the ping; 0: not with the kernel yet
  std::uint64_t received_ = 0;
  std::uint64_t acked_ = 0;
  std::uint64_t spoken_ = 0;
  std::uint64_t spoken_at_pong_ = 0;
  std::uint64_t smoothed_ns_;
  std::uint64_t variance_ns_;
};

}  // namespace spillway::uplink
