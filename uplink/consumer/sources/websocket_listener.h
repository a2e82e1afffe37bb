// WebSocketListener: the consumer's native source: accepts ws and wss connections and hands each
// over once its handshakes are done.
//
// Threads: the io_context's.
//
// Invariants:
//  1. A connection that has not sent its first message in time, or does not speak spillway.v1, is
//     dropped; whoever speaks TLS to a port without, or the other way round, is told so.
//  2. At most kConnectionsMax connections are open; further ones are dropped at once.
//  3. Of those at most kUnprovenMax have sent no message yet; who goes for a new one, and why, says
//     handshake_queue.h.
#pragma once

#include <functional>
#include <memory>

#include "uplink/link/websocket.h"

namespace spillway::consumer {

class WebSocketListener {
 public:
  static constexpr std::size_t kConnectionsMax = 10'000;
  static constexpr std::size_t kUnprovenMax = 2'000;

  /// Called for each connection whose handshakes are done: returns its handlers. on_open follows at
  /// once.
  using OnConnection = std::function<uplink::WebSocketHandlers(std::shared_ptr<uplink::WebSocket>)>;

  WebSocketListener() = default;
  WebSocketListener(const WebSocketListener&) = delete;
  WebSocketListener& operator=(const WebSocketListener&) = delete;
  virtual ~WebSocketListener() = default;

  virtual void stop() = 0;
  /// The port it listens on (of use where port 0 was asked for).
  [[nodiscard]] virtual std::uint16_t port() const = 0;
};

/// `tls` is needed if and only if the endpoint says so; changed files count for the next connection.
/// kBusy: the port is in use.
[[nodiscard]] core::Result<std::unique_ptr<WebSocketListener>> listen_websocket(
    boost::asio::io_context& io, const uplink::Endpoint& endpoint,
    std::shared_ptr<uplink::TlsFiles> tls, WebSocketListener::OnConnection on_connection);

}  // namespace spillway::consumer
