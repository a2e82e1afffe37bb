// spillway-consumer: receives records from gateways and keeps each once in its inbox.
//
// Exit codes: 0 ended by SIGTERM or SIGINT, 2 wrong use (flags, configuration), 3 the system failed
// (port in use, inbox).
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdlib>

#include "spillway/core/config.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "uplink/consumer/daemon/consumer_server.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"

namespace {

using namespace spillway;
using core::ErrorCode;
using core::Result;

constexpr std::chrono::seconds kGoodbyeTimeout{2};
constexpr int kExitWrongUse = 2;
constexpr int kExitSystem = 3;

int exit_code(const core::Error& error) {
  const bool wrong_use = error.code == ErrorCode::kInvalidArgument;
  return wrong_use ? kExitWrongUse : kExitSystem;
}

Result<std::unique_ptr<consumer::Inbox>> open_inbox(const std::string& inbox) {
  constexpr std::string_view kScheme = "sqlite:";
  if (!inbox.starts_with(kScheme) || inbox.size() == kScheme.size()) {
    return core::fail(ErrorCode::kInvalidArgument,
                      "[consumer] inbox = \"" + inbox + "\" is not sqlite:/path/of/inbox.db");
  }
  return consumer::open_sqlite_inbox(inbox.substr(kScheme.size()));
}

Result<void> serve(const core::ConsumerConfig& config) {
  SPILLWAY_TRY(inbox, open_inbox(config.inbox));
  consumer::InboxWriter writer(std::move(inbox));
  boost::asio::io_context io(1);
  consumer::ConsumerServer server(io, core::env::posix_env(), writer);
  SPILLWAY_CHECKED(server.listen(config));
  spdlog::info("listening on {}, inbox {}", config.listen, config.inbox);

  boost::asio::steady_timer deadline(io);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](const auto& error, int signal) {
    if (error) return;
    spdlog::info("ended by signal {}", signal);
    server.stop();
    // Peers that do not answer the closing handshake get this long.
    deadline.expires_after(kGoodbyeTimeout);
    deadline.async_wait([&](const auto& cancelled) {
      if (!cancelled) io.stop();
    });
    server.when_idle([&] { io.stop(); });
  });
  io.run();
  writer.stop();
  return {};
}

Result<void> run(const std::string& path) {
  SPILLWAY_TRY(config, core::load_config(path));
  if (!config.consumer) {
    return core::fail(ErrorCode::kInvalidArgument,
                      path + " has no [consumer] section: add one with listen and inbox");
  }
  return serve(*config.consumer);
}

}  // namespace

int main(int argc, char** argv) {
  core::start_log("spillway-consumer");
  CLI::App app{"Receives records from gateways and keeps each once in its inbox."};
  std::string path;
  app.add_option("--config", path, "the configuration file")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EXIT_SUCCESS : kExitWrongUse;
  }
  const auto outcome = run(path);
  if (outcome) return EXIT_SUCCESS;
  spdlog::error("{}", outcome.error().message);
  return exit_code(outcome.error());
}
