// One connection to a NATS server with JetStream, by libnats: for the sink, its setup and the consumer's
// source.
//
// Invariants:
//  1. Nothing here reconnects: whoever owns the session decides when to begin anew.
//  2. Every call to the server has a bound in time.
#pragma once

#include <nats/nats.h>

#include <cstdint>
#include <memory>
#include <string>

#include "spillway/core/engine_config.h"
#include "spillway/core/tls_config.h"
#include "uplink/engines/nats/nats_events.h"

namespace spillway::uplink {

struct NatsFree {
  void operator()(natsConnection* connection) const { natsConnection_Destroy(connection); }
  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
  void operator()(jsCtx* context) const { jsCtx_Destroy(context); }
  void operator()(jsStreamInfo* info) const { jsStreamInfo_Destroy(info); }
  void operator()(natsSubscription* subscription) const { natsSubscription_Destroy(subscription); }
};
template <typename T>
using NatsPointer = std::unique_ptr<T, NatsFree>;

struct NatsAddress {
  core::EngineUrl url;
  core::TlsConfig tls;
  std::string password;

  /// NATS has no scheme for TLS of its own: it is used where [uplink.tls] says anything.
  [[nodiscard]] bool secure() const { return !tls.ca.empty() || !tls.certificate.empty(); }
};

struct NatsSession {
  std::shared_ptr<NatsEvents> events;
  NatsPointer<natsConnection> connection;
  NatsPointer<jsCtx> context;  // goes before the connection
};

/// kUnavailable, kPermission, kInvalidArgument (a certificate): the message says what to do.
[[nodiscard]] core::Result<NatsSession> connect_nats(const NatsAddress& address,
                                                     std::uint64_t timeout_ns);

/// What went wrong with what was tried; `code` and `text` are JetStream's, where it has said more.
[[nodiscard]] core::Error nats_error(const std::string& tried, natsStatus status,
                                     jsErrCode code = static_cast<jsErrCode>(0),
                                     const char* text = nullptr);

}  // namespace spillway::uplink
