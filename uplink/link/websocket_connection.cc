#include "uplink/link/websocket_connection.h"

#include <boost/asio/post.hpp>

#include "uplink/link/socket_options.h"

namespace spillway::uplink {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::uint64_t kNsPerMs = 1'000'000;
/// Large enough for whole TLS records, and a client masks in it.
constexpr std::size_t kWriteBufferBytes = 64U * 1024;
/// An idle connection's buffer for reading is no larger.
constexpr std::size_t kIdleBufferBytes = 16U * 1024;
/// By then an operation on a closed socket has completed, if it ever will.
constexpr std::chrono::seconds kCompleteMax{1};

std::string seconds_text(std::uint64_t ns) {
  return std::to_string((ns + 500 * kNsPerMs) / (1000 * kNsPerMs)) + " s";
}

}  // namespace

template <typename Stream>
void WebSocketConnection<Stream>::send(Bytes message) {
  if (is_finished()) return;
  queue_.push_back(std::move(message));
  write();
}

template <typename Stream>
void WebSocketConnection<Stream>::resume_reading() {
  paused_ = false;
  read();
}

template <typename Stream>
void WebSocketConnection<Stream>::limit_message_bytes(std::size_t bytes) {
  message_bytes_max_ = bytes;
  stream_.read_message_max(bytes);
}

template <typename Stream>
void WebSocketConnection<Stream>::close() {
  if (phase_ == Phase::kOpening) return abort();
  if (phase_ != Phase::kOpen) return;
  phase_ = Phase::kClosing;
  silence_.restart();
  if (!writing_) close_stream();
}

template <typename Stream>
void WebSocketConnection<Stream>::abort() {
  finish({core::ErrorCode::kUnavailable, "the connection was given up"}, Ending::kReset);
}

template <typename Stream>
TcpState WebSocketConnection<Stream>::look_at_socket() const {
  error_code error;
  const auto local = socket().local_endpoint(error);
  if (error) return {};
  return look_at_tcp(socket().native_handle(), local.address().is_v6());
}

template <typename Stream>
WireBytes WebSocketConnection<Stream>::wire_bytes() const {
  if (is_finished()) return last_wire_bytes_;
  const TcpState tcp = look_at_socket();
  return tcp.is_known ? WireBytes{tcp.wire_sent_bytes, tcp.wire_received_bytes} : last_wire_bytes_;
}

template <typename Stream>
std::uint64_t WebSocketConnection<Stream>::unacked_bytes() const {
  std::uint64_t bytes = is_finished() ? 0 : look_at_socket().unacked_bytes;
  for (const Bytes& message : queue_) bytes += message.size();
  return bytes;
}

template <typename Stream>
void WebSocketConnection<Stream>::set_options() {
  set_for_messages(socket().native_handle());
  // One frame a message: more would only cost headers. A ping waits for one message at most.
  stream_.auto_fragment(false);
  stream_.write_buffer_bytes(kWriteBufferBytes);
  limit_message_bytes(kControlBytesMax);
  stream_.control_callback([this](websocket::frame_type kind, beast::string_view) {
    ++control_frames_;
    if (kind == websocket::frame_type::pong && liveness_) liveness_->on_pong(steady_now_ns());
  });
}

template <typename Stream>
void WebSocketConnection<Stream>::opened(milliseconds ping_after) {
  if (is_finished()) return;
  phase_ = Phase::kOpen;
  const TcpState tcp = look_at_socket();
  received_at_message_ = tcp.received_bytes;
  liveness_.emplace(static_cast<std::uint64_t>(nanoseconds(ping_after).count()), steady_now_ns(),
                    tcp);
  stream_.binary(true);
  if (handlers_.on_open) handlers_.on_open();
  read();
}

template <typename Stream>
bool WebSocketConnection<Stream>::prepare_tls() {
  if constexpr (kIsTls<Stream>) {
    auto& tls = stream_.next_layer();
    if (!prepare_session(*tls.native_handle(), facts_)) return false;
    tls.set_verify_callback([this](bool is_good, asio::ssl::verify_context& context) {
      return keep_verdict(is_good, context, facts_.verdict);
    });
  }
  return true;
}

template <typename Stream>
void WebSocketConnection<Stream>::tls_is_up() {
  if constexpr (kIsTls<Stream>) {
    certificate_ = peer_certificate_of(*stream_.next_layer().native_handle());
  }
}

template <typename Stream>
std::string WebSocketConnection<Stream>::words_of(const error_code& error) const {
  if constexpr (kIsTls<Stream>) {
    if (std::string words = explain_tls(error, facts_); !words.empty()) return words;
  }
  const bool ended = error == websocket::error::closed || error == asio::error::eof;
  return ended ? "the peer closed the connection" : error.message();
}

template <typename Stream>
void WebSocketConnection<Stream>::fail(const std::string& what, const error_code& error) {
  finish({core::ErrorCode::kUnavailable, what + ": " + words_of(error)});
}

template <typename Stream>
void WebSocketConnection<Stream>::finish(core::Error error, Ending ending) {
  if (is_finished()) return;
  if (const TcpState tcp = look_at_socket(); tcp.is_known) {
    // In an orderly end the kernel still sends what it holds.
    const std::uint64_t to_come = ending == Ending::kOrderly ? tcp.unsent_bytes : 0;
    last_wire_bytes_ = {tcp.wire_sent_bytes + to_come, tcp.wire_received_bytes};
  }
  phase_ = Phase::kFinished;
  look_timer_.cancel();
  ended();
  if (ending == Ending::kReset) set_to_reset(socket().native_handle());
  error_code ignored;
  socket().close(ignored);
  // Posted: the caller may stand inside one of the handlers that are destroyed with this.
  asio::post(stream_.get_executor(), [self = this->shared_from_this(), error = std::move(error)] {
    auto handlers = std::exchange(self->handlers_, {});
    if (handlers.on_closed) handlers.on_closed(error);
    self->release_later();
  });
}

/// Beast 1.81 lets two operations wait for each other for ever, where the peer goes in the middle of a frame
/// while we close. They hold this connection, and go with its stream.
template <typename Stream>
void WebSocketConnection<Stream>::release_later() {
  if (!has_operations()) return;
  look_timer_.expires_after(kCompleteMax);
  look_timer_.async_wait([this, self = this->shared_from_this()](error_code) {
    if (has_operations()) const Stream gone(std::move(stream_));
  });
}

template <typename Stream>
void WebSocketConnection<Stream>::read() {
  if (reading_ || paused_ || phase_ == Phase::kOpening || is_finished()) return;
  reading_ = true;
  stream_.async_read(buffer_,
                     [this, self = this->shared_from_this()](error_code error, std::size_t) {
                       reading_ = false;
                       if (error) return fail("reading from " + peer_, error);
                       take_message();
                     });
}

template <typename Stream>
void WebSocketConnection<Stream>::take_message() {
  if (!stream_.got_binary()) {
    return finish({core::ErrorCode::kProtocol, peer_ + " sent text where messages are binary"});
  }
  const auto data = buffer_.cdata();
  const auto* begin = static_cast<const std::byte*>(data.data());
  Bytes message(begin, begin + data.size());
  buffer_.consume(buffer_.size());
  // A thousand idle connections must not each hold what their largest message took.
  if (buffer_.capacity() > kIdleBufferBytes) buffer_.shrink_to_fit();
  received_at_message_ = 0;
  if (!std::exchange(proved_, true)) proved();
  // What comes after our own close is read (the closing handshake needs it) but no longer told.
  if (phase_ == Phase::kOpen && handlers_.on_message) handlers_.on_message(std::move(message));
  read();
}

template <typename Stream>
void WebSocketConnection<Stream>::write() {
  if (writing_ || phase_ == Phase::kOpening || is_finished() || queue_.empty()) return;
  writing_ = true;
  const asio::const_buffer bytes(queue_.front().data(), queue_.front().size());
  stream_.async_write(bytes,
                      [this, self = this->shared_from_this()](error_code error, std::size_t) {
                        writing_ = false;
                        if (error) return fail("sending to " + peer_, error);
                        queue_.pop_front();
                        if (!queue_.empty()) return write();
                        if (phase_ == Phase::kClosing) return close_stream();
                        if (!is_finished() && handlers_.on_writable) handlers_.on_writable();
                      });
}

template <typename Stream>
void WebSocketConnection<Stream>::close_stream() {
  if (is_finished() || std::exchange(closing_frame_sent_, true)) return;
  closing_ = true;
  stream_.async_close(websocket::close_code::normal,
                      [this, self = this->shared_from_this()](error_code) {
                        closing_ = false;
                        finish({core::ErrorCode::kUnavailable, "closed"});
                      });
}

template <typename Stream>
void WebSocketConnection<Stream>::watch(milliseconds silence_max) {
  silence_max_ = silence_max;
  look_later();
}

template <typename Stream>
void WebSocketConnection<Stream>::look_later() {
  look_timer_.expires_after(nanoseconds(Liveness::kLookNs));
  look_timer_.async_wait([this, self = this->shared_from_this()](error_code cancelled) {
    if (cancelled || is_finished()) return;
    look();
    if (!is_finished()) look_later();
  });
}

template <typename Stream>
void WebSocketConnection<Stream>::look() {
  const TcpState tcp = look_at_socket();
  const std::uint64_t now_ns = steady_now_ns();
  // Beast has read on its own behalf, after a broken frame, and has not been told of the end.
  if (tcp.is_over) {
    return finish({core::ErrorCode::kUnavailable, "the connection with " + peer_ + " was reset"},
                  Ending::kReset);
  }
  const bool says_goodbye =
      phase_ != Phase::kOpening && !stream_.is_open() && tcp.unacked_bytes == 0;
  if (says_goodbye && ++goodbye_looks_ > kGoodbyeLooksMax) {
    return finish({core::ErrorCode::kProtocol,
                   peer_ + " broke the WebSocket protocol, or does not end its closing handshake"},
                  Ending::kReset);
  }
  if (phase_ == Phase::kOpen) return look_at_open(now_ns, tcp);
  const std::uint64_t silent_ns = silence_.look(now_ns, tcp);
  if (silent_ns <= static_cast<std::uint64_t>(nanoseconds(silence_max_).count())) return;
  const std::string when = phase_ == Phase::kClosing ? " while closing" : " during the handshakes";
  finish({core::ErrorCode::kUnavailable,
          "nothing came from " + peer_ + " for " + seconds_text(silent_ns) + when},
         Ending::kReset);
}

template <typename Stream>
void WebSocketConnection<Stream>::look_at_open(std::uint64_t now_ns, const TcpState& tcp) {
  if (std::exchange(control_frames_, 0) > kControlFramesMax) {
    return finish({core::ErrorCode::kProtocol, peer_ + " sends pings without end"}, Ending::kReset);
  }
  // A message in pieces may be slow, and no larger for it.
  if (received_at_message_ == 0 || paused_) received_at_message_ = tcp.received_bytes;
  if (tcp.received_bytes - received_at_message_ > 2 * message_bytes_max_ + kReceiveSlackBytes) {
    return finish({core::ErrorCode::kProtocol, peer_ + " sends a message without end"},
                  Ending::kReset);
  }
  switch (liveness_->look(now_ns, tcp, paused_)) {
    case Liveness::Action::kNone:
      return;
    case Liveness::Action::kPing:
      return ping();
    case Liveness::Action::kHeartbeat:
      return heartbeat();
    case Liveness::Action::kDead:
      finish({core::ErrorCode::kUnavailable, peer_ + " gave no sign of life for " +
                                                 seconds_text(liveness_->silent_ns(now_ns)) +
                                                 ": the link is cut somewhere"},
             Ending::kReset);
  }
}

template <typename Stream>
void WebSocketConnection<Stream>::ping() {
  ping_waits_ = pinging_;
  if (std::exchange(pinging_, true)) return;
  stream_.async_ping({}, [this, self = this->shared_from_this()](error_code error) {
    pinging_ = false;
    // A failure shows itself in the reading, too, and that knows more of it.
    if (!error && !is_finished()) liveness_->on_ping_sent(steady_now_ns(), look_at_socket());
  });
}

template <typename Stream>
void WebSocketConnection<Stream>::heartbeat() {
  if (std::exchange(pinging_, true)) return;
  stream_.async_pong({}, [this, self = this->shared_from_this()](error_code) {
    pinging_ = false;
    if (ping_waits_ && !is_finished()) ping();
  });
}

template class WebSocketConnection<PlainStream>;
template class WebSocketConnection<TlsStream>;

}  // namespace spillway::uplink
