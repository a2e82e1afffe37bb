// What an uplink to an engine tells of itself: the same as one to a consumer, as far as it knows.
#include <algorithm>
#include <array>

#include "uplink/daemon/sink_runner.h"

namespace spillway::uplink {

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

}  // namespace

void SinkRunner::note_rate() {
  const std::uint64_t bytes = link_.sent_bytes();
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

LinkStatus SinkRunner::link_status() {
  const core::LinkConfig& config = link_.config();
  LinkStatus status;
  status.name = config.name;
  status.url = config.url;
  status.error = error_;
  status.sent_bytes = link_.sent_bytes();
  status.rate_limit_bytes_per_s = config.rate_limit_bytes_per_s;
  const Hindrance hindrance = link_.hindrance();
  const std::uint64_t now_ns = env_.boottime_ns();
  // To the second: a time that trembles would have the file written anew each second.
  const auto utc_in = [this](std::uint64_t wait_ns) {
    return (env_.utc_ns() + wait_ns + kSecondNs / 2) / kSecondNs * kSecondNs;
  };
  if (session_) {
    status.state = "in use";
  } else if (state_ == State::kConnecting) {
    status.state = "tried";
  } else if (hindrance.kind != Hindrance::Kind::kNone) {
    status.state = "outside its windows";
    status.until_utc_ns = utc_in(hindrance.wait_ns);
  } else {
    status.state = "waiting";
    if (retry_at_ns_ > now_ns) status.until_utc_ns = utc_in(retry_at_ns_ - now_ns);
  }
  return status;
}

StreamStatus SinkRunner::stream_status(std::size_t index) {
  StreamSource& source = *spill_.list()[index];
  StreamStatus status;
  if (source.origin() != nullptr) status.stream = source.origin()->gateway_name + "/";
  status.stream += source.name();
  if (const auto& cursor = source.cursor()) {
    status.journal = cursor->journal.text();
    status.acked_offset = cursor->next_offset;
  }
  const bool known = session_ && index < session_->streams();
  status.sent_offset = known ? session_->sent_offset(index) : status.acked_offset;
  status.live = known && session_->is_live(index);
  const Refused refused = source.refused();
  status.dead_letters = refused.kept_here;
  status.refused_reason = refused.reason;
  const auto control = source.control();
  if (!control) return status;
  const std::uint64_t end = control->next_offset();
  const std::uint64_t records = end - std::min(end, status.acked_offset);
  status.backlog_records = records;
  const double bytes_per_record = known ? session_->bytes_per_record(index) : 0;
  if (records == 0 || bytes_per_record != 0) {
    status.backlog_bytes =
        static_cast<std::uint64_t>(static_cast<double>(records) * bytes_per_record);
  }
  return status;
}

UplinkStatus SinkRunner::status() {
  static constexpr std::array<const char*, 6> kNames{
      "waiting for the agent", "offline", "connecting", "connected", "blocked", "stopped"};
  UplinkStatus status;
  status.name = config_.name;
  status.state = kNames[static_cast<std::size_t>(state_)];
  status.url = config_.url;
  status.error = error_;
  status.since_utc_ns = since_utc_ns_;
  status.connections = connections_;
  status.reopened = reopened_;
  status.network_events = network_events_.load();
  status.cursor_error = spill_.cursor_error();
  status.bytes_per_s = rate_bytes_per_s_;
  status.links.push_back(link_status());
  const LinkStatus& link = status.links.front();
  if (link.state == "in use" || link.state == "tried") status.link = link.name;
  status.until_utc_ns = link.until_utc_ns;
  if (state_ == State::kOffline && link.state == "outside its windows") status.state = link.state;
  std::optional<std::uint64_t> backlog = 0;
  for (std::size_t i = 0; i < spill_.list().size(); ++i) {
    status.streams.push_back(stream_status(i));
    const auto bytes = status.streams.back().backlog_bytes;
    backlog = backlog && bytes ? std::optional(*backlog + *bytes) : std::nullopt;
  }
  if (!session_) return status;
  status.window_bytes = config_.window_bytes;
  status.in_flight_bytes = session_->in_flight_bytes();
  if (const std::string letters = session_->letters_error(); !letters.empty()) {
    status.error = letters;
  }
  if (backlog && (*backlog == 0 || rate_bytes_per_s_ != 0)) {
    status.drain_s = *backlog == 0 ? 0 : *backlog / rate_bytes_per_s_ + 1;
  }
  return status;
}

}  // namespace spillway::uplink
