#include "uplink/link/liveness.h"

#include <algorithm>

namespace spillway::uplink {

namespace {

/// A look that comes later than this was late for our own reasons.
constexpr std::uint64_t kLateNs = 3 * Liveness::kLookNs;
/// While there is traffic, a ping now and then all the same: it keeps the estimate true.
constexpr std::uint64_t kPingsApart = 4;
/// More than pings and heartbeats alone: data of ours.
constexpr std::uint64_t kSmallTalkBytes = 256;

std::uint64_t spoken_in(const TcpState& tcp) { return tcp.acked_bytes + tcp.unacked_bytes; }

}  // namespace

Liveness::Liveness(std::uint64_t ping_after_ns, std::uint64_t now_ns, const TcpState& tcp)
    : ping_after_ns_(ping_after_ns),
      looked_ns_(now_ns),
      heard_ns_(now_ns),
      progressed_ns_(now_ns),
      answered_ns_(now_ns),
      spoke_ns_(now_ns),
      asked_ns_(now_ns),
      received_(tcp.received_bytes),
      acked_(tcp.acked_bytes),
      spoken_(spoken_in(tcp)),
      spoken_at_pong_(spoken_),
      smoothed_ns_(tcp.rtt_ns),
      variance_ns_(std::max(tcp.rtt_variance_ns, tcp.rtt_ns / 2)) {}

std::uint64_t Liveness::timeout_ns() const {
  return std::clamp(smoothed_ns_ + 4 * variance_ns_, kTimeoutNsMin, kTimeoutNsMax);
}

/// Invariant 3: everything that was waited for gets the time back in which nobody looked.
void Liveness::forgive(std::uint64_t now_ns) {
  const std::uint64_t gap_ns = now_ns - looked_ns_;
  looked_ns_ = now_ns;
  if (gap_ns <= kLateNs) return;
  const std::uint64_t lost_ns = gap_ns - kLookNs;
  for (std::uint64_t* moment : {&heard_ns_, &progressed_ns_, &answered_ns_, &spoke_ns_}) {
    *moment += lost_ns;
  }
  if (ping_acked_ns_ != 0) ping_acked_ns_ += lost_ns;
}

void Liveness::take_in(std::uint64_t now_ns, const TcpState& tcp, bool paused) {
  if (const std::uint64_t spoken = spoken_in(tcp); spoken != spoken_) {
    spoken_ = spoken;
    spoke_ns_ = now_ns;
  }
  // Who does not read cannot ask for more signs.
  if (tcp.received_bytes != received_ || paused) {
    received_ = tcp.received_bytes;
    heard_ns_ = now_ns;
  }
  if (tcp.acked_bytes != acked_ || tcp.unacked_bytes == 0) {
    acked_ = tcp.acked_bytes;
    progressed_ns_ = now_ns;
  }
  if (tcp.answer_age_ns < now_ns) answered_ns_ = std::max(answered_ns_, now_ns - tcp.answer_age_ns);
  if (state_ == State::kAsked && ping_acked_ns_ == 0 && ping_end_ != 0 &&
      tcp.acked_bytes >= ping_end_) {
    ping_acked_ns_ = now_ns;
  }
}

/// Something of ours is under way and neither comes to an end nor is anything heard.
bool Liveness::is_stalled(std::uint64_t now_ns, const TcpState& tcp) const {
  if (tcp.unacked_bytes == 0) return false;
  if (now_ns - std::max(progressed_ns_, heard_ns_) > kStuckNsMax) return true;
  const std::uint64_t sign_ns = std::max({progressed_ns_, heard_ns_, answered_ns_});
  if (tcp.is_window_closed && tcp.unanswered_probes < kProbesMax) return false;
  const std::uint64_t kernel_ns = std::min(tcp.rtt_ns + 4 * tcp.rtt_variance_ns, kStallNsMax);
  return now_ns - std::min(sign_ns, now_ns) > std::max(timeout_ns(), kernel_ns);
}

/// The peer's side has the ping, and no pong comes.
bool Liveness::is_unanswered(std::uint64_t now_ns) const {
  if (state_ != State::kAsked || ping_acked_ns_ == 0) return false;
  // A relay that has acknowledged data of ours may still be passing it on: the ping stands behind
  // it. The far end's heartbeat comes within this time.
  const bool behind_data = ping_end_ > spoken_at_pong_ + kSmallTalkBytes;
  const std::uint64_t since_ns = std::min(std::max(ping_acked_ns_, heard_ns_), now_ns);
  return now_ns - since_ns > (behind_data ? kTimeoutNsMax : timeout_ns());
}

Liveness::Action Liveness::look(std::uint64_t now_ns, const TcpState& tcp, bool paused) {
  if (state_ == State::kDead) return Action::kDead;
  forgive(now_ns);
  take_in(now_ns, tcp, paused);
  if (is_stalled(now_ns, tcp) || is_unanswered(now_ns)) {
    state_ = State::kDead;
    return Action::kDead;
  }
  const bool silent = now_ns - heard_ns_ >= ping_after_ns_;
  const bool estimate_is_old =
      heard_ns_ > asked_ns_ && now_ns - asked_ns_ >= kPingsApart * ping_after_ns_;
  if (state_ == State::kListening && !paused && (silent || estimate_is_old)) {
    state_ = State::kAsked;
    asked_ns_ = now_ns;
    ping_end_ = 0;
    ping_acked_ns_ = 0;
    return Action::kPing;
  }
  const bool one_sided = heard_ns_ > spoke_ns_ && now_ns - spoke_ns_ >= kHeartbeatNs;
  if (one_sided && tcp.unacked_bytes == 0) {
    spoke_ns_ = now_ns;
    return Action::kHeartbeat;
  }
  return Action::kNone;
}

void Liveness::on_ping_sent(std::uint64_t now_ns, const TcpState& tcp) {
  if (state_ != State::kAsked) return;
  ping_sent_ns_ = now_ns;
  ping_end_ = std::max<std::uint64_t>(spoken_in(tcp), 1);
}

void Liveness::on_pong(std::uint64_t now_ns) {
  if (state_ != State::kAsked || ping_end_ == 0) return;
  state_ = State::kListening;
  spoken_at_pong_ = spoken_;
  measure(now_ns - ping_sent_ns_);
}

/// RFC 6298, 2.3.
void Liveness::measure(std::uint64_t rtt_ns) {
  const std::uint64_t deviation_ns =
      rtt_ns > smoothed_ns_ ? rtt_ns - smoothed_ns_ : smoothed_ns_ - rtt_ns;
  variance_ns_ = (3 * variance_ns_ + deviation_ns) / 4;
  smoothed_ns_ = (7 * smoothed_ns_ + rtt_ns) / 8;
}

}  // namespace spillway::uplink
