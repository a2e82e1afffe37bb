// NatsSource: reads a JetStream stream through a durable pull consumer, by libnats. Each message is acknowledged
// after the inbox has committed it. Several consumers may read through one durable: each gets a share, and
// what one leaves behind comes to another after ack_wait.
//
// What is refused is terminated: it stays in the stream, and is not brought again.
//
// One thread.
#pragma once

#include <memory>

#include "spillway/core/source_config.h"
#include "uplink/consumer/sources/broker_source.h"

namespace spillway::consumer {

/// kInvalidArgument: a file that the configuration names cannot be used.
[[nodiscard]] core::Result<std::unique_ptr<BrokerSource>> make_nats_source(
    const core::SourceConfig& config);

}  // namespace spillway::consumer
