// What a RabbitMQ needs for an uplink: an exchange, a durable quorum queue, and its binding.
#pragma once

#include "spillway/core/config.h"
#include "uplink/sinks/sink_module.h"

namespace spillway::uplink {

/// May be called again and again: what is there as it should be stays. kRefused: it is there, but not
/// as it should be.
[[nodiscard]] core::Result<void> set_up_rabbitmq(const core::UplinkConfig& uplink,
                                                 SinkSetup& setup);

}  // namespace spillway::uplink
