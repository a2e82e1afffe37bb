#include "edge-agent/ingest/adapter_loop.h"

#include <algorithm>
#include <csignal>
#include <span>
#include <thread>

#include "spillway/core/log.h"
#include "spillway/core/service_notifier.h"

namespace spillway::agent {

namespace {

constexpr long kTurnNs = 250'000'000;

sigset_t ends_and(std::initializer_list<int> more) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
  for (const int signal : more) sigaddset(&set, signal);
  return set;
}

}  // namespace

void block_signals(std::initializer_list<int> more) {
  const sigset_t set = ends_and(more);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

int next_signal(long wait_ns, std::initializer_list<int> more) {
  const sigset_t set = ends_and(more);
  const timespec wait{0, wait_ns};
  return std::max(::sigtimedwait(&set, nullptr, &wait), 0);
}

void serve_until_signal(core::env::Env& env, const std::function<void()>& turn) {
  core::ServiceNotifier notifier;
  notifier.ready();
  int signal = 0;
  while (signal == 0) {
    signal = next_signal(kTurnNs);
    notifier.alive(env.boottime_ns());
    turn();
  }
  spdlog::info("ended by signal {}", signal);
  notifier.stopping();
}

void StatusPage::show(std::string text) {
  if (text == shown_) return;
  const auto written = core::env::replace_file(env_, path_, std::as_bytes(std::span(text)));
  // Before the agent's first start there is no queue directory, and nothing is wrong with that.
  if (!written && shows_ && written.error().code != core::ErrorCode::kNotFound) {
    spdlog::warn("the status cannot be shown: {}", written.error().message);
  }
  shows_ = written.has_value();
  if (written) shown_ = std::move(text);
}

bool Pauses::life_failed() {
  const bool stable = Clock::now() - began_ >= kStableAfter;
  if (stable) next_ = kMin;
  return stable;
}

void Pauses::rest() {
  constexpr std::chrono::milliseconds kLook{50};
  const auto end = Clock::now() + next_;
  while (!stop_.load(std::memory_order_relaxed) && Clock::now() < end) {
    std::this_thread::sleep_for(kLook);
  }
  next_ = std::min(next_ * 2, kMax);
}

}  // namespace spillway::agent
