// The sink that an uplink's url asks for, if this build has it.
//
// Each engine is a CMake option (SPILLWAY_SINK_RABBITMQ, ...), and what does not have it needs none of
// its library.
#pragma once

#include <memory>
#include <string>

#include "spillway/core/config.h"
#include "uplink/sinks/sink.h"

namespace spillway::uplink {

/// kInvalidArgument: no such sink in this build (the message names the option), or files that the
/// configuration names and that cannot be used. Connects nowhere.
[[nodiscard]] core::Result<std::unique_ptr<Sink>> make_sink(const core::UplinkConfig& uplink);

/// What `spillway sink setup` makes: one line for each thing, whether or not it is made.
struct SinkSetup {
  bool dry_run = false;
  std::vector<std::string> lines;
};
/// Declares what the engine needs for this uplink. kPermission, kRefused, kUnavailable as the engine
/// has it; `setup.lines` holds what was done before.
[[nodiscard]] core::Result<void> set_up_sink(const core::UplinkConfig& uplink, SinkSetup& setup);

/// The password that belongs to the url's user, from its file; empty where none is configured.
[[nodiscard]] core::Result<std::string> engine_password(const core::EngineConfig& engine);

}  // namespace spillway::uplink
