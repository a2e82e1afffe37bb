// spillway-capture: changes of databases become records.
//
// Exit codes: 0 done, or ended by SIGTERM or SIGINT; 1 the answer is no; 2 wrong use (flags,
// configuration); 3 the system failed.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>

#include "edge-agent/ingest/capture/capture_daemon.h"
#include "edge-agent/ingest/capture/make_source.h"
#include "edge-agent/ingest/capture/resnapshot.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "spillway/core/sandbox.h"

namespace {

namespace capture = spillway::agent::capture;
namespace core = spillway::core;
using core::Result;

constexpr int kExitWrongUse = 2;
constexpr std::size_t kStatusBytesMax = 1 << 20;

struct Wishes {
  std::string config_path;
  std::string name;  // empty: every capture
  bool dry_run = false;
};

Result<core::Config> load(const Wishes& wishes) {
  SPILLWAY_TRY(config, core::load_config(wishes.config_path));
  if (config.captures.empty()) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      config.path + " has no [[capture]] section: nothing to do");
  }
  const bool named =
      wishes.name.empty() || std::any_of(config.captures.begin(), config.captures.end(),
                                         [&](const auto& one) { return one.name == wishes.name; });
  if (!named) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      config.path + " has no capture named \"" + wishes.name + "\"");
  }
  return std::move(config);
}

Result<void> run_daemon(const Wishes& wishes) {
  SPILLWAY_TRY(config, load(wishes));
  spillway::agent::block_signals();
  if (config.gateway.sandbox) core::lock_down({core::Network::kConnects, true, {}});
  capture::CaptureDaemon(core::env::posix_env(), config).run();
  return {};
}

using One = std::function<Result<void>(const core::CaptureConfig&)>;

Result<void> for_each(const Wishes& wishes, const One& work) {
  SPILLWAY_TRY(config, load(wishes));
  for (const core::CaptureConfig& one : config.captures) {
    if (wishes.name.empty() || one.name == wishes.name) SPILLWAY_CHECKED(work(one));
  }
  return {};
}

Result<void> print(const Result<std::vector<std::string>>& sql) {
  if (!sql) return tl::unexpected(sql.error());
  for (const std::string& statement : *sql) std::cout << statement << ";\n";
  return {};
}

Result<void> set_up(const Wishes& wishes) {
  return for_each(wishes, [&](const core::CaptureConfig& one) -> Result<void> {
    if (wishes.dry_run) return print(capture::set_up_sql(one));
    SPILLWAY_CHECKED(capture::set_up(one));
    std::cout << one.name << ": set up in its source\n";
    return {};
  });
}

Result<void> take_away(const Wishes& wishes) {
  return for_each(wishes, [&](const core::CaptureConfig& one) -> Result<void> {
    if (wishes.dry_run) return print(capture::take_away_sql(one));
    SPILLWAY_CHECKED(capture::take_away(one));
    std::cout << one.name << ": removed from its source\n";
    return {};
  });
}

Result<void> resnapshot(const Wishes& wishes) {
  return for_each(wishes, [](const core::CaptureConfig& one) -> Result<void> {
    SPILLWAY_CHECKED(capture::request_resnapshot(one));
    std::cout << one.name << ": its tables' rows will be brought again\n";
    return {};
  });
}

Result<void> show_status(const Wishes& wishes) {
  SPILLWAY_TRY(config, load(wishes));
  const std::string path = config.gateway.queue_dir + "/capture.status";
  SPILLWAY_TRY(bytes, core::env::read_file(core::env::posix_env(), path, kStatusBytesMax));
  std::cout << std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()) << '\n';
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Makes records of the changes in databases, as [[capture]] says: SQLite by triggers, "
      "PostgreSQL "
      "by logical replication or an outbox. Ends at SIGTERM or SIGINT.",
      "spillway-capture"};
  Wishes wishes;
  std::function<Result<void>(const Wishes&)> work = run_daemon;
  app.add_option("-c,--config", wishes.config_path, "configuration file (TOML)")->required();
  app.set_version_flag("--version", SPILLWAY_VERSION);
  app.require_subcommand(0, 1);
  app.fallthrough();
  const auto command = [&](const char* name, const char* text,
                           Result<void> (*what)(const Wishes&)) {
    auto* sub = app.add_subcommand(name, text);
    sub->add_option("name", wishes.name, "the capture's name (default: every one)");
    sub->callback([&work, what] { work = what; });
    return sub;
  };
  for (auto* sub : {command("setup", "Make triggers, publication and slot in the sources", set_up),
                    command("remove", "Take them away, and the position", take_away)}) {
    sub->add_flag("--dry-run", wishes.dry_run, "print the SQL, and do nothing");
  }
  command("resnapshot", "Have all rows brought again, in a new epoch", resnapshot);
  command("status", "Print how the captures do, as JSON", show_status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitWrongUse;
  }
  core::start_log("spillway-capture");
  const auto ended = work(wishes);
  if (ended) return 0;
  std::cerr << "spillway-capture: " + ended.error().message + "\n";
  return core::exit_code_of(ended.error());
}
