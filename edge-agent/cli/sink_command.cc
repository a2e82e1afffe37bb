// spillway sink setup NAME: declares what the engine at an uplink's far end needs.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/supervisor.h"

namespace spillway::cli {
namespace {

struct Options {
  std::string config_path;
  std::string uplink;
  bool dry_run = false;
  bool json = false;
};

/// The engines' libraries are the uplink's: it does it, in this process's place.
int become_uplink(const Options& options) {
  const std::string program = find_program("spillway-uplink");
  std::vector<std::string> words{program, "--config", options.config_path,
                                 "sink",  "setup",    options.uplink};
  if (options.dry_run) words.emplace_back("--dry-run");
  if (options.json) words.emplace_back("--json");
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  return report(kSystemFailed, "cannot run " + program + ": " + std::strerror(errno) +
                                   "; it is installed with the package that brings the uplink");
}

}  // namespace

void add_sink_command(CLI::App& app, int& exit_code) {
  auto* sink = app.add_subcommand("sink", "Set up an engine at an uplink's far end");
  sink->require_subcommand(1);
  auto* setup = sink->add_subcommand(
      "setup", "Declare what the engine needs: exchange and queue, topic, stream");
  auto options = std::make_shared<Options>();
  setup->add_option("uplink", options->uplink, "name of the [[uplink]]")->required();
  setup->add_option("-c,--config", options->config_path, "configuration file (TOML)")->required();
  setup->add_flag("--dry-run", options->dry_run, "connect nowhere, say what would be declared");
  setup->add_flag("--json", options->json, "print JSON");
  setup->callback([options, &exit_code] { exit_code = become_uplink(*options); });
}

}  // namespace spillway::cli
