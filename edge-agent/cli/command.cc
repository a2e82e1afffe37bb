#include "edge-agent/cli/command.h"

#include <iostream>

#include "spillway/shm/queue_directory.h"

namespace spillway::cli {

int report(int exit_code, const std::string& message) {
  std::cerr << "spillway: " << message << '\n';
  return exit_code;
}

int report(const core::Error& error) { return report(core::exit_code_of(error), error.message); }

void Directories::add_options(CLI::App& command) {
  command.add_option("-c,--config", config_path, "configuration file (TOML)");
  command.add_option("--queue-dir", queue_dir, "queue directory");
  command.add_option("--spill-dir", spill_dir, "spill directory");
}

core::Result<core::Config> Directories::load() const {
  core::Config config = core::default_config();
  if (!config_path.empty()) {
    SPILLWAY_TRY(loaded, core::load_config(config_path));
    config = std::move(loaded);
  } else {
    config.gateway.queue_dir = shm::default_queue_directory();
  }
  if (!queue_dir.empty()) config.gateway.queue_dir = queue_dir;
  if (!spill_dir.empty()) config.gateway.spill_dir = spill_dir;
  return config;
}

}  // namespace spillway::cli
