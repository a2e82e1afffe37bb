// A WebSocket as both ends see it: whole binary messages in and out, by callbacks. Beast stays
// behind it.
//
// Threads: everything on the io_context's thread, callbacks too.
//
// Invariants:
//  1. on_open at most once and first; on_closed exactly once and last, and never from inside
//     another call of this class.
//  2. After close() what was queued is still sent; after abort() nothing is.
//  3. A link whose far end shows no sign of life ends by itself (liveness.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "spillway/core/result.h"
#include "uplink/link/link_target.h"
#include "uplink/link/tls.h"
#include "uplink/protocol/messages.h"

namespace boost::asio {
class io_context;
}

namespace spillway::uplink {

struct WebSocketHandlers {
  std::function<void()> on_open;
  std::function<void(Bytes)> on_message;
  std::function<void()> on_writable;  // a queued message went out
  std::function<void(core::Error)> on_closed;
};

/// What the link has cost so far: bytes of IP packets, with the headers of IP and TCP, what was sent
/// again, and the handshakes of TCP, proxy, TLS and WebSocket. Without what the link's own layers
/// add, and without the lookup of the name.
struct WireBytes {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

class WebSocket {
 public:
  WebSocket() = default;
  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;
  virtual ~WebSocket() = default;

  virtual void send(Bytes message) = 0;
  /// Messages that wait to go out, the one under way included.
  [[nodiscard]] virtual std::size_t queued() const = 0;
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  /// No incoming message may be larger.
  virtual void limit_message_bytes(std::size_t bytes) = 0;
  virtual void close() = 0;
  virtual void abort() = 0;
  [[nodiscard]] virtual const std::string& peer() const = 0;
  /// Since the connection began; never falls, and keeps its last value after the end. One system
  /// call.
  [[nodiscard]] virtual WireBytes wire_bytes() const = 0;
  /// Of what was sent, what the far end's kernel does not have yet: as long as there is some, no
  /// answer can be late. One system call.
  [[nodiscard]] virtual std::uint64_t unacked_bytes() const = 0;
  /// What the peer showed of itself; empty without TLS or if it showed nothing. Its names are
  /// proven: the certificate was checked.
  [[nodiscard]] virtual const PeerCertificate& peer_certificate() const = 0;
};

/// Connects, in the background.
[[nodiscard]] std::shared_ptr<WebSocket> connect_websocket(boost::asio::io_context& io,
                                                           LinkTarget target,
                                                           WebSocketHandlers handlers);

}  // namespace spillway::uplink
