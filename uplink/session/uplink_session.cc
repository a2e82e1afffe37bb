#include "uplink/session/uplink_session.h"

#include <algorithm>

#include "spillway/core/assert.h"

namespace spillway::uplink {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;

UplinkSession::UplinkSession(UplinkSessionOptions options, std::span<BlockSource* const> sources)
    : options_(std::move(options)), window_bytes_(options_.window_bytes) {
  SPILLWAY_ASSERT(sources.size() <= kStreamsMax);
  pumps_.reserve(sources.size());
  for (BlockSource* source : sources) {
    pumps_.emplace_back(static_cast<std::uint16_t>(pumps_.size()), *source);
  }
}

std::uint64_t UplinkSession::in_flight_bytes() const {
  std::uint64_t bytes = 0;
  for (const StreamPump& pump : pumps_) bytes += pump.in_flight_bytes();
  return bytes;
}

Error UplinkSession::close(Error error, bool tell) {
  state_ = UplinkState::kClosed;
  if (tell && !farewell_) {
    Refusal refusal = refusal_of(error);
    if (error.code == ErrorCode::kRefused) refusal.code = RefusalCode::kRolledBack;
    farewell_ = encode(refusal);
  }
  return error;
}

Result<Bytes> UplinkSession::on_open(std::uint64_t now_ns) {
  SPILLWAY_ASSERT(state_ == UplinkState::kNew);
  Hello hello{kProtocolVersion,    options_.gateway, options_.gateway_name, options_.uplink, {},
              options_.offers_zstd};
  for (StreamPump& pump : pumps_) {
    auto held = pump.describe();
    if (!held) return tl::unexpected(close(std::move(held).error(), false));
    hello.streams.push_back(std::move(*held));
  }
  state_ = UplinkState::kHelloSent;
  waiting_since_ns_ = now_ns;
  return encode(hello);
}

Result<void> UplinkSession::on_message(std::span<const std::byte> bytes, std::uint64_t now_ns) {
  if (state_ == UplinkState::kClosed) return {};
  auto message = decode(bytes);
  if (!message) return tl::unexpected(close(std::move(message).error(), true));
  waiting_since_ns_ = now_ns;
  auto outcome = handle(*message);
  if (!outcome) return tl::unexpected(close(std::move(outcome).error(), !peer_ended_));
  return {};
}

Result<void> UplinkSession::handle(const Message& message) {
  if (const auto* refusal = std::get_if<Refusal>(&message)) {
    peer_ended_ = true;
    return tl::unexpected(refused(*refusal));
  }
  if (const auto* welcome = std::get_if<Welcome>(&message)) {
    if (state_ == UplinkState::kHelloSent) return handle_welcome(*welcome);
    return fail(ErrorCode::kProtocol, "the consumer sent a Welcome that nobody asked for");
  }
  if (const auto* ack = std::get_if<Ack>(&message)) {
    if (state_ == UplinkState::kStreaming) return handle_ack(*ack);
    return fail(ErrorCode::kProtocol, "the consumer sent an Ack before its Welcome");
  }
  return fail(ErrorCode::kProtocol, "the consumer sent a message that only an uplink may send");
}

Result<void> UplinkSession::handle_welcome(const Welcome& welcome) {
  if (welcome.version != kProtocolVersion) {
    pause_ = Pause::kLong;
    return fail(ErrorCode::kNewerVersion, "the consumer speaks protocol version " +
                                              std::to_string(welcome.version) +
                                              ", this uplink version 1: update the older one");
  }
  if (welcome.streams.size() != pumps_.size()) {
    return fail(ErrorCode::kProtocol, "the consumer's Welcome does not answer for every stream");
  }
  for (std::size_t i = 0; i < pumps_.size(); ++i) {
    if (welcome.streams[i].stream != i) {
      return fail(ErrorCode::kProtocol, "the consumer's Welcome names streams in another order");
    }
    auto started = pumps_[i].start(welcome.streams[i], welcome.zstd && options_.offers_zstd);
    if (!started && started.error().code == ErrorCode::kRefused) pause_ = Pause::kLong;
    if (!started) return started;
  }
  window_bytes_ = std::min(options_.window_bytes, welcome.window_bytes);
  state_ = UplinkState::kStreaming;
  return {};
}

Result<void> UplinkSession::handle_ack(const Ack& ack) {
  if (ack.stream >= pumps_.size()) {
    return fail(ErrorCode::kProtocol, "the consumer acknowledged a stream that was never named");
  }
  StreamPump& pump = pumps_[ack.stream];
  const std::uint64_t before = pump.acked_offset();
  SPILLWAY_CHECKED(pump.acknowledge(ack));
  if (pump.acked_offset() > before) progressed_ = true;
  return {};
}

Error UplinkSession::refused(const Refusal& refusal) {
  const std::string text = refusal.text.empty() ? "no reason given" : refusal.text;
  fenced_ = refusal.code == RefusalCode::kFenced;
  switch (refusal.code) {
    case RefusalCode::kUnavailable:
      return {ErrorCode::kUnavailable, "the consumer asks to come back later: " + text};
    case RefusalCode::kFenced:
    case RefusalCode::kVersion:
    case RefusalCode::kRolledBack:
      pause_ = Pause::kLong;
      return {ErrorCode::kRefused, "the consumer ended the session: " + text};
    default:
      return {ErrorCode::kRefused, "the consumer refused what was sent: " + text};
  }
}

Result<std::optional<Bytes>> UplinkSession::pull(std::uint64_t now_ns) {
  if (state_ != UplinkState::kStreaming) return std::optional<Bytes>();
  const std::uint64_t in_flight = in_flight_bytes();
  if (in_flight != 0 && in_flight + kMessageBytesTarget > window_bytes_)
    return std::optional<Bytes>();
  auto message = pull_in_turn();
  if (!message) return tl::unexpected(close(std::move(message).error(), true));
  // The clock of the ack timeout starts when something is on its way again.
  if (*message && in_flight == 0) waiting_since_ns_ = now_ns;
  return message;
}

Result<std::optional<Bytes>> UplinkSession::pull_in_turn() {
  for (std::size_t tried = 0; tried < pumps_.size(); ++tried) {
    StreamPump& pump = pumps_[turn_];
    turn_ = (turn_ + 1) % pumps_.size();
    SPILLWAY_TRY(message, pump.pull());
    if (message) return std::move(message);
    if (pump.journal_ended() && in_flight_bytes() == 0) {
      pause_ = Pause::kNone;
      return fail(ErrorCode::kUnavailable,
                  "stream " + pump.name() + " goes on in a new journal: beginning a new session");
    }
  }
  return std::optional<Bytes>();
}

Result<void> UplinkSession::on_tick(std::uint64_t now_ns) {
  if (now_ns < waiting_since_ns_) return {};
  const std::uint64_t waited_ns = now_ns - waiting_since_ns_;
  if (state_ == UplinkState::kHelloSent && waited_ns > options_.welcome_timeout_ns) {
    return tl::unexpected(
        close({ErrorCode::kUnavailable, "the consumer did not answer the Hello in time"}, true));
  }
  if (state_ == UplinkState::kStreaming && in_flight_bytes() != 0 &&
      waited_ns > options_.ack_timeout_ns) {
    return tl::unexpected(
        close({ErrorCode::kUnavailable, "the consumer acknowledged nothing for too long"}, true));
  }
  return {};
}

}  // namespace spillway::uplink
