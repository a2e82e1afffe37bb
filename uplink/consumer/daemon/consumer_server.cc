#include "uplink/consumer/daemon/consumer_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "spillway/core/log.h"

namespace spillway::consumer {

using core::Error;
using core::Result;
using uplink::Bytes;

/// One peer: its socket, its session, and what of it waits for the inbox.
class ConsumerServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ConsumerServer& server, std::shared_ptr<uplink::WebSocket> socket)
      : server_(server), socket_(std::move(socket)), session_(options_of(server)) {}

  void on_message(Bytes bytes);
  void on_closed(const Error& error);
  void end(uplink::RefusalCode code, const std::string& text);
  void resume_if_room();
  [[nodiscard]] const ConsumerSession& session() const { return session_; }

 private:
  [[nodiscard]] static ConsumerSessionOptions options_of(const ConsumerServer& server) {
    ConsumerSessionOptions options;
    options.unpacker = server.unpacker_;
    return options;
  }
  void send_output();
  void ask_inbox();
  void apply(InboxBatch batch);
  void on_positions(const Result<Positions>& positions);
  void on_applied(const InboxBatch& batch, const Result<void>& outcome);
  void give_up(const Error& error);
  [[nodiscard]] std::string who() const;
  [[nodiscard]] bool has_room() const {
    return waiting_bytes_ <= options_.window_bytes &&
           server_.writer_.queued_bytes() <= InboxWriter::kQueueBytesMax;
  }

  ConsumerServer& server_;
  std::shared_ptr<uplink::WebSocket> socket_;
  ConsumerSessionOptions options_;
  ConsumerSession session_;
  std::uint64_t waiting_bytes_ = 0;
  bool paused_ = false;
  bool logged_end_ = false;
};

std::string ConsumerServer::Connection::who() const {
  if (session_.gateway().is_nil()) return socket_->peer();
  return session_.gateway_name() + " (" + session_.gateway().text() + ", " + socket_->peer() + ")";
}

void ConsumerServer::Connection::on_message(Bytes bytes) {
  const auto shared = std::make_shared<const Bytes>(std::move(bytes));
  auto outcome = session_.on_message(shared, server_.env_.utc_ns());
  if (!outcome) return give_up(outcome.error());
  ask_inbox();
  send_output();
}

void ConsumerServer::Connection::ask_inbox() {
  if (auto query = session_.take_query()) {
    // Before the question: what the older session queued is ahead of it, and nothing comes after.
    server_.claim_streams(shared_from_this());
    server_.writer_.ask(
        std::move(*query), [self = shared_from_this()](Result<Positions> positions) {
          boost::asio::post(self->server_.io_, [self, positions = std::move(positions)] {
            self->on_positions(positions);
          });
        });
  }
  if (auto batch = session_.take_batch()) apply(std::move(*batch));
}

void ConsumerServer::Connection::apply(InboxBatch batch) {
  waiting_bytes_ += batch.payload_bytes();
  server_.writer_.apply(
      std::move(batch), [self = shared_from_this()](InboxBatch done, Result<void> outcome) {
        auto shared = std::make_shared<InboxBatch>(std::move(done));
        boost::asio::post(self->server_.io_, [self, shared, outcome = std::move(outcome)] {
          self->on_applied(*shared, outcome);
        });
      });
  if (has_room()) return;
  paused_ = true;
  socket_->pause_reading();
}

void ConsumerServer::Connection::on_positions(const Result<Positions>& positions) {
  auto outcome = session_.on_positions(positions);
  if (!outcome) return give_up(outcome.error());
  if (session_.state() == ConsumerState::kStreaming) {
    socket_->limit_message_bytes(uplink::kMessageBytesMax);
    spdlog::info("{}: connected with {} streams", who(), session_.streams().size());
  }
  send_output();
}

void ConsumerServer::Connection::on_applied(const InboxBatch& batch, const Result<void>& outcome) {
  waiting_bytes_ -= batch.payload_bytes();
  const bool streaming = session_.state() == ConsumerState::kStreaming;
  if (outcome) {
    session_.on_committed(batch);
    send_output();
  } else if (streaming) {
    give_up(session_.on_failed(outcome.error()));
  }
  server_.resume_all();
}

void ConsumerServer::Connection::resume_if_room() {
  if (!paused_ || !has_room()) return;
  paused_ = false;
  socket_->resume_reading();
}

void ConsumerServer::Connection::give_up(const Error& error) {
  if (!logged_end_) spdlog::warn("{}: session ended: {}", who(), error.message);
  logged_end_ = true;
  send_output();
  // A paused socket would not read the answer to its closing handshake.
  if (paused_) socket_->resume_reading();
  paused_ = false;
  socket_->close();
}

void ConsumerServer::Connection::end(uplink::RefusalCode code, const std::string& text) {
  if (session_.state() == ConsumerState::kClosed) return;
  give_up(session_.end(code, text));
}

void ConsumerServer::Connection::on_closed(const Error& error) {
  if (!logged_end_) spdlog::info("{}: disconnected: {}", who(), error.message);
  logged_end_ = true;
  static_cast<void>(session_.end(uplink::RefusalCode::kNone, "the connection is gone"));
  server_.forget(shared_from_this());
}

void ConsumerServer::Connection::send_output() {
  while (auto message = session_.take_output()) socket_->send(std::move(*message));
}

ConsumerServer::ConsumerServer(boost::asio::io_context& io, core::env::Env& env,
                               InboxWriter& writer)
    : io_(io), env_(env), writer_(writer) {}

ConsumerServer::~ConsumerServer() = default;

Result<void> ConsumerServer::listen(const core::ConsumerConfig& config) {
  SPILLWAY_TRY(endpoint, uplink::parse_endpoint(config.listen));
  std::shared_ptr<uplink::TlsFiles> tls;
  if (endpoint.tls) {
    SPILLWAY_TRY(made, uplink::TlsFiles::open(uplink::TlsRole::kServer, config.tls));
    tls = made;
  }
  SPILLWAY_TRY(listener, listen_websocket(io_, endpoint, tls, [this](auto socket) {
                 return adopt(std::move(socket));
               }));
  listener_ = std::move(listener);
  return {};
}

uplink::WebSocketHandlers ConsumerServer::adopt(std::shared_ptr<uplink::WebSocket> socket) {
  auto connection = std::make_shared<Connection>(*this, std::move(socket));
  connections_.insert(connection);
  return {[] {}, [connection](Bytes bytes) { connection->on_message(std::move(bytes)); }, [] {},
          [connection](const Error& error) { connection->on_closed(error); }};
}

void ConsumerServer::claim_streams(const ConnectionPointer& connection) {
  for (const StreamIntake& stream : connection->session().streams()) {
    auto& owner = owners_[{connection->session().gateway(), stream.name()}];
    const auto older = owner.lock();
    owner = connection;
    if (older == nullptr || older == connection) continue;
    older->end(uplink::RefusalCode::kFenced,
               "a newer session of this gateway has taken over stream " + stream.name());
  }
}

void ConsumerServer::forget(const ConnectionPointer& connection) {
  for (const StreamIntake& stream : connection->session().streams()) {
    const auto found = owners_.find({connection->session().gateway(), stream.name()});
    if (found != owners_.end() && found->second.lock() == connection) owners_.erase(found);
  }
  connections_.erase(connection);
  if (connections_.empty() && idle_) idle_();
}

void ConsumerServer::when_idle(std::function<void()> idle) {
  idle_ = std::move(idle);
  if (connections_.empty()) idle_();
}

void ConsumerServer::resume_all() {
  for (const ConnectionPointer& connection : connections_) connection->resume_if_room();
}

void ConsumerServer::stop() {
  if (listener_) listener_->stop();
  for (const ConnectionPointer& connection : connections_) {
    connection->end(uplink::RefusalCode::kUnavailable, "the consumer is shutting down");
  }
}

}  // namespace spillway::consumer
