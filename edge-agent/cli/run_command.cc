// spillway run: the daemons and adapters that a configuration names, in the foreground, restarted when they die.
#include <csignal>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/supervisor.h"

namespace spillway::cli {
namespace {

void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  // Nor does a terminal that goes, or somebody's "reload", end the gateway: the children inherit it.
  ::signal(SIGHUP, SIG_IGN);
}

int run_all(const std::string& config_path) {
  const auto config = core::load_config(config_path);
  if (!config) return report(kWrongUse, config.error().message);
  const auto child = [&config_path](const std::string& name, const std::string& start_after) {
    return ChildSpec{name, {find_program(name), "--config", config_path}, start_after};
  };
  std::vector<ChildSpec> children{child("spillway-agent", "")};
  if (config->consumer) children.push_back(child("spillway-consumer", ""));
  if (!config->captures.empty()) children.push_back(child("spillway-capture", ""));
  // The uplink names the gateway, whose id the agent makes at its first start.
  if (!config->uplinks.empty()) {
    children.push_back(child("spillway-uplink", config->gateway.spill_dir + "/gateway"));
  }
  if (config->iceoryx) children.push_back(child("spillway-iceoryx", ""));
  if (config->api) children.push_back(child("spillway-api", ""));
  if (config->mqtt) children.push_back(child("spillway-mqtt", ""));
  block_signals();
  return Supervisor(std::move(children)).run();
}

}  // namespace

void add_run_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("run",
                                     "Run the agent, the uplink, the consumer and the adapters of "
                                     "a configuration in the foreground");
  auto config_path = std::make_shared<std::string>();
  command->add_option("-c,--config", *config_path, "configuration file (TOML)")->required();
  command->callback([config_path, &exit_code] { exit_code = run_all(*config_path); });
}

}  // namespace spillway::cli
