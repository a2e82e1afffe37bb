#include "uplink/link/service_heart.h"

#include <chrono>
#include <utility>

namespace spillway::uplink {

namespace {

/// Often enough for the shortest watchdog that makes sense; the notifier sends what is due.
constexpr std::chrono::milliseconds kBeat{500};

}  // namespace

ServiceHeart::ServiceHeart(boost::asio::io_context& io, core::env::Env& env,
                           std::function<bool()> turning)
    : env_(env), turning_(std::move(turning)), timer_(io) {}

void ServiceHeart::ready() {
  notifier_.ready();
  if (notifier_.watched()) beat();
}

void ServiceHeart::stopping() {
  timer_.cancel();
  notifier_.stopping();
}

void ServiceHeart::beat() {
  if (turning_()) notifier_.alive(env_.boottime_ns());
  timer_.expires_after(kBeat);
  timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) beat();
  });
}

}  // namespace spillway::uplink
