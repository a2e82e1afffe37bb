#include "uplink/daemon/sink_command.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "spillway/core/config.h"
#include "uplink/daemon/status_file.h"
#include "uplink/sinks/make_sink.h"

namespace spillway::uplink {

namespace {

core::Result<core::UplinkConfig> find_uplink(const SinkSetupCommand& command) {
  SPILLWAY_TRY(config, core::load_config(command.config_path));
  const auto found =
      std::find_if(config.uplinks.begin(), config.uplinks.end(),
                   [&](const auto& uplink) { return uplink.name == command.uplink; });
  const std::string what = "[[uplink]] named \"" + command.uplink + "\"";
  if (found == config.uplinks.end()) {
    return core::fail(core::ErrorCode::kInvalidArgument, config.path + " has no " + what);
  }
  if (found->engine.used()) return *found;
  return core::fail(core::ErrorCode::kInvalidArgument,
                    config.path + ": " + what +
                        " leads to a consumer: there is nothing that would have to be set up");
}

void print_json(const SinkSetupCommand& command, const core::Result<core::UplinkConfig>& uplink,
                const SinkSetup& setup, const core::Result<void>& outcome) {
  std::string declared;
  for (const std::string& line : setup.lines) {
    declared += (declared.empty() ? "" : ", ") + json_text(line);
  }
  std::cout << R"({"uplink": )" << json_text(command.uplink) << R"(, "url": )"
            << json_text(uplink ? uplink->url : "") << R"(, "dry_run": )"
            << (command.dry_run ? "true" : "false") << R"(, "declared": [)" << declared
            << R"(], "error": )" << json_text(outcome ? "" : outcome.error().message) << "}\n";
}

}  // namespace

int run_sink_setup(const SinkSetupCommand& command) {
  const auto uplink = find_uplink(command);
  SinkSetup setup;
  setup.dry_run = command.dry_run;
  core::Result<void> outcome;
  if (uplink) outcome = set_up_sink(*uplink, setup);
  if (!uplink) outcome = tl::unexpected(uplink.error());
  if (command.json) {
    print_json(command, uplink, setup, outcome);
  } else {
    const char* const done = command.dry_run ? "would declare " : "declared ";
    for (const std::string& line : setup.lines) std::cout << done << line << '\n';
    if (!outcome) std::cerr << "spillway: " << outcome.error().message << '\n';
  }
  return outcome ? EXIT_SUCCESS : core::exit_code_of(outcome.error());
}

}  // namespace spillway::uplink
