// WebSocketConnection: what the client's and the server's end of a WebSocket have in common once
// the stream stands. Private to the three translation units that include Beast; what its reading
// and writing make of Beast is compiled once, in websocket_connection.cc.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <chrono>
#include <deque>

#include "uplink/link/tcp_state.h"
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

  void send(Bytes message) override;
  std::size_t queued() const override { return queue_.size(); }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override;
  void limit_message_bytes(std::size_t bytes) override { stream_.read_message_max(bytes); }
  const std::string& peer() const override { return peer_; }
  void close() override;
  void abort() override;
  WireBytes wire_bytes() const override;
  const PeerCertificate& peer_certificate() const override { return certificate_; }

 protected:
  /// The handshake is done: messages may flow.
  void opened();
  void set_timeouts(beast::role_type role);
  void finish(core::Error error);
  void fail(const std::string& what, const error_code& error);
  void set_handlers(WebSocketHandlers handlers) { handlers_ = std::move(handlers); }

  [[nodiscard]] TcpState look_at_socket() const;

  // Mutable: Beast's way to the socket is, and looking at it changes nothing.
  mutable Stream stream_;
  PeerCertificate certificate_;
  bool finished_ = false;

 private:
  void read();
  void write();
  void close_stream();

  WebSocketHandlers handlers_;
  std::string peer_;
  beast::flat_buffer buffer_;
  std::deque<Bytes> queue_;
  bool open_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool paused_ = false;
  bool closing_ = false;
  WireBytes last_wire_bytes_;
};

extern template class WebSocketConnection<PlainStream>;
extern template class WebSocketConnection<TlsStream>;

}  // namespace spillway::uplink
