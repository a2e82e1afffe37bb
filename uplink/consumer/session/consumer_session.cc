#include "uplink/consumer/session/consumer_session.h"

#include <algorithm>
#include <set>

#include "spillway/core/assert.h"

namespace spillway::consumer {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;
using uplink::Refusal;
using uplink::RefusalCode;

namespace {

const core::Uuid& gateway_of(const uplink::HeldStream& stream, const uplink::Hello& hello) {
  return stream.gateway.is_nil() ? hello.gateway : stream.gateway;
}

Result<void> check_hello(const uplink::Hello& hello) {
  if (hello.version == 0 || hello.gateway.is_nil() || hello.streams.empty()) {
    return fail(ErrorCode::kProtocol, "a Hello without a version, a gateway or a stream");
  }
  std::set<std::pair<core::Uuid, std::string_view>> named;
  for (const uplink::HeldStream& stream : hello.streams) {
    const bool is_new = named.emplace(gateway_of(stream, hello), stream.name).second;
    if (stream.name.empty() || !is_new) {
      return fail(ErrorCode::kProtocol, "a Hello that names a stream twice, or not at all");
    }
    for (std::size_t i = 1; i < stream.journals.size(); ++i) {
      if (stream.journals[i - 1].sequence < stream.journals[i].sequence) continue;
      return fail(ErrorCode::kProtocol, "a Hello with journals out of order");
    }
  }
  return {};
}

}  // namespace

ConsumerSession::ConsumerSession(ConsumerSessionOptions options) : options_(std::move(options)) {
  if (options_.unpacker == nullptr) options_.unpacker = std::make_shared<MessageUnpacker>();
}

Error ConsumerSession::close(Error error, std::optional<Refusal> refusal) {
  if (state_ != ConsumerState::kClosed && refusal && !peer_ended_) {
    output_.push_back(uplink::encode(*refusal));
  }
  state_ = ConsumerState::kClosed;
  return error;
}

Result<void> ConsumerSession::on_message(std::shared_ptr<const uplink::Bytes> bytes,
                                         std::uint64_t utc_ns) {
  if (state_ == ConsumerState::kClosed) return {};
  SPILLWAY_ASSERT(!batch_ && !query_);  // the shell takes them after each message
  auto outcome = [&]() -> Result<void> {
    SPILLWAY_TRY(message, uplink::decode(*bytes));
    return handle(message, bytes);
  }();
  if (!outcome) {
    Refusal refusal = uplink::refusal_of(outcome.error());
    if (outcome.error().code == ErrorCode::kRefused) refusal.code = RefusalCode::kNotAllowed;
    return tl::unexpected(close(std::move(outcome).error(), refusal));
  }
  if (batch_) batch_->received_at_ns = utc_ns;
  return {};
}

Result<void> ConsumerSession::handle(const uplink::Message& message,
                                     std::shared_ptr<const uplink::Bytes> bytes) {
  if (const auto* refusal = std::get_if<Refusal>(&message)) {
    peer_ended_ = true;
    return fail(ErrorCode::kRefused, "the uplink ended the session: " + refusal->text);
  }
  if (const auto* hello = std::get_if<uplink::Hello>(&message)) {
    if (state_ == ConsumerState::kNew) return handle_hello(*hello);
    return fail(ErrorCode::kProtocol, "the uplink sent a second Hello");
  }
  if (state_ != ConsumerState::kStreaming) {
    return fail(ErrorCode::kProtocol, "the uplink sent something else than a Hello first");
  }
  if (const auto* dictionary = std::get_if<uplink::DictionaryMessage>(&message)) {
    SPILLWAY_CHECKED(check_short_form());
    SPILLWAY_TRY(stream, stream_of(dictionary->stream));
    return stream->learn(*dictionary, *options_.unpacker);
  }
  SPILLWAY_TRY(batch, batch_of(message, std::move(bytes)));
  batch_ = std::move(batch);
  return {};
}

Result<InboxBatch> ConsumerSession::batch_of(const uplink::Message& message,
                                             std::shared_ptr<const uplink::Bytes> bytes) {
  if (const auto* blocks = std::get_if<uplink::Blocks>(&message)) {
    SPILLWAY_TRY(stream, stream_of(blocks->stream));
    return stream->accept(*blocks, std::move(bytes));
  }
  if (const auto* blocks = std::get_if<uplink::ShortBlocks>(&message)) {
    SPILLWAY_CHECKED(check_short_form());
    SPILLWAY_TRY(stream, stream_of(blocks->stream));
    return stream->accept(*blocks, *options_.unpacker);
  }
  if (const auto* gap = std::get_if<uplink::GapMessage>(&message)) {
    SPILLWAY_TRY(stream, stream_of(gap->stream));
    return stream->accept(*gap);
  }
  return fail(ErrorCode::kProtocol, "the uplink sent a message that only a consumer may send");
}

Result<void> ConsumerSession::check_short_form() const {
  if (short_form_) return {};
  return fail(ErrorCode::kProtocol,
              "the uplink sent a short form, which Hello or Welcome rule out");
}

Result<StreamIntake*> ConsumerSession::stream_of(std::uint16_t index) {
  if (index < streams_.size()) return &streams_[index];
  return fail(ErrorCode::kProtocol, "the uplink sent data of a stream that its Hello did not name");
}

/// Whoever may bring other gateways' streams could bring anything in their name.
Result<void> ConsumerSession::check_relayed(const uplink::Hello& hello) const {
  const auto foreign =
      std::find_if(hello.streams.begin(), hello.streams.end(),
                   [&](const auto& stream) { return gateway_of(stream, hello) != hello.gateway; });
  if (foreign == hello.streams.end()) return {};
  const auto names_it = [&](const std::string& relay) {
    return relay == hello.gateway.text() || relay == hello.gateway_name;
  };
  if (std::any_of(options_.relays.begin(), options_.relays.end(), names_it)) return {};
  return fail(ErrorCode::kRefused,
              "gateway " + hello.gateway_name + " (" + hello.gateway.text() +
                  ") brings streams of another gateway (" + foreign->gateway.text() +
                  ") and is no relay here: add its id or name to relays in [consumer]");
}

Result<void> ConsumerSession::handle_hello(const uplink::Hello& hello) {
  SPILLWAY_CHECKED(check_hello(hello));
  SPILLWAY_CHECKED(check_relayed(hello));
  gateway_ = hello.gateway;
  gateway_name_ = hello.gateway_name;
  uplink_name_ = hello.uplink;
  zstd_ = hello.zstd && options_.takes_zstd;
  short_form_ = hello.short_form >= uplink::kShortForm && options_.takes_short_form;
  PositionQuery query;
  for (const uplink::HeldStream& held : hello.streams) {
    const core::Uuid& gateway = gateway_of(held, hello);
    const std::string& name = held.gateway.is_nil() ? hello.gateway_name : held.gateway_name;
    streams_.emplace_back(gateway, static_cast<std::uint16_t>(streams_.size()), held, zstd_,
                          options_.rules);
    if (options_.keeps_blocks) streams_.back().keep_blocks();
    for (const core::JournalRange& range : held.journals) {
      query.keys.push_back(
          {gateway, range.journal, held.name, range.sequence, range.first_offset, name});
    }
  }
  query_ = std::move(query);
  state_ = ConsumerState::kLookup;
  return {};
}

Result<void> ConsumerSession::on_positions(const Result<Positions>& positions) {
  if (state_ != ConsumerState::kLookup) return {};
  if (!positions) return tl::unexpected(on_failed(positions.error()));
  uplink::Welcome welcome;
  welcome.window_bytes = options_.window_bytes;
  welcome.zstd = zstd_;
  welcome.short_form = short_form_ ? uplink::kShortForm : 0;
  std::size_t at = 0;
  for (StreamIntake& stream : streams_) {
    uplink::WantedStream wanted{static_cast<std::uint16_t>(welcome.streams.size()), {}, {}};
    if (short_form_) wanted.dictionaries = stream.recall(*options_.unpacker);
    for (std::size_t i = 0; i < stream.journals().size(); ++i, ++at) {
      SPILLWAY_ASSERT(at < positions->size());
      const StoredPosition from = stream.set_position(i, (*positions)[at]);
      wanted.journals.push_back({stream.journals()[i].journal, from.next_offset, from.last_record});
    }
    welcome.streams.push_back(std::move(wanted));
  }
  output_.push_back(uplink::encode(welcome));
  state_ = ConsumerState::kStreaming;
  return {};
}

void ConsumerSession::on_committed(const InboxBatch& batch) {
  if (state_ != ConsumerState::kStreaming || !batch.ack_offset) return;
  // The short form has no room for verdicts, which are few.
  if (short_form_ && batch.dead.empty()) {
    const std::size_t journal = streams_[batch.stream_index].place_of(batch.key.journal);
    output_.push_back(
        uplink::encode(uplink::ShortAck{batch.stream_index, journal, *batch.ack_offset}));
    return;
  }
  uplink::Ack ack{batch.stream_index, batch.key.journal, *batch.ack_offset, batch.dead.size(), {}};
  for (const InboxDead& dead : batch.dead) {
    if (ack.verdicts.size() == uplink::kVerdictsPerAck) break;
    ack.verdicts.push_back({dead.offset, dead.reason, true});
  }
  output_.push_back(uplink::encode(ack));
}

Error ConsumerSession::on_failed(const Error& error, std::uint64_t retry_after_ms) {
  // The peer hears that it may come back; what failed here is this machine's affair and stands in
  // its log.
  return close(error, Refusal{RefusalCode::kUnavailable, "the inbox cannot take records now",
                              retry_after_ms});
}

Error ConsumerSession::end(RefusalCode code, const std::string& text,
                           std::uint64_t retry_after_ms) {
  return close({ErrorCode::kRefused, text}, Refusal{code, text, retry_after_ms});
}

std::optional<uplink::Bytes> ConsumerSession::take_output() {
  if (output_.empty()) return {};
  uplink::Bytes message = std::move(output_.front());
  output_.pop_front();
  return message;
}

std::optional<PositionQuery> ConsumerSession::take_query() { return std::exchange(query_, {}); }

std::optional<InboxBatch> ConsumerSession::take_batch() { return std::exchange(batch_, {}); }

}  // namespace spillway::consumer
