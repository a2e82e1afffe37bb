// From the configuration to a Kafka sink, and what `spillway sink setup` makes for it.
#pragma once

#include "uplink/sinks/kafka/kafka_settings.h"
#include "uplink/sinks/sink_module.h"

namespace spillway::uplink::kafka {

[[nodiscard]] KafkaSettings settings_of(const core::UplinkConfig& uplink);
[[nodiscard]] core::Result<std::unique_ptr<Sink>> make_kafka_sink(const core::UplinkConfig& uplink);
/// The topics whose names are known beforehand, with partitions and retention; what is there already
/// stays as it is, and is told where it differs.
[[nodiscard]] core::Result<void> set_up_kafka(const core::UplinkConfig& uplink, SinkSetup& setup);

}  // namespace spillway::uplink::kafka
