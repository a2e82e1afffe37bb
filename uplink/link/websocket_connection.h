// WebSocketConnection: what the client's and the server's end of a WebSocket have in common once
// the stream stands. Private to the two translation units that include Beast.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <chrono>
#include <deque>
#include <optional>

#include "uplink/link/websocket.h"

namespace spillway::uplink {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

inline constexpr std::chrono::seconds kHandshakeTimeout{10};
inline constexpr std::chrono::seconds kIdleTimeout{30};

using PlainStream = websocket::stream<beast::tcp_stream>;
using TlsStream = websocket::stream<beast::ssl_stream<beast::tcp_stream>>;

template <typename Stream>
class WebSocketConnection : public WebSocket,
                            public std::enable_shared_from_this<WebSocketConnection<Stream>> {
 public:
  template <typename... Arguments>
  WebSocketConnection(WebSocketHandlers handlers, std::string peer, Arguments&&... arguments)
      : stream_(std::forward<Arguments>(arguments)...),
        handlers_(std::move(handlers)),
        peer_(std::move(peer)) {}

  void send(Bytes message) override {
    if (finished_) return;
    queue_.push_back(std::move(message));
    write();
  }
  std::size_t queued() const override { return queue_.size(); }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override {
    paused_ = false;
    read();
  }
  void limit_message_bytes(std::size_t bytes) override { stream_.read_message_max(bytes); }
  const std::string& peer() const override { return peer_; }

  void close() override {
    if (closing_ || finished_) return;
    closing_ = true;
    if (!open_) return abort();
    if (!writing_) close_stream();
  }
  void abort() override { finish({core::ErrorCode::kUnavailable, "the connection was given up"}); }

 protected:
  /// The handshake is done: messages may flow.
  void opened() {
    if (finished_) return;
    open_ = true;
    stream_.binary(true);
    if (handlers_.on_open) handlers_.on_open();
    read();
  }

  void set_timeouts(beast::role_type role) {
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

  void finish(core::Error error) {
    if (finished_) return;
    finished_ = true;
    beast::get_lowest_layer(stream_).close();
    // Posted: the caller may stand inside one of the handlers that are destroyed with this.
    asio::post(stream_.get_executor(), [self = this->shared_from_this(), error = std::move(error)] {
      auto handlers = std::exchange(self->handlers_, {});
      if (handlers.on_closed) handlers.on_closed(error);
    });
  }

  void fail(const std::string& what, const error_code& error) {
    const bool ended = error == websocket::error::closed || error == asio::error::eof;
    finish({core::ErrorCode::kUnavailable,
            what + ": " + (ended ? "the peer closed the connection" : error.message())});
  }

  void set_handlers(WebSocketHandlers handlers) { handlers_ = std::move(handlers); }

  Stream stream_;
  bool finished_ = false;

 private:
  void read() {
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

  void write() {
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

  void close_stream() {
    if (finished_) return;
    // Beast's own timeout bounds the wait for the peer's answer.
    stream_.async_close(websocket::close_code::normal,
                        [this, self = this->shared_from_this()](error_code) {
                          finish({core::ErrorCode::kUnavailable, "closed"});
                        });
  }

  WebSocketHandlers handlers_;
  std::string peer_;
  beast::flat_buffer buffer_;
  std::deque<Bytes> queue_;
  bool open_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool paused_ = false;
  bool closing_ = false;
};

}  // namespace spillway::uplink
