#include "uplink/sinks/rabbitmq/rabbitmq_sink.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <charconv>

#include "spillway/core/secret_file.h"
#include "uplink/sinks/message_name.h"

namespace spillway::uplink {

namespace {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;

constexpr std::uint64_t kSecondNs = 1'000'000'000;
/// More is not left in the socket: the broker is not reading.
constexpr std::uint64_t kUnsentBytesMax = 128ULL << 10;
/// The socket is looked at once for so many bytes; what is larger waits until it is empty.
constexpr std::uint64_t kLookBytes = 64ULL << 10;
/// A message that is larger than that may take so long to go out.
constexpr unsigned kLargeMessageMs = 30'000;
constexpr std::size_t kShortTextBytesMax = 255;
/// Frames that one collect() takes, so that it comes back.
constexpr int kFramesMax = 10'000;
constexpr std::uint8_t kPersistent = 2;
/// What frames and headers add to a message, about.
constexpr std::uint64_t kAroundBytes = 1024;

std::string_view cut(std::string_view text) { return text.substr(0, kShortTextBytesMax); }

/// As a topic exchange wants it.
void write_words(std::string_view topic, std::string& key) {
  for (const char c : topic) key += c == '/' ? '.' : c;
}

/// "message size 2097152 is larger than configured max size 1048576": the last number.
std::uint64_t last_number(std::string_view text) {
  const std::size_t end = text.find_last_of("0123456789");
  if (end == std::string_view::npos) return 0;
  const std::size_t before = text.find_last_not_of("0123456789", end);
  const std::string_view digits = text.substr(before + 1, end - before);
  std::uint64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

}  // namespace

std::string routing_key_of(const std::string& pattern, const Envelope& envelope) {
  return fill_in(pattern, envelope, write_words);
}

RabbitmqSink::RabbitmqSink(const core::UplinkConfig& config)
    : config_(config), connection_(config_) {}

Result<void> RabbitmqSink::connect(std::uint64_t timeout_ns) {
  confirms_.clear();
  refused_.clear();
  return_.reset();
  blocked_.clear();
  unlooked_bytes_ = kLookBytes;
  if (!keeps_bytes_max_) message_bytes_max_ = 0;
  keeps_bytes_max_ = false;
  SPILLWAY_CHECKED(connection_.open(timeout_ns));
  const std::string& exchange = config_.engine.rabbitmq.exchange;
  amqp_exchange_declare(connection_.state(), kAmqpChannel, amqp_text(exchange), amqp_text("topic"),
                        1, 1, 0, 0, amqp_empty_table);
  auto there = connection_.reply("for exchange " + exchange);
  if (there) {
    amqp_confirm_select(connection_.state(), kAmqpChannel);
    there = connection_.reply("to confirm what is published");
  }
  if (there) return {};
  Error error = std::move(there).error();
  if (error.code == ErrorCode::kNotFound) {
    error.message += ": `spillway sink setup " + config_.name + "` makes it";
  }
  connection_.close();
  return tl::unexpected(std::move(error));
}

void RabbitmqSink::disconnect() {
  connection_.close();
  blocked_.clear();
}

// --- what goes out ---

/// Data that the broker does not read stays in the socket, and the library would wait for it.
bool RabbitmqSink::socket_has_room(std::uint64_t bytes) {
  unlooked_bytes_ += bytes;
  if (unlooked_bytes_ < kLookBytes) return true;
  int unsent = 0;
  if (::ioctl(connection_.socket(), SIOCOUTQ, &unsent) != 0) return true;
  const auto left = static_cast<std::uint64_t>(std::max(unsent, 0));
  const bool room = bytes > kLookBytes ? left == 0 : left < kUnsentBytesMax;
  unlooked_bytes_ = room ? bytes : kLookBytes;
  return room;
}

/// The kernel gives the connection up if the broker takes nothing of a large message for so long.
void RabbitmqSink::bound_the_wait(std::uint64_t bytes) const {
  const unsigned timeout_ms = bytes > kLookBytes ? kLargeMessageMs : 0;
  ::setsockopt(connection_.socket(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
               sizeof(timeout_ms));
}

Result<Offered> RabbitmqSink::offer(const SinkMessage& message) {
  if (!connection_.is_open()) {
    return fail(ErrorCode::kUnavailable, connection_.prefix() + "not connected");
  }
  const std::uint64_t bytes = message.payload.size();
  if (message_bytes_max_ != 0 && bytes > message_bytes_max_) {
    refused_.push_back({message.ticket, SinkOutcome::Kind::kRefused,
                        "too large: " + std::to_string(bytes) +
                            " bytes, and the broker takes no message above " +
                            std::to_string(message_bytes_max_) + " (max_message_size)"});
    return Offered::kTaken;
  }
  if (!blocked_.empty() || !socket_has_room(bytes + kAroundBytes)) return Offered::kFull;
  SPILLWAY_CHECKED(publish(message));
  return Offered::kTaken;
}

void RabbitmqSink::fill_properties(const SinkMessage& message) {
  const Envelope& envelope = *message.envelope;
  headers_ = write_envelope(envelope);
  entries_.resize(headers_.size());
  for (std::size_t i = 0; i < headers_.size(); ++i) {
    entries_[i].key = amqp_text(headers_[i].first);
    entries_[i].value.kind = AMQP_FIELD_KIND_UTF8;
    entries_[i].value.value.bytes = amqp_text(headers_[i].second);
  }
  message_id_ = cut(message_id(envelope));
  properties_ = {};
  properties_._flags = AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                       AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_APP_ID_FLAG;
  properties_.headers = {static_cast<int>(entries_.size()), entries_.data()};
  properties_.delivery_mode = kPersistent;
  properties_.message_id = amqp_text(message_id_);
  properties_.app_id = amqp_text("spillway");
  if (!message.content_type.empty()) {
    properties_._flags |= AMQP_BASIC_CONTENT_TYPE_FLAG;
    properties_.content_type = amqp_text(message.content_type);
  }
  if (envelope.utc_ns) {
    properties_._flags |= AMQP_BASIC_TIMESTAMP_FLAG;
    properties_.timestamp = *envelope.utc_ns / kSecondNs;
  }
}

Result<void> RabbitmqSink::publish(const SinkMessage& message) {
  fill_properties(message);
  const core::RabbitmqConfig& rabbitmq = config_.engine.rabbitmq;
  const std::string key = routing_key_of(rabbitmq.routing_key, *message.envelope);
  const std::uint64_t bytes = message.payload.size();
  const bool is_large = bytes + kAroundBytes > kLookBytes;
  if (is_large) bound_the_wait(bytes);
  const amqp_bytes_t body{bytes, const_cast<std::byte*>(message.payload.data())};
  const int status =
      amqp_basic_publish(connection_.state(), kAmqpChannel, amqp_text(rabbitmq.exchange),
                         amqp_text(cut(key)), 1, 0, &properties_, body);
  if (status != AMQP_STATUS_OK) {
    return tl::unexpected(connection_.lost(status, "to take a message"));
  }
  if (is_large) bound_the_wait(0);
  confirms_.published(message.ticket, message_id_, bytes);
  return {};
}

// --- what comes back ---

Result<void> RabbitmqSink::collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) {
  outcomes.insert(outcomes.end(), std::make_move_iterator(refused_.begin()),
                  std::make_move_iterator(refused_.end()));
  refused_.clear();
  if (!connection_.is_open()) {
    return fail(ErrorCode::kUnavailable, connection_.prefix() + "not connected");
  }
  if (!outcomes.empty()) wait_ns = 0;
  for (int i = 0; i < kFramesMax; ++i) {
    amqp_frame_t frame;
    SPILLWAY_TRY(any, wait_frame(wait_ns, frame));
    if (!any) break;
    SPILLWAY_CHECKED(handle(frame, outcomes));
    amqp_maybe_release_buffers(connection_.state());
    wait_ns = 0;
  }
  return {};
}

Result<bool> RabbitmqSink::wait_frame(std::uint64_t wait_ns, amqp_frame_t& frame) {
  timeval wait{};
  wait.tv_sec = static_cast<time_t>(wait_ns / kSecondNs);
  wait.tv_usec = static_cast<suseconds_t>(wait_ns % kSecondNs / 1000);
  const int status = amqp_simple_wait_frame_noblock(connection_.state(), &frame, &wait);
  if (status == AMQP_STATUS_TIMEOUT) return false;
  if (status == AMQP_STATUS_OK) return true;
  return tl::unexpected(connection_.lost(status, "what it has stored"));
}

Result<void> RabbitmqSink::handle(const amqp_frame_t& frame, std::vector<SinkOutcome>& outcomes) {
  if (frame.frame_type == AMQP_FRAME_METHOD) return handle_method(frame.payload.method, outcomes);
  if (return_) handle_returned(frame);
  return {};
}

Result<void> RabbitmqSink::handle_method(const amqp_method_t& method,
                                         std::vector<SinkOutcome>& outcomes) {
  switch (method.id) {
    case AMQP_BASIC_ACK_METHOD: {
      const auto* ack = static_cast<const amqp_basic_ack_t*>(method.decoded);
      auto confirmed = confirms_.confirmed(ack->delivery_tag, ack->multiple != 0, outcomes);
      if (confirmed) return {};
      return fail(confirmed.error().code, connection_.prefix() + confirmed.error().message);
    }
    case AMQP_BASIC_NACK_METHOD:
      return tl::unexpected(not_taken());
    case AMQP_BASIC_RETURN_METHOD: {
      const auto* returned = static_cast<const amqp_basic_return_t*>(method.decoded);
      return_ = Return{"unroutable: no queue is bound to exchange " + text_of(returned->exchange) +
                           " for " + text_of(returned->routing_key) + " (" +
                           text_of(returned->reply_text) + ")",
                       {},
                       0,
                       false};
      return {};
    }
    case AMQP_CONNECTION_BLOCKED_METHOD: {
      const auto* blocked = static_cast<const amqp_connection_blocked_t*>(method.decoded);
      blocked_ = connection_.prefix() +
                 "the broker has no room (connection.blocked: " + text_of(blocked->reason) + ")";
      return {};
    }
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
      blocked_.clear();
      return {};
    case AMQP_CHANNEL_CLOSE_METHOD:
      return tl::unexpected(
          channel_closed(*static_cast<const amqp_channel_close_t*>(method.decoded)));
    case AMQP_CONNECTION_CLOSE_METHOD:
      return tl::unexpected(
          connection_.closed_by(*static_cast<const amqp_connection_close_t*>(method.decoded)));
    default:
      return {};
  }
}

void RabbitmqSink::handle_returned(const amqp_frame_t& frame) {
  if (frame.frame_type == AMQP_FRAME_HEADER && !return_->has_header) {
    const auto* properties =
        static_cast<const amqp_basic_properties_t*>(frame.payload.properties.decoded);
    if ((properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0) {
      return_->message_id = text_of(properties->message_id);
    }
    return_->body_left = frame.payload.properties.body_size;
    return_->has_header = true;
  } else if (frame.frame_type == AMQP_FRAME_BODY) {
    return_->body_left -=
        std::min<std::uint64_t>(return_->body_left, frame.payload.body_fragment.len);
  }
  if (!return_->has_header || return_->body_left != 0) return;
  confirms_.returned(return_->message_id, std::move(return_->reason));
  return_.reset();
}

/// So queues answer that are full, and those that have lost their leader: nothing is wrong with the message.
Error RabbitmqSink::not_taken() const {
  return {ErrorCode::kFull, connection_.prefix() +
                                "a queue does not take what is published (basic.nack): it is full, "
                                "or not available now; it is tried again"};
}

Error RabbitmqSink::channel_closed(const amqp_channel_close_t& close) {
  Error error = connection_.closed_by(close);
  if (close.reply_code == AMQP_NOT_FOUND) {
    error.message += ": `spillway sink setup " + config_.name + "` makes it";
  }
  const std::string text = text_of(close.reply_text);
  if (close.reply_code == AMQP_PRECONDITION_FAILED && text.find("size") != std::string::npos) {
    // Which one it was, the broker does not say; next time it is not asked about such a one.
    const std::uint64_t told = last_number(text);
    if (told != 0 && confirms_.smallest_above(told) != 0) {
      message_bytes_max_ = told;
      keeps_bytes_max_ = true;
      error.code = ErrorCode::kUnavailable;
    }
  }
  return error;
}

Result<std::unique_ptr<Sink>> make_rabbitmq_sink(const core::UplinkConfig& config) {
  SPILLWAY_TRY(password, core::read_password(config.engine.password_file));
  static_cast<void>(password);  // read anew at each connection: it may be changed meanwhile
  return std::unique_ptr<Sink>(std::make_unique<RabbitmqSink>(config));
}

}  // namespace spillway::uplink
