#include "edge-agent/ingest/iceoryx/reader.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iceoryx_hoofs/error_handling/error_handling.hpp>
#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <vector>

#include "edge-agent/ingest/iceoryx/route.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"

namespace spillway::agent::iceoryx {
namespace {

constexpr std::uint64_t kTickMs = 100;
/// While a lane is full nobody tells when it has room again: the agent drains every few.
constexpr std::uint64_t kHeldUpTickMs = 2;
/// Then it is the next route's turn.
constexpr std::size_t kSamplesAtATime = 256;
/// Rounds of that which may follow before the goodbye: publishers that never pause cannot hold it
/// up.
constexpr int kGoodbyeRounds = 4;
/// RouDi takes a process for dead that was silent for 1.5 s; iceoryx says it is alive each 0.3 s.
constexpr std::uint64_t kForgottenAfterNs = 1'200'000'000;

core::Atomic<bool> leave_wanted{false};

void handle_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { leave_wanted.store(true, std::memory_order_relaxed); };
  ::sigaction(SIGTERM, &action, nullptr);
  // A terminal's ^C goes to the parent, too, who tells.
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGINT, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// iceoryx would end the process by abort(); the parent wants to know that it was iceoryx.
void on_iceoryx_error(iox::Error error, const std::function<void()>&, iox::ErrorLevel level) {
  const char* const name = iox::ErrorHandler::toString(error);
  if (level == iox::ErrorLevel::MODERATE) return spdlog::warn("iceoryx: {}", name);
  spdlog::error("iceoryx cannot go on: {}", name);
  ::_exit(kReaderFailed);
}

class Reader {
 public:
  explicit Reader(BridgePage& page) : page_(page) {}

  core::Result<void> open(const core::Config& config) {
    std::vector<std::unique_ptr<LaneWriter>> lanes;
    // All lanes before the first subscription: a sample must find its lane.
    for (const auto& map : config.iceoryx->maps) {
      SPILLWAY_TRY(lane, LaneWriter::open(config.gateway.queue_dir, map));
      lanes.push_back(std::move(lane));
    }
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      routes_.push_back(
          std::make_unique<Route>(config.iceoryx->maps[i], std::move(lanes[i]), page_.maps.at(i)));
      auto attached = wait_set_->attachEvent(routes_.back()->subscriber(),
                                             iox::popo::SubscriberEvent::DATA_RECEIVED);
      if (attached.has_error()) {
        return core::fail(core::ErrorCode::kIo, "iceoryx's wait set takes no more subscribers");
      }
    }
    return {};
  }

  int run() {
    // Told first, so that whoever waits for it can publish; what came before is read all the same.
    page_.attached.store(1, std::memory_order_relaxed);
    std::uint64_t looked_ns = show_life();
    while (!leave_wanted.load(std::memory_order_relaxed)) {
      const std::uint64_t wait_ms = drain_all();
      if (wait_ms != 0) {
        static_cast<void>(wait_set_->timedWait(iox::units::Duration::fromMilliseconds(wait_ms)));
      }
      const std::uint64_t now_ns = show_life();
      if (now_ns - looked_ns > kForgottenAfterNs || any_forgotten()) {
        spdlog::warn(
            "stood still for {} ms: RouDi may have taken this process for dead; begins anew",
            (now_ns - looked_ns) / 1'000'000);
        return kReaderForgotten;
      }
      looked_ns = now_ns;
    }
    for (int i = 0; i < kGoodbyeRounds; ++i) {
      if (drain_all() != 0) break;
    }
    return kReaderLeft;
  }

 private:
  /// How long to wait for the next samples.
  std::uint64_t drain_all() {
    std::uint64_t wait_ms = kTickMs;
    for (const auto& route : routes_) {
      const auto left = route->drain(kSamplesAtATime);
      if (left == Route::Left::kMore) wait_ms = 0;
      if (left == Route::Left::kHeldUp) wait_ms = std::min(wait_ms, kHeldUpTickMs);
    }
    return wait_ms;
  }
  std::uint64_t show_life() {
    page_.signs.store(page_.signs.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return core::env::posix_env().boottime_ns();
  }
  [[nodiscard]] bool any_forgotten() const {
    return std::any_of(routes_.begin(), routes_.end(),
                       [](const auto& route) { return route->forgotten(); });
  }

  BridgePage& page_;
  std::unique_ptr<iox::popo::WaitSet<>> wait_set_ = std::make_unique<iox::popo::WaitSet<>>();
  std::vector<std::unique_ptr<Route>> routes_;  // before the wait set goes they detach
};

}  // namespace

int read_samples(const core::Config& config, const std::string& runtime_name, BridgePage& page) {
  handle_signals();
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
  const auto handler = iox::ErrorHandler::setTemporaryErrorHandler(on_iceoryx_error);
  iox::runtime::PoshRuntime::initRuntime({iox::cxx::TruncateToCapacity, runtime_name});
  // RouDi's goodbye may have come while the runtime was made.
  handle_signals();
  Reader reader(page);
  if (const auto opened = reader.open(config); !opened) {
    spdlog::error("{}", opened.error().message);
    return opened.error().code == core::ErrorCode::kInvalidArgument ? kReaderWrongUse
                                                                    : kReaderFailed;
  }
  return reader.run();
}

}  // namespace spillway::agent::iceoryx
