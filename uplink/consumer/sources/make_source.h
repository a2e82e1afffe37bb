// The source that a [[consumer.source]] asks for, if this build has it.
//
// Each engine is a CMake option (SPILLWAY_SOURCE_RABBITMQ, ...), and what does not have it needs none of
// its library.
#pragma once

#include <memory>

#include "spillway/core/source_config.h"
#include "uplink/consumer/sources/broker_source.h"

namespace spillway::consumer {

/// kInvalidArgument: no such source in this build (the message names the option), or files that the
/// configuration names and that cannot be used. Connects nowhere.
[[nodiscard]] core::Result<std::unique_ptr<BrokerSource>> make_source(
    const core::SourceConfig& config);

}  // namespace spillway::consumer
