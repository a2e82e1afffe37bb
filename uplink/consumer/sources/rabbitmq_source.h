// RabbitmqSource: reads a queue of a RabbitMQ, by rabbitmq-c (AMQP 0-9-1). Each message is acknowledged
// after the inbox has committed it, many by one acknowledgement. Several consumers may read one queue:
// each gets a share, and what one leaves behind comes to another.
//
// What is refused is rejected without requeue: it goes to the queue's dead-letter exchange, or is gone
// where it has none.
//
// One thread.
#pragma once

#include <memory>

#include "spillway/core/source_config.h"
#include "uplink/consumer/sources/broker_source.h"

namespace spillway::consumer {

/// kInvalidArgument: a file that the configuration names cannot be used.
[[nodiscard]] core::Result<std::unique_ptr<BrokerSource>> make_rabbitmq_source(
    const core::SourceConfig& config);

}  // namespace spillway::consumer
