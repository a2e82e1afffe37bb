// spillway-uplink sink setup NAME: declares what the engine at an uplink's far end needs. It stands
// here because the engine's library does; people call it as `spillway sink setup`.
#pragma once

#include <string>

namespace spillway::uplink {

struct SinkSetupCommand {
  std::string config_path;
  std::string uplink;
  bool dry_run = false;
  bool json = false;
};

/// Prints what was (or would be) declared; returns the exit code.
[[nodiscard]] int run_sink_setup(const SinkSetupCommand& command);

}  // namespace spillway::uplink
