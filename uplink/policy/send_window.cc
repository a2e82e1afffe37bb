#include "uplink/policy/send_window.h"

#include <algorithm>

namespace spillway::uplink {

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
/// Before anything is known: a second and a half of a 20 kbit/s link.
constexpr std::uint64_t kFirstWindowBytes = 4U << 10;
constexpr std::uint64_t kFirstMessageBytes = 2U << 10;
constexpr std::uint64_t kIntervalNsMin = 1'000'000;
constexpr unsigned kFlatRounds = 3;
constexpr unsigned kPhases = 8;
/// Rates and times stay below these, so that their products fit.
constexpr std::uint64_t kRateMax = 100'000'000'000;
constexpr std::uint64_t kTimeNsMax = 100 * kSecondNs;

}  // namespace

SendWindow::SendWindow(std::uint64_t bytes_max, std::uint64_t rate_limit)
    : bytes_max_(bytes_max), rate_limit_(rate_limit) {}

std::uint64_t SendWindow::rate() const {
  std::uint64_t best = 0;
  for (const RateSlot& slot : rates_) best = std::max(best, slot.rate);
  return best;
}

std::uint64_t SendWindow::round_trip_ns() const {
  if (shortest_ns_ == 0 || shortest_before_ns_ == 0) return shortest_ns_ + shortest_before_ns_;
  return std::min(shortest_ns_, shortest_before_ns_);
}

/// What the link carries in this time, in bytes.
std::uint64_t SendWindow::drained_in(std::uint64_t time_ns) const {
  const std::uint64_t known = rate();
  const std::uint64_t limited = rate_limit_ == 0 ? known : std::min(known, rate_limit_);
  return limited * (std::min(time_ns, kTimeNsMax) / 1000) / 1'000'000;
}

std::uint64_t SendWindow::message_bytes() const {
  if (rate() == 0) return kFirstMessageBytes;
  return std::clamp(drained_in(kMessageTimeNs), kMessageBytesMin, kMessageBytesMax);
}

std::uint64_t SendWindow::alone_bytes() const {
  return std::max(drained_in(round_trip_ns()) / 2, message_bytes());
}

std::uint64_t SendWindow::trip_filter_ns() const {
  return std::max(kFilterNs, kTripsAFilter * round_trip_ns());
}

std::uint64_t SendWindow::window_bytes() const {
  if (rate() == 0) return std::min(kFirstWindowBytes, bytes_max_);
  const std::uint64_t trip_ns = round_trip_ns();
  // A round trip that only grows, as in front of a link that became slower, is no jitter.
  const std::uint64_t full =
      drained_in(trip_ns + kMarginNs + trip_ns / 4 + std::min(2 * jitter_ns_, trip_ns / 2));
  std::uint64_t window = full;
  if (mode_ == Mode::kStartup) window = 2 * full;
  if (mode_ == Mode::kCruise && phase_ == 0) window = full + full / 4;
  if (mode_ == Mode::kRefresh) return std::min(alone_bytes(), bytes_max_);
  return std::min(std::max(window, 2 * message_bytes()), bytes_max_);
}

void SendWindow::on_round_trip(std::uint64_t took_ns, std::uint64_t now_ns) {
  Flight flight;
  flight.sent_ns = now_ns - std::min(took_ns, now_ns);
  flight.alone = true;
  note_round_trip(flight, now_ns);
}

Flight SendWindow::on_sent(std::uint64_t bytes, std::uint64_t now_ns) {
  if (in_flight_ == 0) {
    first_sent_ns_ = now_ns;
    delivered_ns_ = now_ns;
  }
  Flight flight;
  flight.bytes = bytes;
  flight.sent_ns = now_ns;
  flight.delivered_bytes = delivered_bytes_;
  flight.delivered_ns = delivered_ns_;
  flight.first_sent_ns = first_sent_ns_;
  flight.starved = delivered_bytes_ < starved_until_;
  flight.alone = in_flight_ < alone_bytes();
  in_flight_ += bytes;
  return flight;
}

void SendWindow::on_starved() {
  starved_until_ = delivered_bytes_ + std::max<std::uint64_t>(in_flight_, 1);
}

void SendWindow::on_acknowledged(const Flight& flight, std::uint64_t now_ns) {
  in_flight_ -= std::min(in_flight_, flight.bytes);
  delivered_bytes_ += flight.bytes;
  delivered_ns_ = now_ns;
  first_sent_ns_ = std::max(first_sent_ns_, flight.sent_ns);
  note_round_trip(flight, now_ns);
  note_rate(flight, now_ns);
  round_starved_ = round_starved_ || flight.starved;
  if (flight.delivered_bytes >= round_ends_at_) end_round();
  refresh(now_ns);
}

void SendWindow::note_round_trip(const Flight& flight, std::uint64_t now_ns) {
  const std::uint64_t took = std::clamp<std::uint64_t>(
      now_ns > flight.sent_ns ? now_ns - flight.sent_ns : 0, 1000, kTimeNsMax);
  if (last_trip_ns_ != 0) {
    const std::uint64_t change = took > last_trip_ns_ ? took - last_trip_ns_ : last_trip_ns_ - took;
    jitter_ns_ = (jitter_ns_ * 15 + change) / 16;
  }
  last_trip_ns_ = took;
  if (now_ns - period_since_ns_ > trip_filter_ns() && flight.alone) {
    shortest_before_ns_ = shortest_ns_;
    shortest_ns_ = 0;
    period_since_ns_ = now_ns;
    period_has_alone_ = false;
  }
  period_has_alone_ = period_has_alone_ || flight.alone;
  shortest_ns_ = shortest_ns_ == 0 ? took : std::min(shortest_ns_, took);
}

void SendWindow::note_rate(const Flight& flight, std::uint64_t now_ns) {
  const std::uint64_t acknowledged_in = now_ns - std::min(now_ns, flight.delivered_ns);
  const std::uint64_t sent_in = flight.sent_ns - std::min(flight.sent_ns, flight.first_sent_ns);
  // What comes in one go after a pause tells nothing of the link: the longer of the two counts.
  const std::uint64_t interval =
      std::clamp(std::max(acknowledged_in, sent_in), kIntervalNsMin, kTimeNsMax);
  const std::uint64_t bytes = delivered_bytes_ - flight.delivered_bytes;
  const std::uint64_t measured = std::clamp<std::uint64_t>(
      static_cast<std::uint64_t>(static_cast<double>(bytes) * static_cast<double>(kSecondNs) /
                                 static_cast<double>(interval)),
      1, kRateMax);
  if (flight.starved && measured < rate()) return;
  keep_rate(measured, now_ns);
}

/// Old ones go only when a new one comes: a link that was idle is as fast as it was.
void SendWindow::keep_rate(std::uint64_t measured, std::uint64_t now_ns) {
  const std::uint64_t slot_ns = kFilterNs / rates_.size();
  RateSlot* newest = &rates_[0];
  RateSlot* oldest = &rates_[0];
  for (RateSlot& slot : rates_) {
    if (slot.since_ns > newest->since_ns) newest = &slot;
    if (now_ns - std::min(now_ns, slot.since_ns) > kFilterNs) slot = {};
    if (slot.since_ns < oldest->since_ns) oldest = &slot;
  }
  const bool same = newest->rate != 0 && now_ns - newest->since_ns < slot_ns;
  if (!same) *oldest = {now_ns, 0};
  RateSlot& slot = same ? *newest : *oldest;
  slot.rate = std::max(slot.rate, measured);
}

/// A round ends when what was sent after the last one's end is acknowledged.
void SendWindow::end_round() {
  round_ends_at_ = delivered_bytes_ + in_flight_;
  const bool starved = round_starved_;
  round_starved_ = false;
  if (starved || mode_ == Mode::kRefresh) return;
  const std::uint64_t known = rate();
  if (mode_ == Mode::kStartup) {
    const bool rose = known >= full_rate_ + full_rate_ / 4;
    flat_rounds_ = rose ? 0 : flat_rounds_ + 1;
    if (rose) full_rate_ = known;
    if (flat_rounds_ < kFlatRounds) return;
    mode_ = Mode::kCruise;
    phase_ = 1;
    full_rate_ = known;
    return;
  }
  phase_ = (phase_ + 1) % kPhases;
  // Two rounds after more was asked for, it has shown whether there is more.
  if (phase_ == 2 && known > full_rate_ + full_rate_ / 5) {
    mode_ = Mode::kStartup;
    flat_rounds_ = 0;
  }
  if (phase_ == 2) full_rate_ = known;
}

void SendWindow::refresh(std::uint64_t now_ns) {
  if (mode_ == Mode::kRefresh && period_has_alone_) {
    mode_ = Mode::kCruise;
    phase_ = 1;
    return;
  }
  if (mode_ == Mode::kCruise && now_ns - period_since_ns_ > trip_filter_ns()) {
    mode_ = Mode::kRefresh;
    period_has_alone_ = false;
  }
}

}  // namespace spillway::uplink
