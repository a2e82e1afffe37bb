// The sink that an uplink's url asks for: its engine's module, if it is installed (engine_module.h).
#pragma once

#include <memory>

#include "uplink/sinks/sink_module.h"

namespace spillway::uplink {

/// kInvalidArgument: no such sink, or not here (the message names the package), or files that the
/// configuration names and that cannot be used. Connects nowhere.
[[nodiscard]] core::Result<std::unique_ptr<Sink>> make_sink(const core::UplinkConfig& uplink);

/// Declares what the engine needs for this uplink. kPermission, kRefused, kUnavailable as the engine
/// has it; `setup.lines` holds what was done before.
[[nodiscard]] core::Result<void> set_up_sink(const core::UplinkConfig& uplink, SinkSetup& setup);

}  // namespace spillway::uplink
