// The daemon itself.
#include <sys/resource.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdlib>
#include <filesystem>

#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "spillway/core/sandbox.h"
#include "uplink/consumer/daemon/consumer_server.h"
#include "uplink/consumer/daemon/inbox_choice.h"
#include "uplink/consumer/daemon/tool.h"
#include "uplink/consumer/gateways/gateway_keeper.h"
#include "uplink/consumer/inbox/retention.h"
#include "uplink/consumer/inbox/waiting_inbox.h"
#include "uplink/consumer/relay/open_relay.h"
#include "uplink/consumer/sources/make_source.h"
#include "uplink/consumer/sources/source_runner.h"
#include "uplink/link/service_heart.h"

namespace spillway::consumer::tool {

namespace {

using core::ErrorCode;
using core::Result;

constexpr std::chrono::seconds kGoodbyeTimeout{2};
/// Descriptors besides the connections: the inbox's files, the log, the listener.
constexpr rlim_t kOtherDescriptors = 64;

/// One descriptor a connection: as many as the system lets us have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = WebSocketListener::kConnectionsMax + kOtherDescriptors;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
  }
  if (limit.rlim_cur < wanted) {
    spdlog::warn("at most {} gateways can be connected at once: raise LimitNOFILE to {} for more",
                 limit.rlim_cur - kOtherDescriptors, wanted);
  }
}

/// The disk or the server may work later; nobody has to start this again for it.
bool may_be_waited_for(const core::Error& error) {
  return error.code == ErrorCode::kFull || error.code == ErrorCode::kIo ||
         error.code == ErrorCode::kBusy || error.code == ErrorCode::kUnavailable;
}

Result<std::unique_ptr<Inbox>> open_inbox(WaitingInbox::Open open) {
  auto opened = open();
  if (opened || !may_be_waited_for(opened.error())) return opened;
  spdlog::error("the inbox cannot be opened now and is tried again: {}", opened.error().message);
  return std::unique_ptr<Inbox>(
      std::make_unique<WaitingInbox>(std::move(open), std::move(opened).error()));
}

Result<WaitingInbox::Open> opener_of(const core::Config& config) {
  if (!config.consumer->relay.directory.empty()) {
    return WaitingInbox::Open([config] { return open_relay(config); });
  }
  SPILLWAY_TRY(choice, choose_inbox(*config.consumer));
  return WaitingInbox::Open([choice = choice] { return open_inbox_of(choice); });
}

/// What stands beside the records in a database: who may send, and for how long records stay.
struct Keepers {
  std::optional<GatewayKeeper> gateways;
  std::optional<RetentionKeeper> retention;

  void stop() {
    retention.reset();
    if (gateways) gateways->stop();
  }
};

Result<void> start_keepers(boost::asio::io_context& io, ConsumerServer& server, SourceGate& gate,
                           const core::ConsumerConfig& config, Keepers& keepers) {
  if (!config.relay.directory.empty()) {
    server.set_known({});  // it has no registry: certificates say who may send
    return {};
  }
  SPILLWAY_TRY(choice, choose_inbox(config));
  keepers.gateways.emplace(
      [choice = choice] { return open_gateways(choice); },
      config.known_gateways_only ? GatewayStore::kNewGatewaysMax : GatewayStore::kGatewaysMax,
      [&io, &server, &gate](KnownGateways known) {
        gate.set_known(known);
        boost::asio::post(io, [&server, known = std::move(known)] { server.set_known(known); });
      });
  const auto note = [&keepers](const core::Uuid& gateway, const Sighting& seen) {
    keepers.gateways->note(gateway, seen);
  };
  server.when_seen(note);
  gate.when_seen(note);
  const RetentionRules rules{config.retain_ns, config.max_bytes};
  if (rules.any()) {
    keepers.retention.emplace([choice = choice, rules] { return open_pruner(choice, rules); });
  }
  return {};
}

using Runners = std::vector<std::unique_ptr<SourceRunner>>;

/// All are made before the first one runs: what is wrong with one is told at once.
Result<void> start_sources(const core::ConsumerConfig& config, InboxWriter& writer,
                           SourceGate& gate, Runners& runners) {
  std::vector<std::unique_ptr<BrokerSource>> sources;
  for (const core::SourceConfig& source : config.sources) {
    SPILLWAY_TRY(made, make_source(source));
    sources.push_back(std::move(made));
  }
  const RecordRules rules{config.max_record_bytes, config.validate};
  for (auto& source : sources) {
    spdlog::info("reading from {}, inbox {}", source->name(), config.inbox);
    runners.push_back(std::make_unique<SourceRunner>(std::move(source), writer, gate, rules,
                                                     core::env::posix_env()));
  }
  return {};
}

Result<void> start_listener(ConsumerServer& server, const core::ConsumerConfig& config) {
  if (config.listen.empty()) return {};
  SPILLWAY_CHECKED(server.listen());
  spdlog::info("listening on {}, inbox {}", config.listen, config.inbox);
  return {};
}

/// It writes where its inbox is, or, where that is a server, nothing at all. An inbox that could not be
/// opened yet may come with a disk that is still to be mounted: then nobody knows where that will be.
Result<core::SandboxRules> sandbox_rules(const core::ConsumerConfig& config) {
  core::SandboxRules rules;
  rules.network = core::Network::kAcceptsToo;
  std::filesystem::path file = config.relay.directory.empty() ? "" : config.relay.directory + "/.";
  if (file.empty()) {
    SPILLWAY_TRY(choice, choose_inbox(config));
    file = choice.sqlite_path;
    rules.writes_files = !choice.sqlite_path.empty();
  }
  std::error_code none;
  if (!rules.writes_files || !std::filesystem::exists(file, none)) return rules;
  const auto directory = std::filesystem::absolute(file, none).parent_path();
  rules.writes_below = {directory.string()};
  ::setenv("SQLITE_TMPDIR", directory.c_str(), 0);  // else it would sort large results in /var/tmp
  return rules;
}

Result<void> serve(const core::Config& all) {
  const core::ConsumerConfig& config = *all.consumer;
  SPILLWAY_TRY(open, opener_of(all));
  SPILLWAY_TRY(inbox, open_inbox(std::move(open)));
  if (all.gateway.sandbox) {
    SPILLWAY_TRY(rules, sandbox_rules(config));
    core::lock_down(rules);
  }
  raise_descriptor_limit();
  InboxWriter writer(std::move(inbox));
  boost::asio::io_context io(1);
  ConsumerServer server(io, core::env::posix_env(), writer, config);
  SourceGate gate({config.known_gateways_only, config.bind_certificates});
  Keepers keepers;
  SPILLWAY_CHECKED(start_keepers(io, server, gate, config, keepers));
  Runners sources;
  SPILLWAY_CHECKED(start_sources(config, writer, gate, sources));
  SPILLWAY_CHECKED(start_listener(server, config));

  uplink::ServiceHeart heart(io, core::env::posix_env(), [] { return true; });
  boost::asio::steady_timer deadline(io);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](const auto& error, int signal) {
    if (error) return;
    spdlog::info("ended by signal {}", signal);
    heart.stopping();
    server.stop();
    // Peers that do not answer the closing handshake get this long.
    deadline.expires_after(kGoodbyeTimeout);
    deadline.async_wait([&](const auto& cancelled) {
      if (!cancelled) io.stop();
    });
    server.when_idle([&] { io.stop(); });
  });
  // Without a listener nothing else keeps it running.
  const auto work = boost::asio::make_work_guard(io);
  heart.ready();
  io.run();
  sources.clear();
  keepers.stop();
  writer.stop();
  spdlog::info("wrote {} transactions", writer.transactions());
  return {};
}

}  // namespace

int run_consumer(const std::string& config) {
  const auto loaded = load_with_consumer(config);
  const auto outcome = loaded ? serve(*loaded) : tl::unexpected(loaded.error());
  if (outcome) return kDone;
  spdlog::error("{}", outcome.error().message);
  return outcome.error().code == ErrorCode::kInvalidArgument ? kWrongUse : kSystemFailed;
}

}  // namespace spillway::consumer::tool
