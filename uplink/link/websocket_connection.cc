#include "uplink/link/websocket_connection.h"

#include <boost/asio/post.hpp>

namespace spillway::uplink {

template <typename Stream>
void WebSocketConnection<Stream>::send(Bytes message) {
  if (finished_) return;
  queue_.push_back(std::move(message));
  write();
}

template <typename Stream>
void WebSocketConnection<Stream>::resume_reading() {
  paused_ = false;
  read();
}

template <typename Stream>
void WebSocketConnection<Stream>::close() {
  if (closing_ || finished_) return;
  closing_ = true;
  if (!open_) return abort();
  if (!writing_) close_stream();
}

template <typename Stream>
void WebSocketConnection<Stream>::abort() {
  finish({core::ErrorCode::kUnavailable, "the connection was given up"});
}

template <typename Stream>
TcpState WebSocketConnection<Stream>::look_at_socket() const {
  auto& socket = beast::get_lowest_layer(stream_).socket();
  error_code error;
  const auto local = socket.local_endpoint(error);
  if (error) return {};
  return look_at_tcp(socket.native_handle(), local.address().is_v6());
}

template <typename Stream>
WireBytes WebSocketConnection<Stream>::wire_bytes() const {
  if (finished_) return last_wire_bytes_;
  const TcpState tcp = look_at_socket();
  return tcp.is_known ? WireBytes{tcp.wire_sent_bytes, tcp.wire_received_bytes} : last_wire_bytes_;
}

template <typename Stream>
void WebSocketConnection<Stream>::opened() {
  if (finished_) return;
  open_ = true;
  stream_.binary(true);
  if (handlers_.on_open) handlers_.on_open();
  read();
}

template <typename Stream>
void WebSocketConnection<Stream>::set_timeouts(beast::role_type role) {
  beast::get_lowest_layer(stream_).expires_never();
  auto timeout = websocket::stream_base::timeout::suggested(role);
  timeout.handshake_timeout = kHandshakeTimeout;
  timeout.idle_timeout = kIdleTimeout;
  timeout.keep_alive_pings = true;
  stream_.set_option(timeout);
  stream_.read_message_max(kControlBytesMax);
  error_code ignored;
  beast::get_lowest_layer(stream_).socket().set_option(asio::ip::tcp::no_delay(true), ignored);
}

template <typename Stream>
void WebSocketConnection<Stream>::finish(core::Error error) {
  if (finished_) return;
  last_wire_bytes_ = wire_bytes();
  finished_ = true;
  beast::get_lowest_layer(stream_).close();
  // Posted: the caller may stand inside one of the handlers that are destroyed with this.
  asio::post(stream_.get_executor(), [self = this->shared_from_this(), error = std::move(error)] {
    auto handlers = std::exchange(self->handlers_, {});
    if (handlers.on_closed) handlers.on_closed(error);
  });
}

template <typename Stream>
void WebSocketConnection<Stream>::fail(const std::string& what, const error_code& error) {
  const bool ended = error == websocket::error::closed || error == asio::error::eof;
  finish({core::ErrorCode::kUnavailable,
          what + ": " + (ended ? "the peer closed the connection" : error.message())});
}

template <typename Stream>
void WebSocketConnection<Stream>::read() {
  if (reading_ || paused_ || finished_ || !open_) return;
  reading_ = true;
  stream_.async_read(buffer_, [this, self = this->shared_from_this()](error_code error,
                                                                      std::size_t) {
    reading_ = false;
    if (error) return fail("reading from " + peer_, error);
    if (!stream_.got_binary()) {
      return finish({core::ErrorCode::kProtocol, peer_ + " sent text where messages are binary"});
    }
    const auto data = buffer_.cdata();
    const auto* begin = static_cast<const std::byte*>(data.data());
    Bytes message(begin, begin + data.size());
    buffer_.consume(buffer_.size());
    // What comes after our own close is read (the closing handshake needs it) but no longer told.
    if (!closing_ && !finished_ && handlers_.on_message) handlers_.on_message(std::move(message));
    read();
  });
}

template <typename Stream>
void WebSocketConnection<Stream>::write() {
  if (writing_ || finished_ || !open_ || queue_.empty()) return;
  writing_ = true;
  const asio::const_buffer bytes(queue_.front().data(), queue_.front().size());
  stream_.async_write(bytes,
                      [this, self = this->shared_from_this()](error_code error, std::size_t) {
                        writing_ = false;
                        if (error) return fail("sending to " + peer_, error);
                        queue_.pop_front();
                        if (!queue_.empty()) return write();
                        if (closing_) return close_stream();
                        if (!finished_ && handlers_.on_writable) handlers_.on_writable();
                      });
}

template <typename Stream>
void WebSocketConnection<Stream>::close_stream() {
  if (finished_) return;
  // Beast's own timeout bounds the wait for the peer's answer.
  stream_.async_close(websocket::close_code::normal,
                      [this, self = this->shared_from_this()](error_code) {
                        finish({core::ErrorCode::kUnavailable, "closed"});
                      });
}

template class WebSocketConnection<PlainStream>;
template class WebSocketConnection<TlsStream>;

}  // namespace spillway::uplink
