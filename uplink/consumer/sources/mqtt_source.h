// MqttSource: reads an MQTT 5 broker's subscriptions, by libmosquitto: QoS 1, a session that stays at the broker
// while the consumer is away, and acknowledgements that leave after the inbox has committed
// (spillway/core/mqtt/mqtt_reader.h). Several consumers share the work by "$share/group/filter"; each has its own
// client_id, and what one of them was given waits for that one.
//
// What is refused is acknowledged and passed over: MQTT has no place for such.
//
// One thread.
#pragma once

#include <memory>

#include "spillway/core/source_config.h"
#include "uplink/consumer/sources/broker_source.h"

namespace spillway::consumer {

/// kInvalidArgument: a file that the configuration names cannot be used.
[[nodiscard]] core::Result<std::unique_ptr<BrokerSource>> make_mqtt_source(
    const core::SourceConfig& config);

}  // namespace spillway::consumer
