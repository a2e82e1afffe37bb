// What a NATS server needs for this uplink: a JetStream stream that takes its subjects.
#pragma once

#include "uplink/sinks/sink_module.h"

namespace spillway::uplink {

/// Makes the stream, or changes it to what is configured. kRefused: the server does not take it.
[[nodiscard]] core::Result<void> set_up_nats(const core::UplinkConfig& uplink, SinkSetup& setup);

}  // namespace spillway::uplink
