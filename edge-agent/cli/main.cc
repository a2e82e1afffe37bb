// spillway: the command for people.
#include "edge-agent/cli/command.h"

int main(int argc, char** argv) {
  CLI::App app{"Spillway: store and forward for edge gateways.", "spillway"};
  app.require_subcommand(1);
  app.set_version_flag("--version", SPILLWAY_VERSION);
  app.footer("Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 the system failed.");
  int exit_code = 0;
  spillway::cli::add_run_command(app, exit_code);
  spillway::cli::add_put_command(app, exit_code);
  spillway::cli::add_tail_command(app, exit_code);
  spillway::cli::add_status_command(app, exit_code);
  spillway::cli::add_verify_command(app, exit_code);
  spillway::cli::add_dead_command(app, exit_code);
  spillway::cli::add_sink_command(app, exit_code);
  spillway::cli::add_plan_command(app, exit_code);
  spillway::cli::add_torture_command(app, exit_code);
  spillway::cli::add_config_command(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? spillway::cli::kDone : spillway::cli::kWrongUse;
  }
  return exit_code;
}
