// ConsumerConnection: one peer: its socket, its session, and what of it waits for the inbox.
//
// Threads: the io_context's; what the inbox writer answers is posted to it.
//
// Invariants:
//  1. Nothing of the peer's is looked up, and nobody is fenced for it, before it was let in.
//  2. A session that ends writes one line to the log and touches no other.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "uplink/consumer/daemon/consumer_server.h"
#include "uplink/consumer/session/consumer_session.h"
#include "uplink/link/websocket.h"

namespace spillway::consumer {

class ConsumerConnection : public std::enable_shared_from_this<ConsumerConnection> {
 public:
  ConsumerConnection(ConsumerServer& server, std::shared_ptr<uplink::WebSocket> socket,
                     ConsumerSessionOptions options)
      : server_(server), socket_(std::move(socket)), options_(options), session_(options) {}

  void on_message(uplink::Bytes bytes);
  void on_closed(const core::Error& error);
  /// Tells the peer why, and closes.
  void end(const uplink::Refusal& refusal);
  void resume_if_room();

  [[nodiscard]] const ConsumerSession& session() const { return session_; }
  [[nodiscard]] const uplink::WebSocket& socket() const { return *socket_; }
  /// Its Hello was accepted: it counts as a session of its gateway.
  [[nodiscard]] bool let_in() const { return let_in_; }
  /// BOOTTIME of its latest message.
  [[nodiscard]] std::uint64_t heard_ns() const { return heard_ns_; }
  /// "site-17/pump-3 (ID, ADDRESS)", as soon as it has said who it is.
  [[nodiscard]] std::string who() const;

 private:
  void send_output();
  void ask_inbox();
  void look_up(PositionQuery query);
  void apply(InboxBatch batch);
  void on_positions(const core::Result<Positions>& positions);
  void on_applied(const InboxBatch& batch, const core::Result<void>& outcome);
  void give_up(const core::Error& error);

  ConsumerServer& server_;
  std::shared_ptr<uplink::WebSocket> socket_;
  ConsumerSessionOptions options_;
  ConsumerSession session_;
  std::uint64_t waiting_bytes_ = 0;
  std::uint64_t heard_ns_ = 0;
  bool let_in_ = false;
  bool paused_ = false;
  bool logged_end_ = false;
};

}  // namespace spillway::consumer
