#include "uplink/consumer/daemon/consumer_server.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>

#include "spillway/core/log.h"
#include "uplink/consumer/daemon/consumer_connection.h"

namespace spillway::consumer {

using core::Error;
using core::Result;
using uplink::Bytes;
using uplink::Refusal;
using uplink::RefusalCode;

namespace {

/// "10.0.0.7:41234" without its port.
std::string host_of(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

std::string text_of(const uplink::PeerCertificate& certificate) {
  if (certificate.is_empty()) return "";
  return certificate.subject + ", SHA-256 " + certificate.fingerprint;
}

}  // namespace

ConsumerServer::ConsumerServer(boost::asio::io_context& io, core::env::Env& env,
                               InboxWriter& writer, const core::ConsumerConfig& config)
    : io_(io),
      env_(env),
      writer_(writer),
      config_(config),
      book_({config.known_gateways_only, config.bind_certificates}) {}

ConsumerServer::~ConsumerServer() = default;

Result<void> ConsumerServer::listen() {
  SPILLWAY_TRY(endpoint, uplink::parse_endpoint(config_.listen));
  std::shared_ptr<uplink::TlsFiles> tls;
  if (endpoint.tls) {
    SPILLWAY_TRY(made, uplink::TlsFiles::open(uplink::TlsRole::kServer, config_.tls));
    tls = made;
  }
  SPILLWAY_TRY(listener, listen_websocket(io_, endpoint, tls, [this](auto socket) {
                 return adopt(std::move(socket));
               }));
  listener_ = std::move(listener);
  return {};
}

uplink::WebSocketHandlers ConsumerServer::adopt(std::shared_ptr<uplink::WebSocket> socket) {
  ConsumerSessionOptions options;
  options.unpacker = unpacker_;
  options.rules = {config_.max_record_bytes, config_.validate};
  options.keeps_blocks = is_relay();
  options.relays = config_.relays;
  auto connection = std::make_shared<ConsumerConnection>(*this, std::move(socket), options);
  connections_.insert(connection);
  return {[] {}, [connection](Bytes bytes) { connection->on_message(std::move(bytes)); }, [] {},
          [connection](const Error& error) { connection->on_closed(error); }};
}

std::optional<Refusal> ConsumerServer::refusal_for(const ConsumerConnection& connection) {
  const core::Uuid& gateway = connection.session().gateway();
  auto refusal = book_.refusal(gateway);
  if (!refusal) {
    refusal = book_.refusal_by_certificate(gateway, connection.socket().peer_certificate().names);
  }
  if (refusal && refusal->code == RefusalCode::kNotAllowed) {
    Sighting sighting;
    sighting.turned_away = 1;
    note(connection, std::move(sighting));
  }
  if (refusal) return refusal;
  const auto answer = admission_.ask(env_.boottime_ns());
  if (answer.let_in) return std::nullopt;
  return Refusal{RefusalCode::kUnavailable,
                 answer.resting ? "the inbox cannot take records now"
                                : "many gateways come back at once, and each gets its turn",
                 answer.retry_after_ms};
}

void ConsumerServer::claim_streams(const ConnectionPointer& connection) {
  for (const StreamIntake& stream : connection->session().streams()) {
    auto& owner = owners_[{stream.gateway(), stream.name()}];
    const auto older = owner.lock();
    owner = connection;
    if (older == nullptr || older == connection) continue;
    fence(*older, *connection, stream.name());
  }
}

void ConsumerServer::fence(ConsumerConnection& older, const ConsumerConnection& newer,
                           const std::string& stream) {
  if (older.session().state() == ConsumerState::kClosed) return;
  const bool alive = env_.boottime_ns() - older.heard_ns() < kAliveNs;
  const bool elsewhere = host_of(older.socket().peer()) != host_of(newer.socket().peer());
  if (alive || elsewhere) {
    Sighting sighting;
    sighting.conflicts = 1;
    note(newer, std::move(sighting));
    spdlog::warn(
        "{}: two claim to be this gateway: the session from {} takes over stream {} from the one "
        "from "
        "{}. Once in a while that is a link that moved; again and again it is a clone: give each "
        "machine an /etc/machine-id of its own and restart its agent",
        display_name(newer.session()), newer.socket().peer(), stream, older.socket().peer());
  }
  older.end({RefusalCode::kFenced,
             "a newer session of this gateway, from " + newer.socket().peer() +
                 ", has taken over stream " + stream +
                 ": if that is another machine, one of the two is a clone",
             fencing_.on_takeover(newer.session().gateway(), env_.boottime_ns())});
}

void ConsumerServer::set_known(KnownGateways known) {
  book_.load(std::move(known));
  // A copy: who is ended may be forgotten meanwhile.
  const auto connections = connections_;
  for (const ConnectionPointer& connection : connections) {
    if (!connection->let_in()) continue;
    if (const auto refusal = book_.refusal(connection->session().gateway())) {
      connection->end(*refusal);
    }
  }
}

void ConsumerServer::forget(const ConnectionPointer& connection) {
  const core::Uuid& gateway = connection->session().gateway();
  for (const StreamIntake& stream : connection->session().streams()) {
    const auto found = owners_.find({stream.gateway(), stream.name()});
    if (found != owners_.end() && found->second.lock() == connection) owners_.erase(found);
  }
  if (connection->let_in()) {
    auto& sessions = connected_[gateway];
    if (--sessions == 0) connected_.erase(gateway);
    note(*connection, {});
  }
  paused_.erase(connection);
  connections_.erase(connection);
  if (connections_.empty() && idle_) idle_();
}

void ConsumerServer::note_begin(const ConsumerConnection& connection) {
  ++connected_[connection.session().gateway()];
  Sighting sighting;
  sighting.sessions = 1;
  note(connection, std::move(sighting));
}

void ConsumerServer::note(const ConsumerConnection& connection, Sighting sighting) {
  if (!on_seen_) return;
  const ConsumerSession& session = connection.session();
  const auto sessions = connected_.find(session.gateway());
  sighting.name = session.gateway_name();
  sighting.address = host_of(connection.socket().peer());
  sighting.certificate = text_of(connection.socket().peer_certificate());
  sighting.uplink = session.uplink_name();
  sighting.at_ns = env_.utc_ns();
  sighting.connected = sessions == connected_.end() ? 0 : sessions->second;
  on_seen_(session.gateway(), sighting);
}

void ConsumerServer::note_inbox_failed(const Error& error) {
  // One session's trouble, and not the inbox's. In a relay each stream fails for itself.
  const bool is_one_sessions = error.code == core::ErrorCode::kBusy ||
                               error.code == core::ErrorCode::kCorrupt ||
                               error.code == core::ErrorCode::kInvalidArgument;
  if (is_one_sessions || is_relay()) return;
  const std::uint64_t now_ns = env_.boottime_ns();
  if (!admission_.is_resting(now_ns)) {
    spdlog::error("records cannot be taken now, uplinks are asked to come back: {}", error.message);
  }
  admission_.on_inbox_failed(now_ns);
}

std::uint64_t ConsumerServer::waiting_bytes_max(std::uint64_t window_bytes) const {
  if (writer_.queued_bytes() <= InboxWriter::kQueueBytesMax) return window_bytes;
  const std::uint64_t share =
      InboxWriter::kQueueBytesMax / std::max<std::size_t>(1, connections_.size());
  return std::min(window_bytes, share);
}

std::string ConsumerServer::display_name(const ConsumerSession& session) const {
  return book_.display_name(session.gateway(), session.gateway_name());
}

void ConsumerServer::when_idle(std::function<void()> idle) {
  idle_ = std::move(idle);
  if (connections_.empty()) idle_();
}

void ConsumerServer::resume_paused() {
  const auto paused = paused_;
  for (const ConnectionPointer& connection : paused) connection->resume_if_room();
}

void ConsumerServer::stop() {
  if (listener_) listener_->stop();
  for (const ConnectionPointer& connection : connections_) {
    connection->end({RefusalCode::kUnavailable, "the consumer is shutting down", 0});
  }
}

}  // namespace spillway::consumer
