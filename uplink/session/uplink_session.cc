#include "uplink/session/uplink_session.h"

#include <algorithm>

#include "spillway/core/assert.h"

namespace spillway::uplink {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

/// A message is at most this part of the window, so that several are on their way.
constexpr std::uint64_t kMessagesAWindow = 8;
/// So many messages' room is kept for live data.
constexpr std::uint64_t kLiveMessages = 2;
constexpr std::uint64_t kLiveBytesMin = 4U << 10;
/// However well a stream compresses, a message does not hold more of it for each byte on the wire.
constexpr double kBlocksPerByteMax = 16;

double smoothed(double mean, double measured) { return (7 * mean + measured) / 8; }

std::vector<StreamShare> shares_of(const UplinkSessionOptions& options, std::size_t streams) {
  std::vector<StreamShare> shares = options.shares;
  shares.resize(streams);
  return shares;
}

}  // namespace

UplinkSession::UplinkSession(UplinkSessionOptions options, std::span<BlockSource* const> sources)
    : options_(std::move(options)),
      window_bytes_(options_.window_bytes),
      scheduler_(shares_of(options_, sources.size())),
      send_window_(options_.window_bytes, options_.rate_limit_bytes_per_s),
      lanes_(sources.size()) {
  SPILLWAY_ASSERT(sources.size() <= kStreamsMax);
  pumps_.reserve(sources.size());
  for (BlockSource* source : sources) {
    pumps_.emplace_back(static_cast<std::uint16_t>(pumps_.size()), *source);
    pumps_.back().gather(options_.gather_ns);
  }
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
  Hello hello{kProtocolVersion,
              options_.gateway,
              options_.gateway_name,
              options_.uplink,
              {},
              options_.offers_zstd,
              options_.offers_short_form ? kShortForm : std::uint8_t{0}};
  for (StreamPump& pump : pumps_) {
    auto held = pump.describe();
    if (!held) return tl::unexpected(close(std::move(held).error(), false));
    hello.streams.push_back(std::move(*held));
  }
  state_ = UplinkState::kHelloSent;
  waiting_since_ns_ = now_ns;
  silent_since_ns_ = now_ns;
  hello_sent_ns_ = now_ns;
  Bytes message = encode_within_bounds(hello);
  // It knows none but those that are sent.
  if (left_out_ != 0) scheduler_ = StreamScheduler(shares_of(options_, pumps_.size()));
  return message;
}

/// Of a relay with thousands of streams: what a gateway is called is left out first, then streams.
Bytes UplinkSession::encode_within_bounds(Hello& hello) {
  std::size_t held = hello.streams.size();
  for (const HeldStream& stream : hello.streams) held += stream.journals.size();
  const auto leave_last_out = [&] {
    held -= 1 + hello.streams.back().journals.size();
    hello.streams.pop_back();
    pumps_.pop_back();
    ++left_out_;
  };
  while (held > kHeldMax && hello.streams.size() > 1) leave_last_out();
  Bytes message = encode(hello);
  if (message.size() <= kControlBytesMax) return message;
  for (HeldStream& stream : hello.streams) stream.gateway_name.clear();
  message = encode(hello);
  while (message.size() > kControlBytesMax && hello.streams.size() > 1) {
    for (std::size_t n = hello.streams.size() / 8 + 1; n > 0 && hello.streams.size() > 1; --n) {
      leave_last_out();
    }
    message = encode(hello);
  }
  return message;
}

Result<void> UplinkSession::on_message(std::span<const std::byte> bytes, std::uint64_t now_ns) {
  if (state_ == UplinkState::kClosed) return {};
  auto message = decode(bytes);
  if (!message) return tl::unexpected(close(std::move(message).error(), true));
  waiting_since_ns_ = now_ns;
  silent_since_ns_ = now_ns;
  auto outcome = handle(*message, now_ns);
  if (!outcome) return tl::unexpected(close(std::move(outcome).error(), !peer_ended_));
  return {};
}

Result<void> UplinkSession::handle(const Message& message, std::uint64_t now_ns) {
  if (const auto* refusal = std::get_if<Refusal>(&message)) {
    peer_ended_ = true;
    return tl::unexpected(refused(*refusal));
  }
  if (const auto* welcome = std::get_if<Welcome>(&message)) {
    if (state_ == UplinkState::kHelloSent) {
      send_window_.on_round_trip(now_ns - std::min(now_ns, hello_sent_ns_), now_ns);
      return handle_welcome(*welcome);
    }
    return fail(ErrorCode::kProtocol, "the consumer sent a Welcome that nobody asked for");
  }
  if (const auto* ack = std::get_if<Ack>(&message)) {
    if (state_ == UplinkState::kStreaming) return handle_ack(*ack, now_ns);
    return fail(ErrorCode::kProtocol, "the consumer sent an Ack before its Welcome");
  }
  if (const auto* ack = std::get_if<ShortAck>(&message)) {
    if (state_ == UplinkState::kStreaming && short_form_) return handle_ack(*ack, now_ns);
    return fail(ErrorCode::kProtocol, "the consumer sent a short Ack that was not agreed on");
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
  short_form_ = options_.offers_short_form && welcome.short_form == kShortForm;
  const PeerTakes takes{welcome.zstd && options_.offers_zstd, short_form_};
  for (std::size_t i = 0; i < pumps_.size(); ++i) {
    if (welcome.streams[i].stream != i) {
      return fail(ErrorCode::kProtocol, "the consumer's Welcome names streams in another order");
    }
    auto started = pumps_[i].start(welcome.streams[i], takes);
    if (!started && started.error().code == ErrorCode::kRefused) pause_ = Pause::kLong;
    if (!started) return started;
  }
  window_bytes_ = std::min(options_.window_bytes, welcome.window_bytes);
  state_ = UplinkState::kStreaming;
  return {};
}

template <typename AnyAck>
Result<void> UplinkSession::handle_ack(const AnyAck& ack, std::uint64_t now_ns) {
  if (ack.stream >= pumps_.size()) {
    return fail(ErrorCode::kProtocol, "the consumer acknowledged a stream that was never named");
  }
  StreamPump& pump = pumps_[ack.stream];
  const std::uint64_t before = pump.acked_offset();
  const std::uint64_t in_flight = pump.in_flight_bytes();
  SPILLWAY_CHECKED(pump.acknowledge(ack));
  in_flight_bytes_ -= in_flight - pump.in_flight_bytes();
  // A relayed stream's next journal may begin below the end of the one before.
  if (pump.acked_offset() > before || pump.in_flight_bytes() < in_flight) progressed_ = true;
  note_acknowledged(ack.stream, now_ns);
  return {};
}

Error UplinkSession::refused(const Refusal& refusal) {
  const std::string text = refusal.text.empty() ? "no reason given" : refusal.text;
  fenced_ = refusal.code == RefusalCode::kFenced;
  retry_after_ns_ = refusal.retry_after_ms * 1'000'000;
  switch (refusal.code) {
    case RefusalCode::kUnavailable:
      return {ErrorCode::kUnavailable, "the consumer asks to come back later: " + text};
    case RefusalCode::kNotAllowed:
      pause_ = Pause::kLong;
      return {ErrorCode::kRefused, "the consumer does not let this gateway in: " + text};
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
  const bool idle = in_flight_bytes() == 0;
  auto message = pull_or_renew(now_ns);
  if (!message) return tl::unexpected(close(std::move(message).error(), true));
  // The clock of the ack timeout starts when something is on its way again.
  if (*message && idle) {
    waiting_since_ns_ = now_ns;
    silent_since_ns_ = now_ns;
  }
  return message;
}

/// Nothing: the window is full, of our own measure or of the far end's.
std::optional<Admission> UplinkSession::admission() const {
  const std::uint64_t in_flight = in_flight_bytes();
  if (in_flight == 0) return Admission::kAll;
  const std::uint64_t message =
      std::min<std::uint64_t>(window_bytes_ / kMessagesAWindow, kMessageBytesTarget);
  if (in_flight + message > window_bytes_ || !send_window_.admits_live()) return {};
  const bool room = in_flight + (1 + kLiveMessages) * message <= window_bytes_;
  return room && send_window_.admits_backlog() ? Admission::kAll : Admission::kLiveOnly;
}

std::uint64_t UplinkSession::blocks_target(std::size_t stream) const {
  const double blocks = static_cast<double>(send_window_.message_bytes()) *
                        std::min(lanes_[stream].blocks_per_byte, kBlocksPerByteMax);
  return std::min<std::uint64_t>(static_cast<std::uint64_t>(blocks),
                                 std::max<std::uint64_t>(window_bytes_ / kMessagesAWindow, 1));
}

/// One message is always allowed.
std::uint64_t UplinkSession::room_bytes() const {
  const std::uint64_t in_flight = in_flight_bytes();
  return in_flight == 0 ? StreamPump::kUnbounded
                        : window_bytes_ - std::min(window_bytes_, in_flight);
}

Result<std::optional<Bytes>> UplinkSession::pull_in_turn(std::uint64_t now_ns) {
  const auto admitted = admission();
  if (!admitted) return std::optional<Bytes>();
  scheduler_.set_live_bytes(
      std::max<std::uint64_t>(2 * send_window_.message_bytes(), kLiveBytesMin));
  scheduler_.begin();
  while (const auto stream = scheduler_.next(*admitted)) {
    StreamPump& pump = pumps_[*stream];
    const std::uint64_t before = pump.in_flight_bytes();
    const std::uint64_t offset = pump.sent_offset();
    pump.tell_time(now_ns);
    SPILLWAY_TRY(message, pump.pull(blocks_target(*stream), room_bytes()));
    in_flight_bytes_ += pump.in_flight_bytes() - before;
    if (pump.journal_ended()) ended_ = *stream;
    if (message) {
      const std::uint64_t records = pump.sent_offset() - std::min(offset, pump.sent_offset());
      note_sent(*stream, {message->size(), pump.in_flight_bytes() - before, records}, now_ns);
      return std::move(message);
    }
    if (pump.waits_for_room()) return std::optional<Bytes>();
    scheduler_.found_empty(*stream);
  }
  if (*admitted == Admission::kAll) send_window_.on_starved();
  return std::optional<Bytes>();
}

/// A message of declarations alone is never acknowledged: it is not on its way.
void UplinkSession::note_sent(std::size_t stream, const Pulled& pulled, std::uint64_t now_ns) {
  scheduler_.sent(stream, pulled.bytes);
  if (pulled.blocks == 0) return;
  Lane& lane = lanes_[stream];
  lane.sent.push_back(send_window_.on_sent(pulled.bytes, now_ns));
  const auto bytes = static_cast<double>(pulled.bytes);
  lane.blocks_per_byte = smoothed(lane.blocks_per_byte, static_cast<double>(pulled.blocks) / bytes);
  if (pulled.records == 0) return;
  const double measured = bytes / static_cast<double>(pulled.records);
  lane.bytes_per_record =
      lane.bytes_per_record == 0 ? measured : smoothed(lane.bytes_per_record, measured);
}

void UplinkSession::note_acknowledged(std::size_t stream, std::uint64_t now_ns) {
  std::deque<Flight>& sent = lanes_[stream].sent;
  while (sent.size() > pumps_[stream].in_flight_messages()) {
    send_window_.on_acknowledged(sent.front(), now_ns);
    sent.pop_front();
  }
}

std::uint64_t UplinkSession::silent_ns(std::uint64_t now_ns) const {
  const bool waits = state_ == UplinkState::kHelloSent ||
                     (state_ == UplinkState::kStreaming && in_flight_bytes() != 0);
  return waits && now_ns > silent_since_ns_ ? now_ns - silent_since_ns_ : 0;
}

Result<std::optional<Bytes>> UplinkSession::pull_or_renew(std::uint64_t now_ns) {
  SPILLWAY_TRY(renewing, is_renewing());
  if (renewing) return std::optional<Bytes>();
  SPILLWAY_TRY(message, pull_in_turn(now_ns));
  // What was just read may have told that a journal has ended.
  if (!message) SPILLWAY_CHECKED(is_renewing());
  return std::move(message);
}

/// Nothing more is sent then, so that what is on its way comes to an end, however busy other streams
/// are; once it has, the session ends.
Result<bool> UplinkSession::is_renewing() {
  if (!ended_ && !renewing_) return false;
  if (in_flight_bytes() != 0) return true;
  pause_ = Pause::kNone;
  return fail(ErrorCode::kUnavailable,
              ended_ ? "stream " + pumps_[*ended_].name() +
                           " goes on in a new journal: beginning a new session"
                     : "there are other streams now: beginning a new session");
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
