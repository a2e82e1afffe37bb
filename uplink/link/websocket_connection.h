// WebSocketConnection: what the client's and the server's end of a WebSocket have in common once
// there is a socket. Private to the three translation units that include Beast; what its reading and
// writing make of Beast is compiled once, in websocket_connection.cc.
//
//   kOpening --(opened)--> kOpen --(close)--> kClosing --> kFinished
//       +---------------------+--(failure, abort)------------^
//
// Once a second it looks at the socket: while opening or closing, silence ends it; while open,
// Liveness decides. Beast's own timers are off.
#pragma once

#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <type_traits>

#include "uplink/link/liveness.h"
#include "uplink/link/silence.h"
#include "uplink/link/socket.h"
#include "uplink/link/tcp_state.h"
#include "uplink/link/tls_session.h"
#include "uplink/link/websocket.h"

namespace spillway::uplink {

namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;

/// Compression of the WebSocket's own is compiled out: a compressed frame is a broken one.
using PlainStream = websocket::stream<Socket, false>;
using TlsStream = websocket::stream<beast::ssl_stream<Socket>, false>;

template <typename Stream>
inline constexpr bool kIsTls = std::is_same_v<Stream, TlsStream>;

/// In the upgrade request: after so many ms of silence the client asks for a sign of life. The server
/// asks later than that, so that it is the gateway who says what an idle link costs.
inline constexpr std::string_view kPingField = "Spillway-Ping";

/// Pings, pongs and the like that a peer may send within one look.
inline constexpr std::uint64_t kControlFramesMax = 200;
/// Looks that a closing handshake may take once nothing of ours waits any more. Beast itself waits for
/// a peer that broke the protocol to close, for as long as that likes.
inline constexpr std::uint32_t kGoodbyeLooksMax = 5;
/// What the kernel may hold beside a message that is being read.
inline constexpr std::uint64_t kReceiveSlackBytes = 16U * 1024 * 1024;

template <typename Stream>
class WebSocketConnection : public WebSocket,
                            public std::enable_shared_from_this<WebSocketConnection<Stream>> {
 public:
  template <typename... Arguments>
  WebSocketConnection(asio::io_context& io, WebSocketHandlers handlers, std::string peer,
                      Arguments&&... arguments)
      : stream_(std::forward<Arguments>(arguments)...),
        handlers_(std::move(handlers)),
        peer_(std::move(peer)),
        look_timer_(io) {}

  void send(Bytes message) override;
  std::size_t queued() const override { return queue_.size(); }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override;
  void limit_message_bytes(std::size_t bytes) override;
  const std::string& peer() const override { return peer_; }
  void close() override;
  void abort() override;
  WireBytes wire_bytes() const override;
  std::uint64_t unacked_bytes() const override;
  const PeerCertificate& peer_certificate() const override { return certificate_; }

 protected:
  enum class Phase : std::uint8_t { kOpening, kOpen, kClosing, kFinished };
  enum class Ending : std::uint8_t { kOrderly, kReset };

  /// Begins to look. While opening and closing, so much silence ends it.
  void watch(std::chrono::milliseconds silence_max);
  /// The handshake is done: messages may flow.
  void opened(std::chrono::milliseconds ping_after);
  void set_options();
  void finish(core::Error error, Ending ending = Ending::kOrderly);
  void fail(const std::string& what, const error_code& error);
  void set_handlers(WebSocketHandlers handlers) { handlers_ = std::move(handlers); }
  /// The error in words, the reason of TLS before all.
  [[nodiscard]] std::string words_of(const error_code& error) const;
  /// Before the TLS handshake. False: not with this name.
  [[nodiscard]] bool prepare_tls();
  void tls_is_up();
  [[nodiscard]] Socket& socket() const { return beast::get_lowest_layer(stream_); }
  [[nodiscard]] TcpState look_at_socket() const;
  [[nodiscard]] bool is_finished() const { return phase_ == Phase::kFinished; }
  /// The first whole message has come.
  virtual void proved() {}
  /// The end has come, whoever still holds this.
  virtual void ended() {}

  // Mutable: Beast's way to the socket is, and looking at it changes nothing.
  mutable Stream stream_;
  TlsFacts facts_;

 private:
  void read();
  void take_message();
  void write();
  void close_stream();
  /// What Beast has begun and has not completed.
  [[nodiscard]] bool has_operations() const { return reading_ || writing_ || pinging_ || closing_; }
  void release_later();
  void look_later();
  void look();
  void look_at_open(std::uint64_t now_ns, const TcpState& tcp);
  void ping();
  void heartbeat();

  WebSocketHandlers handlers_;
  std::string peer_;
  PeerCertificate certificate_;
  Timer look_timer_;
  beast::flat_buffer buffer_;
  std::deque<Bytes> queue_;
  std::optional<Liveness> liveness_;
  Silence silence_;
  std::chrono::milliseconds silence_max_{0};
  Phase phase_ = Phase::kOpening;
  bool reading_ = false;
  bool writing_ = false;
  bool paused_ = false;
  bool closing_frame_sent_ = false;
  bool closing_ = false;
  bool pinging_ = false;  // a ping or a heartbeat is being written: one at a time
  bool ping_waits_ = false;
  bool proved_ = false;
  std::uint32_t goodbye_looks_ = 0;
  std::uint64_t control_frames_ = 0;
  std::uint64_t message_bytes_max_ = kControlBytesMax;
  std::uint64_t received_at_message_ = 0;
  WireBytes last_wire_bytes_;
};

extern template class WebSocketConnection<PlainStream>;
extern template class WebSocketConnection<TlsStream>;

}  // namespace spillway::uplink
