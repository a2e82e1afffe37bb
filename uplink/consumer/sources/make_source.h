// The source that a [[consumer.source]] asks for: its engine's module, if it is installed
// (uplink/engines/engine_module.h).
#pragma once

#include <memory>

#include "uplink/consumer/sources/source_module.h"

namespace spillway::consumer {

/// kInvalidArgument: no such source, or not here (the message names the package), or files that the
/// configuration names and that cannot be used. Connects nowhere.
[[nodiscard]] core::Result<std::unique_ptr<BrokerSource>> make_source(
    const core::SourceConfig& config);

}  // namespace spillway::consumer
