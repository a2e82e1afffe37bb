// spillway-api: takes records over HTTP and puts them into lanes.
//
// Exit codes: 0 ended by SIGTERM or SIGINT; 2 wrong use (flags, configuration, files); 3 the system
// failed (somebody else listens there).
#include <CLI/CLI.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>

#include "edge-agent/ingest/api/lane_book.h"
#include "edge-agent/ingest/api/server.h"
#include "spillway/core/config.h"
#include "spillway/core/env/open_files.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "spillway/core/sandbox.h"
#include "spillway/core/schema.h"
#include "spillway/core/service_notifier.h"

namespace {

using namespace spillway;
using namespace spillway::agent::api;
using core::Result;

constexpr std::chrono::milliseconds kTick{50};
constexpr std::uint64_t kStatusEveryNs = 1'000'000'000;
/// For the requests that wait for a level when the end comes, and then for their answers' way out.
constexpr std::uint64_t kGoodbyeNs = 2'000'000'000;
constexpr std::uint64_t kLastWordsNs = 500'000'000;
constexpr int kExitWrongUse = 2;
constexpr int kExitSystem = 3;

class Api {
 public:
  Api(const core::Config& config, SchemaStore& schemas, const Tokens& tokens)
      : config_(config),
        schemas_(schemas),
        lanes_(lane_settings(config), config.api->lanes_max,
               [this](std::function<void()> call) { boost::asio::post(io_, std::move(call)); }),
        service_(*config.api, schemas, tokens, lanes_),
        door_{service_, *config.api, [] { return core::env::posix_env().boottime_ns(); }},
        server_(io_, door_) {}

  Result<void> run() {
    SPILLWAY_CHECKED(server_.open());
    signals_.async_wait([this](const auto& error, int signal) {
      if (error) return;
      spdlog::info("ended by signal {}", signal);
      notifier_.stopping();
      server_.close();
      door_.closing = true;
      closing_ns_ = door_.now_ns();
    });
    notifier_.ready();
    tick();
    io_.run();
    return {};
  }

 private:
  static LaneSettings lane_settings(const core::Config& config) {
    LaneSettings settings;
    settings.queue_dir = config.gateway.queue_dir;
    // The same after a restart, so that new records do not overtake old ones; another one for an API
    // with other doors, whose lanes would else wait for this one's.
    const std::string doors = config.api->socket + " " + config.api->listen;
    settings.producer_name +=
        "-" +
        core::fingerprint_text(core::schema_fingerprint(std::as_bytes(std::span(doors)))).substr(8);
    settings.lane_bytes = config.api->lane_bytes;
    settings.max_record_bytes = static_cast<std::uint32_t>(config.api->max_record_bytes);
    return settings;
  }

  void tick() {
    const std::uint64_t now_ns = door_.now_ns();
    service_.expire(now_ns);
    notifier_.alive(now_ns);
    show_status(now_ns);
    if (door_.closing && is_over(now_ns)) return io_.stop();
    timer_.expires_after(kTick);
    timer_.async_wait([this](const auto& error) {
      if (!error) tick();
    });
  }

  bool is_over(std::uint64_t now_ns) {
    const std::uint64_t closing = now_ns - closing_ns_;
    if (lanes_open_ && service_.waiting() != 0 && closing < kGoodbyeNs) return false;
    if (lanes_open_) {
      lanes_open_ = false;
      lanes_.close();  // answers the rest
      closed_ns_ = now_ns;
      return false;
    }
    return door_.connections == 0 || now_ns - closed_ns_ >= kLastWordsNs;
  }

  void show_status(std::uint64_t now_ns) {
    if (now_ns < status_due_ns_) return;
    status_due_ns_ = now_ns + kStatusEveryNs;
    std::string text = status_json(service_, lanes_, schemas_.size());
    if (text == shown_) return;
    const auto written =
        core::env::replace_file(core::env::posix_env(), config_.gateway.queue_dir + "/api.status",
                                std::as_bytes(std::span(text)));
    // Before the agent's first start there is no such directory.
    if (written) shown_ = std::move(text);
  }

  const core::Config& config_;
  SchemaStore& schemas_;
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_{io_, SIGTERM, SIGINT};
  boost::asio::steady_timer timer_{io_};
  core::ServiceNotifier notifier_;
  LaneBook lanes_;
  Service service_;
  Door door_;
  Server server_;
  bool lanes_open_ = true;
  std::uint64_t closing_ns_ = 0;
  std::uint64_t closed_ns_ = 0;
  std::uint64_t status_due_ns_ = 0;
  std::string shown_;
};

Result<void> run(const std::string& config_path) {
  SPILLWAY_TRY(config, core::load_config(config_path));
  if (!config.api) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      config.path + " has no [api] section: nothing to do");
  }
  Tokens tokens;
  if (!config.api->token_file.empty()) {
    SPILLWAY_TRY(loaded, Tokens::load(config.api->token_file));
    tokens = std::move(loaded);
  }
  SPILLWAY_TRY(schemas, SchemaStore::open(core::env::posix_env(), config.api->schema_dir));
  core::env::raise_open_files_limit();
  if (config.gateway.sandbox) core::lock_down({core::Network::kAcceptsToo, true, {}});
  return Api(config, *schemas, tokens).run();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Takes records over HTTP (JSON by the topic's schema, or FlatBuffers) and puts them into "
      "lanes, "
      "as [api] says. Ends at SIGTERM or SIGINT.",
      "spillway-api"};
  std::string config_path;
  app.add_option("-c,--config", config_path, "configuration file (TOML)")->required();
  app.set_version_flag("--version", SPILLWAY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitWrongUse;
  }
  core::start_log("spillway-api");
  ::signal(SIGPIPE, SIG_IGN);
  const auto ended = run(config_path);
  if (ended) return 0;
  spdlog::error("{}", ended.error().message);
  return ended.error().code == core::ErrorCode::kInvalidArgument ? kExitWrongUse : kExitSystem;
}
