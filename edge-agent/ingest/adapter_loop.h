// The shell of an adapter whose work is done on threads of its own: its signals, its turns, its status page, and the pauses between its
// attempts. For what stands in edge-agent/ingest.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <string>

#include "spillway/core/config.h"
#include "spillway/core/env/env.h"

namespace spillway::agent {

/// SIGTERM, SIGINT and `more` wait until next_signal asks for them, and a closed pipe is an error like any other. Before a thread starts.
void block_signals(std::initializer_list<int> more = {});

/// The next of the signals that were blocked so; 0: none came within `wait_ns`.
[[nodiscard]] int next_signal(long wait_ns, std::initializer_list<int> more = {});

/// Tells the service manager that the adapter is ready, and calls `turn` four times a second until SIGTERM or SIGINT comes.
void serve_until_signal(core::env::Env& env, const std::function<void()>& turn);

/// <queue_dir>/<adapter>.status, which `spillway status` shows. One thread.
class StatusPage {
 public:
  StatusPage(core::env::Env& env, const core::Config& config, const std::string& adapter)
      : env_(env), path_(config.gateway.queue_dir + "/" + adapter + ".status") {}

  /// Written where it says something else than last time. That it cannot be is logged once, until it can.
  void show(std::string text);

 private:
  core::env::Env& env_;
  std::string path_;
  std::string shown_;
  bool shows_ = true;
};

/// The pauses between the lives of what fails and is begun again: each twice as long as the one before. One thread.
class Pauses {
 public:
  static constexpr std::chrono::milliseconds kMin{250};
  static constexpr std::chrono::milliseconds kMax{10'000};
  /// A life this long has proved that it works: the pause is short again.
  static constexpr std::chrono::seconds kStableAfter{10};

  /// `stop` ends a pause early.
  explicit Pauses(const std::atomic<bool>& stop) : stop_(stop) {}

  void life_begins() { began_ = Clock::now(); }
  /// Whether it had proved that it works.
  bool life_failed();
  void rest();

 private:
  using Clock = std::chrono::steady_clock;

  const std::atomic<bool>& stop_;
  std::chrono::milliseconds next_ = kMin;
  Clock::time_point began_;
};

}  // namespace spillway::agent
