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

Result<std::unique_ptr<Inbox>> open_inbox(const std::string& path) {
  auto opened = open_sqlite_inbox(path);
  if (opened || !may_be_waited_for(opened.error())) return opened;
  spdlog::error("the inbox cannot be opened now and is tried again: {}", opened.error().message);
  return std::unique_ptr<Inbox>(std::make_unique<WaitingInbox>(
      [path] { return open_sqlite_inbox(path); }, std::move(opened).error()));
}

Result<void> serve(const core::ConsumerConfig& config) {
  SPILLWAY_TRY(path, sqlite_path(config.inbox));
  SPILLWAY_TRY(inbox, open_inbox(path));
  raise_descriptor_limit();
  InboxWriter writer(std::move(inbox));
  boost::asio::io_context io(1);
  ConsumerServer server(io, core::env::posix_env(), writer, config);
  GatewayKeeper keeper(
      [path = path] { return open_inbox_database(path); },
      config.known_gateways_only ? SqliteGateways::kNewGatewaysMax : SqliteGateways::kGatewaysMax,
      [&](KnownGateways known) {
        boost::asio::post(io, [&server, known = std::move(known)] { server.set_known(known); });
      });
  server.when_seen(
      [&](const core::Uuid& gateway, const Sighting& seen) { keeper.note(gateway, seen); });
  std::optional<RetentionKeeper> retention;
  const RetentionRules rules{config.retain_ns, config.max_bytes};
  if (rules.any()) {
    retention.emplace([path = path] { return open_existing_inbox_database(path); }, rules);
  }
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
  retention.reset();
  keeper.stop();
  writer.stop();
  spdlog::info("wrote {} transactions", writer.transactions());
  return {};
}

}  // namespace

int run_consumer(const std::string& config) {
  const auto consumer = load_consumer(config);
  const auto outcome = consumer ? serve(*consumer) : tl::unexpected(consumer.error());
  if (outcome) return kDone;
  spdlog::error("{}", outcome.error().message);
  return outcome.error().code == ErrorCode::kInvalidArgument ? kWrongUse : kSystemFailed;
}

}  // namespace spillway::consumer::tool
