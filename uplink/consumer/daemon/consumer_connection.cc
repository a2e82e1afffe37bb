#include "uplink/consumer/daemon/consumer_connection.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "spillway/core/log.h"

namespace spillway::consumer {

using core::Error;
using core::Result;
using uplink::Bytes;

std::string ConsumerConnection::who() const {
  if (session_.gateway().is_nil()) return socket_->peer();
  return server_.display_name(session_) + " (" + session_.gateway().text() + ", " +
         socket_->peer() + ")";
}

void ConsumerConnection::on_message(Bytes bytes) {
  heard_ns_ = server_.env_.boottime_ns();
  const auto shared = std::make_shared<const Bytes>(std::move(bytes));
  auto outcome = session_.on_message(shared, server_.env_.utc_ns());
  if (!outcome) return give_up(outcome.error());
  ask_inbox();
  send_output();
}

void ConsumerConnection::ask_inbox() {
  if (auto query = session_.take_query()) {
    if (const auto refusal = server_.refusal_for(*this)) return end(*refusal);
    look_up(std::move(*query));
  }
  if (auto batch = session_.take_batch()) apply(std::move(*batch));
}

void ConsumerConnection::look_up(PositionQuery query) {
  let_in_ = true;
  // Before the question: what the older session queued is ahead of it, and nothing comes after.
  server_.claim_streams(shared_from_this());
  server_.note_begin(*this);
  server_.writer_.ask(std::move(query), [self = shared_from_this()](Result<Positions> positions) {
    boost::asio::post(self->server_.io_,
                      [self, positions = std::move(positions)] { self->on_positions(positions); });
  });
}

void ConsumerConnection::apply(InboxBatch batch) {
  waiting_bytes_ += batch.payload_bytes();
  server_.writer_.apply(
      std::move(batch), [self = shared_from_this()](InboxBatch done, Result<void> outcome) {
        auto shared = std::make_shared<InboxBatch>(std::move(done));
        boost::asio::post(self->server_.io_, [self, shared, outcome = std::move(outcome)] {
          self->on_applied(*shared, outcome);
        });
      });
  if (paused_ || waiting_bytes_ <= server_.waiting_bytes_max(options_.window_bytes)) return;
  paused_ = true;
  socket_->pause_reading();
  server_.paused_.insert(shared_from_this());
}

void ConsumerConnection::on_positions(const Result<Positions>& positions) {
  server_.admission_.on_looked_up();
  if (!positions) server_.note_inbox_failed(positions.error());
  auto outcome = session_.on_positions(positions);
  if (!outcome) return give_up(outcome.error());
  if (session_.state() == ConsumerState::kStreaming) {
    socket_->limit_message_bytes(uplink::kMessageBytesMax);
    spdlog::info("{}: connected with {} streams", who(), session_.streams().size());
  }
  send_output();
}

void ConsumerConnection::on_applied(const InboxBatch& batch, const Result<void>& outcome) {
  waiting_bytes_ -= batch.payload_bytes();
  const bool streaming = session_.state() == ConsumerState::kStreaming;
  if (outcome) {
    server_.admission_.on_inbox_worked();
    session_.on_committed(batch);
    send_output();
  } else if (streaming) {
    server_.note_inbox_failed(outcome.error());
    give_up(session_.on_failed(outcome.error(), server_.retry_after_ms()));
  }
  server_.resume_paused();
}

void ConsumerConnection::resume_if_room() {
  if (waiting_bytes_ > server_.waiting_bytes_max(options_.window_bytes)) return;
  paused_ = false;
  server_.paused_.erase(shared_from_this());
  socket_->resume_reading();
}

void ConsumerConnection::give_up(const Error& error) {
  if (!logged_end_) spdlog::warn("{}: session ended: {}", who(), error.message);
  logged_end_ = true;
  send_output();
  // A paused socket would not read the answer to its closing handshake.
  if (paused_) socket_->resume_reading();
  paused_ = false;
  server_.paused_.erase(shared_from_this());
  socket_->close();
}

void ConsumerConnection::end(const uplink::Refusal& refusal) {
  if (session_.state() == ConsumerState::kClosed) return;
  give_up(session_.end(refusal.code, refusal.text, refusal.retry_after_ms));
}

void ConsumerConnection::on_closed(const Error& error) {
  if (!logged_end_) spdlog::info("{}: disconnected: {}", who(), error.message);
  logged_end_ = true;
  static_cast<void>(session_.end(uplink::RefusalCode::kNone, "the connection is gone"));
  server_.forget(shared_from_this());
}

void ConsumerConnection::send_output() {
  while (auto message = session_.take_output()) socket_->send(std::move(*message));
}

}  // namespace spillway::consumer
