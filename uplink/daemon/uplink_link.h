// UplinkLink: one configured link of an uplink: how to connect by it, and what it may cost.
//
// Threads: the io_context's. Blocks for a sync where a slice of a budget is reserved.
//
// Invariants:
//  1. Bytes of a budgeted link are reserved in its kept file before they are handed to a socket.
//     Where the disk does not take the file, they are counted in memory and status says so: no
//     record is kept from being sent because of a disk.
//  2. The rate limit counts what is sent, the budgets what is sent and received.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>

#include "spillway/core/config.h"
#include "spillway/core/env/env.h"
#include "uplink/link/websocket.h"
#include "uplink/policy/budget.h"
#include "uplink/policy/rate_limit.h"
#include "uplink/policy/wire_meter.h"

namespace spillway::uplink {

/// One connection by a link; what it cost is told while it lives and at its end.
struct Connection {
  std::size_t link = 0;
  std::shared_ptr<WebSocket> socket;
  WireMeter meter;
};

/// Why a link may not be used now.
struct Hindrance {
  enum class Kind : std::uint8_t { kNone, kBudget, kWindows };
  Kind kind = Kind::kNone;
  std::uint64_t wait_ns = 0;  // until it may, as far as is known
};

class UplinkLink {
 public:
  /// `alone`: there is no other link that could be tried instead.
  UplinkLink(core::env::Env& env, core::LinkConfig config, bool alone);

  /// Checks address and certificates: what can only be wrong for good.
  [[nodiscard]] core::Result<void> prepare();
  /// Once, as soon as the directory is there.
  void open_budget(const std::string& path_stem);
  /// `known_utc_ns`: no certificate is checked against an earlier time.
  [[nodiscard]] std::shared_ptr<WebSocket> connect(boost::asio::io_context& io,
                                                   std::uint64_t known_utc_ns,
                                                   WebSocketHandlers handlers) const;

  [[nodiscard]] Hindrance hindrance();
  /// How long to send nothing, for the rate limit's sake.
  [[nodiscard]] std::uint64_t rate_wait_ns() const;
  /// These bytes are about to be handed over.
  void reserve(std::uint64_t bytes);
  /// Charges what is new on this connection of the link.
  void charge(Connection& connection);
  /// The same where nobody measures the wire: bytes that were handed to an engine's client.
  void charge_sent(std::uint64_t bytes);
  /// About once a second: the kept file proves from time to time that the machine ran.
  void tick();
  /// For the clean end.
  void settle();

  [[nodiscard]] const core::LinkConfig& config() const { return config_; }
  [[nodiscard]] const std::optional<Budget>& budget() const { return budget_; }
  [[nodiscard]] const std::string& budget_error() const { return budget_error_; }
  [[nodiscard]] std::uint64_t sent_bytes() const { return sent_bytes_; }
  [[nodiscard]] std::uint64_t received_bytes() const { return received_bytes_; }

  std::string last_error;  // why the last try by it failed, or its session ended

 private:
  void keep(const KeptBudget& kept);

  core::env::Env& env_;
  core::LinkConfig config_;
  LinkTarget target_;
  RateLimit rate_;
  std::optional<Budget> budget_;  // nothing: there is no limit, or the directory is not there yet
  std::string budget_path_;
  std::string budget_error_;
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t received_bytes_ = 0;
};

}  // namespace spillway::uplink
