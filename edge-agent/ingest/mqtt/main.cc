// spillway-mqtt: the messages of an MQTT broker become records.
//
// Exit codes: 0 ended by SIGTERM or SIGINT; 2 wrong use (flags, configuration); 3 the system failed.
#include <CLI/CLI.hpp>

#include "edge-agent/ingest/mqtt/mqtt_daemon.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "spillway/core/sandbox.h"

namespace {

namespace core = spillway::core;

constexpr int kExitWrongUse = 2;

core::Result<void> run(const std::string& config_path) {
  SPILLWAY_TRY(config, core::load_config(config_path));
  if (!config.mqtt) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      config.path + " has no [mqtt] section: nothing to do");
  }
  spillway::agent::block_signals();
  if (config.gateway.sandbox) core::lock_down({core::Network::kConnects, true, {}});
  spillway::agent::mqtt::MqttDaemon(core::env::posix_env(), config).run();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Brings the messages of an MQTT broker into lanes, as [mqtt] and [[mqtt.map]] say. Waits for "
      "the agent and for the broker, and survives their restarts. Ends at SIGTERM or SIGINT.",
      "spillway-mqtt"};
  std::string config_path;
  app.add_option("-c,--config", config_path, "configuration file (TOML)")->required();
  app.set_version_flag("--version", SPILLWAY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitWrongUse;
  }
  core::start_log("spillway-mqtt");
  const auto ended = run(config_path);
  if (ended) return 0;
  spdlog::error("{}", ended.error().message);
  return core::exit_code_of(ended.error());
}
