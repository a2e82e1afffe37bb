// ConsumerServer: ties connections, sessions, the inbox and the registry of gateways together.
//
// Threads: the io_context's.
//
// Invariants:
//  1. One session a (gateway, stream): a newer one fences the older, and both ends say so.
//  2. What waits for the inbox is bounded: a peer is not read while it has more than its window waiting
//     or, once all together have more than the writer's bound, more than its share of that bound. So
//     one that sends little is always read, whatever the others send.
//  3. Who is not let in, or not any more, is told why; a change of the registry counts at once for the
//     sessions that stand.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "spillway/core/config.h"
#include "spillway/core/env/env.h"
#include "uplink/consumer/gateways/admission.h"
#include "uplink/consumer/gateways/fencing.h"
#include "uplink/consumer/gateways/gateway_book.h"
#include "uplink/consumer/gateways/gateway_store.h"
#include "uplink/consumer/inbox/inbox_writer.h"
#include "uplink/consumer/sources/websocket_listener.h"

namespace spillway::consumer {

class ConsumerConnection;

class ConsumerServer {
 public:
  /// Who was heard from so lately was alive when another one took its place.
  static constexpr std::uint64_t kAliveNs = 5'000'000'000;

  /// Takes down what was seen of a gateway.
  using OnSeen = std::function<void(const core::Uuid&, const Sighting&)>;

  ConsumerServer(boost::asio::io_context& io, core::env::Env& env, InboxWriter& writer,
                 const core::ConsumerConfig& config);
  ~ConsumerServer();
  ConsumerServer(const ConsumerServer&) = delete;
  ConsumerServer& operator=(const ConsumerServer&) = delete;

  [[nodiscard]] core::Result<void> listen();
  void when_seen(OnSeen on_seen) { on_seen_ = std::move(on_seen); }
  /// What the registry says now.
  void set_known(KnownGateways known);
  /// Ends every session; what the writer still holds is committed by its stop().
  void stop();
  /// Calls `idle` once, as soon as no connection is left.
  void when_idle(std::function<void()> idle);
  [[nodiscard]] std::uint16_t port() const { return listener_->port(); }

 private:
  friend class ConsumerConnection;
  using ConnectionPointer = std::shared_ptr<ConsumerConnection>;

  uplink::WebSocketHandlers adopt(std::shared_ptr<uplink::WebSocket> socket);
  /// Why the peer that has just said Hello is not let in.
  [[nodiscard]] std::optional<uplink::Refusal> refusal_for(const ConsumerConnection& connection);
  void claim_streams(const ConnectionPointer& connection);
  void fence(ConsumerConnection& older, const ConsumerConnection& newer, const std::string& stream);
  void forget(const ConnectionPointer& connection);
  void resume_paused();
  void note_begin(const ConsumerConnection& connection);
  void note(const ConsumerConnection& connection, Sighting sighting);
  void note_inbox_failed(const core::Error& error);
  [[nodiscard]] bool is_relay() const { return !config_.relay.directory.empty(); }
  [[nodiscard]] std::uint64_t retry_after_ms() {
    return admission_.retry_after_ms(env_.boottime_ns());
  }
  [[nodiscard]] std::uint64_t waiting_bytes_max(std::uint64_t window_bytes) const;
  [[nodiscard]] std::string display_name(const ConsumerSession& session) const;

  boost::asio::io_context& io_;
  core::env::Env& env_;
  InboxWriter& writer_;
  std::shared_ptr<MessageUnpacker> unpacker_ = std::make_shared<MessageUnpacker>();
  core::ConsumerConfig config_;
  GatewayBook book_;
  Admission admission_;
  Fencing fencing_;
  OnSeen on_seen_;
  std::unique_ptr<WebSocketListener> listener_;
  std::set<ConnectionPointer> connections_;
  std::set<ConnectionPointer> paused_;
  std::map<core::Uuid, std::uint64_t> connected_;  // sessions that were let in, by gateway
  std::function<void()> idle_;
  std::map<std::pair<core::Uuid, std::string>, std::weak_ptr<ConsumerConnection>> owners_;
};

}  // namespace spillway::consumer
