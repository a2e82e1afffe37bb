// spillway-uplink: drains this machine's streams to far ends whenever there is a link.
//
// Exit codes: 0 ended by SIGTERM or SIGINT, 2 wrong use (flags, configuration), 3 the system failed
// (another uplink of this name runs, a spill of a newer version).
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdlib>

#include "spillway/core/config.h"
#include "spillway/core/env/file_helper.h"
#include "spillway/core/env/open_files.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "spillway/core/sandbox.h"
#include "uplink/daemon/own_files.h"
#include "uplink/daemon/sink_command.h"
#include "uplink/daemon/sink_runner.h"
#include "uplink/daemon/uplink_runner.h"
#include "uplink/link/link_watch.h"
#include "uplink/link/service_heart.h"

namespace {

using namespace spillway;
using core::ErrorCode;
using core::Result;
using uplink::Runner;
using uplink::SinkRunner;
using uplink::UplinkRunner;

constexpr std::chrono::seconds kGoodbyeTimeout{2};
constexpr int kExitWrongUse = 2;
constexpr int kExitSystem = 3;

Result<std::vector<core::UplinkConfig>> chosen(const core::Config& config,
                                               const std::string& name) {
  std::vector<core::UplinkConfig> found;
  for (const core::UplinkConfig& uplink : config.uplinks) {
    if (name.empty() || uplink.name == name) found.push_back(uplink);
  }
  if (!found.empty()) return found;
  const std::string what =
      name.empty() ? "no [[uplink]] section" : "no [[uplink]] named \"" + name + "\"";
  return core::fail(ErrorCode::kInvalidArgument, config.path + " has " + what + ": nothing to do");
}

/// What a backlog's messages took goes back to the system when it is drained. Left to itself the C library raises its
/// own thresholds after the first large message, and keeps a heap for each thread.
void keep_heap_small() {
  constexpr int kKeptBytesMax = 256 << 10;
  constexpr int kHeapsMax = 2;
  ::mallopt(M_MMAP_THRESHOLD, kKeptBytesMax);
  ::mallopt(M_TRIM_THRESHOLD, kKeptBytesMax);
  ::mallopt(M_ARENA_MAX, kHeapsMax);
}

/// Without its helper an uplink would send on and on, and note down nothing of it.
void watch_helper(boost::asio::signal_set& children, core::env::FileHelper& helper,
                  std::function<void(const core::Error&)> when_dead) {
  children.async_wait([&children, &helper, when_dead](const auto& error, int) {
    if (error) return;
    if (!helper.has_died()) return watch_helper(children, helper, when_dead);
    when_dead({ErrorCode::kIo, "the process that opens files for this one has died"});
  });
}

/// Native links run on one thread, engines' uplinks on one each. A fatal error of one uplink ends the
/// process, and its supervisor starts it again.
Result<void> serve(const core::Config& config, const std::vector<core::UplinkConfig>& uplinks,
                   core::env::FileHelper* helper) {
  boost::asio::io_context io(1);
  Result<void> outcome;
  boost::asio::steady_timer deadline(io);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  std::vector<std::unique_ptr<Runner>> runners;
  std::unique_ptr<uplink::LinkWatch> watch;  // goes with the rest: it would keep io busy
  uplink::ServiceHeart heart(io, core::env::posix_env(), [&runners] {
    return std::all_of(runners.begin(), runners.end(),
                       [](const auto& one) { return one->turning(); });
  });
  boost::asio::signal_set children(io, SIGCHLD);
  const auto stop = [&] {
    heart.stopping();
    signals.cancel();
    children.cancel();
    watch.reset();
    for (const auto& runner : runners) runner->stop();
    // A peer that does not say goodbye gets this long.
    const auto closed = [](const auto& runner) { return runner->closed(); };
    if (std::all_of(runners.begin(), runners.end(), closed)) return io.stop();
    deadline.expires_after(kGoodbyeTimeout);
    deadline.async_wait([&](const auto&) { io.stop(); });
    for (const auto& runner : runners) {
      runner->when_closed([&, closed] {
        boost::asio::post(io, [&, closed] {
          if (std::all_of(runners.begin(), runners.end(), closed)) io.stop();
        });
      });
    }
  };
  for (const core::UplinkConfig& uplink : uplinks) {
    const auto on_fatal = [&](const core::Error& error) {
      boost::asio::dispatch(io, [&, error] {
        if (outcome) outcome = tl::unexpected(error);
        stop();
      });
    };
    auto& env = helper == nullptr ? core::env::posix_env() : helper->env();
    if (uplink.engine.used()) {
      runners.push_back(std::make_unique<SinkRunner>(env, config, uplink, on_fatal));
    } else {
      runners.push_back(std::make_unique<UplinkRunner>(io, env, config, uplink, on_fatal));
    }
    SPILLWAY_CHECKED(runners.back()->prepare());
  }
  signals.async_wait([&](const auto& error, int signal) {
    if (error) return;
    spdlog::info("ended by signal {}", signal);
    stop();
  });
  auto watching = uplink::LinkWatch::start(io, [&](const std::string&) {
    for (const auto& runner : runners) runner->on_network_up();
  });
  if (watching) watch = std::move(*watching);
  if (!watching) spdlog::warn("reconnects by timers alone: {}", watching.error().message);
  if (helper != nullptr) {
    watch_helper(children, *helper, [&](const core::Error& error) {
      if (outcome) outcome = tl::unexpected(error);
      stop();
    });
    core::lock_down({core::Network::kConnects, false, {}});
  }
  for (const auto& runner : runners) runner->start();
  heart.ready();
  io.run();
  return outcome;
}

Result<void> run(const std::string& path, const std::string& name) {
  SPILLWAY_TRY(config, core::load_config(path));
  SPILLWAY_TRY(uplinks, chosen(config, name));
  core::env::raise_open_files_limit();
  if (!config.gateway.sandbox) return serve(config, uplinks, nullptr);
  const uplink::OwnFiles own(config, uplinks);
  SPILLWAY_TRY(helper, core::env::FileHelper::start(
                           [&own](const std::string& file) { return own.holds(file); }));
  return serve(config, uplinks, helper.get());
}

}  // namespace

int main(int argc, char** argv) {
  keep_heap_small();
  core::start_log("spillway-uplink");
  CLI::App app{"Drains this machine's streams to far ends whenever there is a link."};
  std::string path;
  std::string name;
  app.add_option("--config", path, "the configuration file")->required();
  app.add_option("--uplink", name, "only this one of the configured uplinks");
  uplink::SinkSetupCommand setup;
  auto* sink = app.add_subcommand("sink", "Set up an engine at an uplink's far end");
  auto* declare = sink->require_subcommand(1)->add_subcommand(
      "setup", "Declare what the engine needs: exchange and queue, topic, stream");
  declare->add_option("uplink", setup.uplink, "name of the [[uplink]]")->required();
  declare->add_flag("--dry-run", setup.dry_run, "connect nowhere, say what would be declared");
  declare->add_flag("--json", setup.json, "print JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EXIT_SUCCESS : kExitWrongUse;
  }
  if (*declare) {
    setup.config_path = path;
    return uplink::run_sink_setup(setup);
  }
  const auto outcome = run(path, name);
  if (outcome) return EXIT_SUCCESS;
  spdlog::error("{}", outcome.error().message);
  return outcome.error().code == ErrorCode::kInvalidArgument ? kExitWrongUse : kExitSystem;
}
