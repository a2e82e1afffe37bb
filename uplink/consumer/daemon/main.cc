// spillway-consumer: receives records from gateways and keeps each once in its inbox. Its subcommands
// look at that inbox, and change it, while it runs.
//
// Exit codes: 0 done, or ended by SIGTERM or SIGINT; 1 the answer is no; 2 wrong use (flags,
// configuration); 3 the system failed (port in use, inbox).
#include "spillway/core/log.h"
#include "uplink/consumer/daemon/tool.h"

int main(int argc, char** argv) {
  using namespace spillway::consumer;
  CLI::App app{"Receives records from gateways and keeps each once in its inbox.",
               "spillway-consumer"};
  app.footer(
      "Without a command it is the daemon. Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 "
      "the system failed.");
  app.require_subcommand(0, 1);
  std::string config;
  int exit_code = tool::kDone;
  // The commands pass on what is not theirs, so that --config may stand behind them, too.
  app.add_option("-c,--config", config, "the configuration file")->required();
  tool::add_gateway_command(app, config, exit_code);
  tool::add_dead_command(app, config, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? tool::kDone : tool::kWrongUse;
  }
  if (!app.get_subcommands().empty()) return exit_code;
  spillway::core::start_log("spillway-consumer");
  return tool::run_consumer(config);
}
