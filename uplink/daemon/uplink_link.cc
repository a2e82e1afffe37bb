#include "uplink/daemon/uplink_link.h"

#include "spillway/core/log.h"
#include "uplink/daemon/week_clock.h"
#include "uplink/link/proxy.h"
#include "uplink/policy/budget_file.h"
#include "uplink/policy/time_windows.h"

namespace spillway::uplink {

using core::Result;

namespace {

constexpr std::uint64_t kMinuteNs = 60'000'000'000;
/// A message's headers, and what comes back for it.
constexpr std::uint64_t kOverheadBytes = 1024;
constexpr std::chrono::milliseconds kConnectTimeoutOfOneOfMany{4'000};

}  // namespace

UplinkLink::UplinkLink(core::env::Env& env, core::LinkConfig config, bool alone)
    : env_(env), config_(std::move(config)), rate_(config_.rate_limit_bytes_per_s) {
  target_.interface = config_.interface;
  target_.timeouts.ping = std::chrono::milliseconds(config_.ping_interval_ns / 1'000'000);
  // A link that swallows everything is not waited for as long as if there were no other.
  if (!alone) target_.timeouts.connect = kConnectTimeoutOfOneOfMany;
}

Result<void> UplinkLink::prepare() {
  SPILLWAY_TRY(endpoint, parse_endpoint(config_.url));
  target_.endpoint = endpoint;
  SPILLWAY_TRY(proxy, proxy_of(config_.proxy));
  target_.proxy = proxy;
  if (!endpoint.tls) return {};
  SPILLWAY_TRY(tls, TlsFiles::open(TlsRole::kClient, config_.tls));
  target_.tls = tls;
  return {};
}

void UplinkLink::open_budget(const std::string& path_stem) {
  const BudgetLimits limits{config_.budget_per_day_bytes, config_.budget_per_month_bytes};
  if (budget_ || !limits.any()) return;
  budget_path_ = path_stem + "." + config_.name + ".budget";
  std::string said;
  budget_ = load_budget(env_, budget_path_, limits, said);
  if (said.empty()) return;
  spdlog::error("link {}: {}: its budget counts as used up for a day, then begins anew",
                config_.name, said);
  keep(budget_->settle(env_.boottime_ns()));
}

std::shared_ptr<WebSocket> UplinkLink::connect(boost::asio::io_context& io,
                                               std::uint64_t known_utc_ns,
                                               WebSocketHandlers handlers) const {
  LinkTarget target = target_;
  target.known_utc_ns = known_utc_ns;
  return connect_websocket(io, std::move(target), std::move(handlers));
}

Hindrance UplinkLink::hindrance() {
  if (budget_) {
    const std::uint64_t wait_ns = budget_->wait_ns(env_.boottime_ns());
    if (wait_ns != 0) return {Hindrance::Kind::kBudget, wait_ns};
  }
  if (config_.windows.empty() || !env_.utc_is_certain()) return {};
  const std::uint32_t minutes =
      minutes_until_open(config_.windows, minute_of_week(env_.utc_ns(), config_.windows_are_local));
  if (minutes == 0) return {};
  const std::uint64_t into_minute_ns = env_.utc_ns() % kMinuteNs;
  return {Hindrance::Kind::kWindows, minutes * kMinuteNs - into_minute_ns};
}

std::uint64_t UplinkLink::rate_wait_ns() const { return rate_.wait_ns(env_.boottime_ns()); }

void UplinkLink::keep(const KeptBudget& kept) {
  const auto outcome = keep_budget(env_, budget_path_, kept);
  const std::string error = outcome ? "" : outcome.error().message;
  if (!error.empty() && budget_error_.empty()) {
    spdlog::warn("link {}: its budget is kept in memory only: {}", config_.name, error);
  }
  budget_error_ = error;
  // Also where it failed: the next slice tries again.
  budget_->reserved(kept);
}

void UplinkLink::reserve(std::uint64_t bytes) {
  if (!budget_) return;
  const std::uint64_t now_ns = env_.boottime_ns();
  const std::uint64_t needed = bytes + kOverheadBytes;
  if (budget_->needs_reserve(needed, now_ns)) keep(budget_->reserve(needed, now_ns));
}

void UplinkLink::charge(Connection& connection) {
  const WireBytes wire = connection.socket->wire_bytes();
  const WireMeter::Charge charge = connection.meter.take(wire.sent, wire.received);
  if (charge.sent == 0 && charge.received == 0) return;
  const std::uint64_t now_ns = env_.boottime_ns();
  sent_bytes_ += charge.sent;
  received_bytes_ += charge.received;
  rate_.spend(charge.sent, now_ns);
  if (budget_) budget_->spend(charge.sent + charge.received, now_ns);
}

void UplinkLink::charge_sent(std::uint64_t bytes) {
  if (bytes == 0) return;
  sent_bytes_ += bytes;
  rate_.spend(bytes, env_.boottime_ns());
}

void UplinkLink::tick() {
  if (!budget_) return;
  const std::uint64_t now_ns = env_.boottime_ns();
  if (budget_->needs_reserve(0, now_ns)) keep(budget_->reserve(0, now_ns));
}

void UplinkLink::settle() {
  if (!budget_) return;
  const std::uint64_t now_ns = env_.boottime_ns();
  budget_->spend(kOverheadBytes, now_ns);  // the goodbye, of which nobody will hear what it cost
  keep(budget_->settle(now_ns));
}

}  // namespace spillway::uplink
