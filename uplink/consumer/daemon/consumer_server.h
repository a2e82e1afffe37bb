// ConsumerServer: ties connections, sessions and the inbox together.
//
// Threads: the io_context's, but for the inbox writer's answers, which are posted to it.
//
// Invariants:
//  1. One session a (gateway, stream): a newer one fences the older.
//  2. A peer is not read while it has more than its window, or all together more than the writer's
//     bound, waiting for the inbox.
//  3. A session that ends writes one line to the log and touches no other.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "spillway/core/config.h"
#include "spillway/core/env/env.h"
#include "uplink/consumer/inbox/inbox_writer.h"
#include "uplink/consumer/sources/websocket_listener.h"

namespace spillway::consumer {

class ConsumerServer {
 public:
  ConsumerServer(boost::asio::io_context& io, core::env::Env& env, InboxWriter& writer);
  ~ConsumerServer();
  ConsumerServer(const ConsumerServer&) = delete;
  ConsumerServer& operator=(const ConsumerServer&) = delete;

  [[nodiscard]] core::Result<void> listen(const core::ConsumerConfig& config);
  /// Ends every session; what the writer still holds is committed by its stop().
  void stop();
  /// Calls `idle` once, as soon as no connection is left.
  void when_idle(std::function<void()> idle);
  [[nodiscard]] std::uint16_t port() const { return listener_->port(); }

 private:
  class Connection;
  using ConnectionPointer = std::shared_ptr<Connection>;

  uplink::WebSocketHandlers adopt(std::shared_ptr<uplink::WebSocket> socket);
  void claim_streams(const ConnectionPointer& connection);
  void forget(const ConnectionPointer& connection);
  void resume_all();

  boost::asio::io_context& io_;
  core::env::Env& env_;
  InboxWriter& writer_;
  std::shared_ptr<MessageUnpacker> unpacker_ = std::make_shared<MessageUnpacker>();
  std::unique_ptr<WebSocketListener> listener_;
  std::set<ConnectionPointer> connections_;
  std::function<void()> idle_;
  std::map<std::pair<core::Uuid, std::string>, std::weak_ptr<Connection>> owners_;
};

}  // namespace spillway::consumer
