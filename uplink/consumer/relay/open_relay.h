// A relay as the configuration wants it.
#pragma once

#include <memory>

#include "spillway/core/config.h"
#include "uplink/consumer/inbox/inbox.h"

namespace spillway::consumer {

/// The inbox of [consumer] inbox = "spill:..."; the [[uplink]]s of this directory hold its segments.
[[nodiscard]] core::Result<std::unique_ptr<Inbox>> open_relay(const core::Config& config);

}  // namespace spillway::consumer
