// spillway-agent: drains the queue into the spill.
#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <iostream>

#include "edge-agent/daemon/agent.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"

namespace {

std::atomic<bool> stop_wanted{false};
std::atomic<bool> reload_wanted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

void handle_signals() {
  struct sigaction action {};
  // No SA_RESTART: the agent's sleep must end when it is told to stop.
  action.sa_handler = [](int) { stop_wanted.store(true, std::memory_order_relaxed); };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  action.sa_handler = [](int) { reload_wanted.store(true, std::memory_order_relaxed); };
  ::sigaction(SIGHUP, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

int run_agent(const std::string& config_path) {
  namespace core = spillway::core;
  auto config = config_path.empty() ? core::Result<core::Config>(core::default_config())
                                    : core::load_config(config_path);
  if (!config) {
    std::cerr << "spillway-agent: " + config.error().message + "\n";  // in one write
    return 2;
  }
  auto agent = spillway::agent::Agent::open(core::env::posix_env(), *config);
  if (!agent) {
    std::cerr << "spillway-agent: " + agent.error().message + "\n";
    return spillway::agent::start_exit_code(agent.error());
  }
  if (const auto ended = (*agent)->run(stop_wanted, reload_wanted); !ended) {
    spdlog::error("{}", ended.error().message);
    return 3;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Drains the queue into the spill. Ends at SIGTERM or SIGINT, when everything is synced. "
      "Reads its "
      "configuration anew at SIGHUP.",
      "spillway-agent"};
  std::string config_path;
  bool verbose = false;
  app.add_option("-c,--config", config_path, "configuration file (TOML); without it: the defaults");
  app.add_flag("-v,--verbose", verbose, "log more");
  app.set_version_flag("--version", SPILLWAY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  spillway::core::start_log("spillway-agent");
  if (verbose) spdlog::set_level(spdlog::level::debug);
  handle_signals();
  return run_agent(config_path);
}
