// What the adapter says of itself, <queue_dir>/mqtt.status. Any thread.
#pragma once

#include <string>

#include "edge-agent/ingest/mqtt/counts.h"
#include "spillway/core/mqtt_ingest_config.h"

namespace spillway::agent::mqtt {

[[nodiscard]] std::string render_status(const core::MqttIngestConfig& config, const Counts& counts);

}  // namespace spillway::agent::mqtt
