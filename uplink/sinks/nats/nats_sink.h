// The sink for NATS JetStream, by libnats: asynchronous publishing, each message with its record's identity as
// Nats-Msg-Id, so that the server itself drops what comes twice within the stream's duplicate window.
//
// Threads: the caller's; acknowledgements come from the library's through NatsEvents.
//
// Invariants:
//  1. kStored: the stream has it, as its set-up (replicas, file storage) makes it durable.
//  2. A message that is larger than the stream or the server takes is refused: no other try can help. A
//     stream that is full, missing, or closed to this user is an error of the sink.
#pragma once

#include <memory>

#include "spillway/core/config.h"
#include "uplink/engines/nats/nats_connection.h"
#include "uplink/sinks/sink.h"

namespace spillway::uplink {

/// Where the uplink's url leads, with the password from its file.
[[nodiscard]] core::Result<NatsAddress> nats_address(const core::UplinkConfig& uplink);
[[nodiscard]] core::Result<std::unique_ptr<Sink>> make_nats_sink(const core::UplinkConfig& uplink);

}  // namespace spillway::uplink
