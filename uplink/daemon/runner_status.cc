// What an uplink tells of itself.
#include <algorithm>
#include <array>

#include "uplink/daemon/uplink_runner.h"

namespace spillway::uplink {

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

const char* text_of(Hindrance::Kind kind) {
  return kind == Hindrance::Kind::kBudget ? "budget used up" : "outside its windows";
}

}  // namespace

/// To the second: a time that trembles would have the file written anew each second.
std::uint64_t UplinkRunner::utc_in(std::uint64_t wait_ns) const {
  return (env_.utc_ns() + wait_ns + kSecondNs / 2) / kSecondNs * kSecondNs;
}

void UplinkRunner::note_rate() {
  std::uint64_t bytes = 0;
  for (const UplinkLink& link : links_) bytes += link.sent_bytes() + link.received_bytes();
  const std::uint64_t now_ns = env_.boottime_ns();
  const std::uint64_t took_ns = now_ns - std::min(now_ns, rate_since_ns_);
  if (rate_since_ns_ != 0 && took_ns != 0) {
    rate_bytes_per_s_ =
        static_cast<std::uint64_t>(static_cast<double>(bytes - rate_from_bytes_) *
                                   static_cast<double>(kSecondNs) / static_cast<double>(took_ns));
  }
  rate_since_ns_ = now_ns;
  rate_from_bytes_ = bytes;
}

LinkStatus UplinkRunner::link_status(std::size_t index) {
  UplinkLink& link = links_[index];
  const core::LinkConfig& config = link.config();
  LinkStatus status;
  status.name = config.name;
  status.interface = config.interface;
  status.url = config.url;
  status.error = link.last_error;
  status.sent_bytes = link.sent_bytes();
  status.received_bytes = link.received_bytes();
  status.rate_limit_bytes_per_s = config.rate_limit_bytes_per_s;
  status.budget_per_day_bytes = config.budget_per_day_bytes;
  status.budget_per_month_bytes = config.budget_per_month_bytes;
  if (link.budget()) {
    status.spent_of_day_bytes = link.budget()->spent_of_day();
    status.spent_of_month_bytes = link.budget()->spent_of_month();
  }
  status.budget_error = link.budget_error();
  const Hindrance hindrance = link.hindrance();
  const std::uint64_t now_ns = env_.boottime_ns();
  const std::uint64_t rests_until_ns = chooser_.rests_until_ns(index);
  if (chooser_.in_use() == index) {
    status.state = "in use";
  } else if (chooser_.trying() == index) {
    status.state = "tried";
  } else if (hindrance.kind != Hindrance::Kind::kNone) {
    status.state = text_of(hindrance.kind);
    status.until_utc_ns = utc_in(hindrance.wait_ns);
  } else {
    status.state = "waiting";
    if (rests_until_ns > now_ns) status.until_utc_ns = utc_in(rests_until_ns - now_ns);
  }
  return status;
}

StreamStatus UplinkRunner::stream_status(std::size_t index) {
  const StreamPump& pump = session_->streams()[index];
  StreamStatus status;
  if (pump.origin() != nullptr) status.stream = pump.origin()->gateway_name + "/";
  status.stream += pump.name();
  status.journal = pump.journal().text();
  status.acked_offset = pump.acked_offset();
  status.sent_offset = pump.sent_offset();
  status.live = state_ == State::kConnected && session_->is_live(index);
  if (index >= spill_.list().size()) return status;
  const Refused refused = spill_.list()[index]->refused();
  status.refused = refused.kept_there;
  status.dead_letters = refused.kept_here;
  status.refused_reason = refused.reason;
  const auto control = spill_.list()[index]->control();
  if (!control) return status;
  const std::uint64_t end = control->next_offset();
  const std::uint64_t records = end - std::min(end, pump.acked_offset());
  status.backlog_records = records;
  const double bytes_per_record = session_->bytes_per_record(index);
  if (records == 0 || bytes_per_record != 0) {
    status.backlog_bytes =
        static_cast<std::uint64_t>(static_cast<double>(records) * bytes_per_record);
  }
  return status;
}

UplinkStatus UplinkRunner::status() {
  static constexpr std::array<const char*, 5> kNames{"waiting for the agent", "connecting",
                                                     "connected", "offline", "stopped"};
  UplinkStatus status;
  status.name = config_.name;
  status.state = kNames[static_cast<std::size_t>(state_)];
  status.error = error_;
  status.since_utc_ns = since_utc_ns_;
  status.connections = connections_;
  status.fenced = fenced_;
  status.reopened = reopened_;
  status.network_events = network_events_;
  status.cursor_error = spill_.cursor_error();
  status.bytes_per_s = rate_bytes_per_s_;
  for (std::size_t i = 0; i < links_.size(); ++i) status.links.push_back(link_status(i));
  const auto link = chooser_.in_use() ? chooser_.in_use() : chooser_.trying();
  status.url = links_[link.value_or(0)].config().url;
  if (link) status.link = links_[*link].config().name;
  if (state_ == State::kOffline) {
    // The link that may be used first; if none may for now, that is the state.
    const LinkStatus* first = &status.links.front();
    for (const LinkStatus& each : status.links) {
      const bool sooner = each.until_utc_ns < first->until_utc_ns;
      const bool barred = first->state != "waiting";
      if (each.state == "waiting" ? barred || sooner : barred && sooner) first = &each;
    }
    status.until_utc_ns = first->until_utc_ns;
    if (first->state != "waiting" && first->state != "in use") status.state = first->state;
  }
  if (!session_) return status;
  const SendWindow& window = session_->send_window();
  const bool connected = state_ == State::kConnected;
  status.round_trip_us = window.round_trip_ns() / 1000;
  status.link_bytes_per_s = window.rate();
  status.window_bytes = connected ? std::min(window.window_bytes(), session_->window_bytes()) : 0;
  status.in_flight_bytes = connected ? session_->in_flight_bytes() : 0;
  std::optional<std::uint64_t> backlog = 0;
  for (std::size_t i = 0; i < session_->streams().size(); ++i) {
    status.streams.push_back(stream_status(i));
    const auto bytes = status.streams.back().backlog_bytes;
    backlog = backlog && bytes ? std::optional(*backlog + *bytes) : std::nullopt;
  }
  if (backlog && (*backlog == 0 || window.rate() != 0)) {
    status.drain_s = *backlog == 0 ? 0 : *backlog / window.rate() + 1;
  }
  return status;
}

}  // namespace spillway::uplink
