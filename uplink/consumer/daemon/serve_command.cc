// The daemon itself.
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "uplink/consumer/daemon/consumer_server.h"
#include "uplink/consumer/daemon/tool.h"
#include "uplink/consumer/gateways/gateway_keeper.h"
#include "uplink/consumer/inbox/retention.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"
#include "uplink/consumer/inbox/sqlite_schema.h"
#include "uplink/consumer/inbox/waiting_inbox.h"
#include "uplink/consumer/relay/open_relay.h"

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

/// The disk may work later; nobody has to start this again for it.
bool may_be_waited_for(const core::Error& error) {
  return error.code == ErrorCode::kFull || error.code == ErrorCode::kIo ||
         error.code == ErrorCode::kBusy;
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
  SPILLWAY_TRY(path, sqlite_path(config.consumer->inbox));
  return WaitingInbox::Open([path = path] { return open_sqlite_inbox(path); });
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

Result<void> start_keepers(boost::asio::io_context& io, ConsumerServer& server,
                           const core::ConsumerConfig& config, Keepers& keepers) {
  if (!config.relay.directory.empty()) {
    server.set_known({});  // it has no registry: certificates say who may send
    return {};
  }
  SPILLWAY_TRY(path, sqlite_path(config.inbox));
  keepers.gateways.emplace(
      [path = path] { return open_inbox_database(path); },
      config.known_gateways_only ? SqliteGateways::kNewGatewaysMax : SqliteGateways::kGatewaysMax,
      [&io, &server](KnownGateways known) {
        boost::asio::post(io, [&server, known = std::move(known)] { server.set_known(known); });
      });
  server.when_seen([&keepers](const core::Uuid& gateway, const Sighting& seen) {
    keepers.gateways->note(gateway, seen);
  });
  const RetentionRules rules{config.retain_ns, config.max_bytes};
  if (rules.any()) {
    keepers.retention.emplace([path = path] { return open_existing_inbox_database(path); }, rules);
  }
  return {};
}

Result<void> serve(const core::Config& all) {
  const core::ConsumerConfig& config = *all.consumer;
  SPILLWAY_TRY(open, opener_of(all));
  SPILLWAY_TRY(inbox, open_inbox(std::move(open)));
  raise_descriptor_limit();
  InboxWriter writer(std::move(inbox));
  boost::asio::io_context io(1);
  ConsumerServer server(io, core::env::posix_env(), writer, config);
  Keepers keepers;
  SPILLWAY_CHECKED(start_keepers(io, server, config, keepers));
  SPILLWAY_CHECKED(server.listen());
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
