// spillway-iceoryx: the samples of iceoryx publishers become records, without a change to them.
//
// Exit codes: 0 ended by SIGTERM or SIGINT; 2 wrong use (flags, configuration, another bridge runs);
// 3 the system failed.
#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "edge-agent/ingest/adapter_loop.h"
#include "edge-agent/ingest/iceoryx/bridge.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"

namespace {

constexpr int kExitWrongUse = 2;

spillway::core::Result<void> run(const std::string& config_path) {
  using spillway::agent::iceoryx::Bridge;
  SPILLWAY_TRY(config, spillway::core::load_config(config_path));
  SPILLWAY_TRY(bridge, Bridge::open(spillway::core::env::posix_env(), config));
  spillway::agent::block_signals({SIGCHLD});
  return bridge->run();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Brings the samples of iceoryx publishers into lanes, as [[iceoryx.map]] says. Waits for the "
      "agent and for RouDi, and survives their restarts. Ends at SIGTERM or SIGINT.",
      "spillway-iceoryx"};
  std::string config_path;
  app.add_option("-c,--config", config_path, "configuration file (TOML)")->required();
  app.set_version_flag("--version", SPILLWAY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitWrongUse;
  }
  spillway::core::start_log("spillway-iceoryx");
  const auto ended = run(config_path);
  if (ended) return 0;
  spdlog::error("{}", ended.error().message);
  return spillway::core::exit_code_of(ended.error()) == kExitWrongUse ? kExitWrongUse : 3;
}
