#include "edge-agent/ingest/mqtt/mqtt_daemon.h"

#include <algorithm>
#include <csignal>
#include <thread>

#include "edge-agent/ingest/mqtt/mqtt_status.h"
#include "spillway/core/log.h"
#include "spillway/core/service_notifier.h"

namespace spillway::agent::mqtt {

namespace {

using Clock = std::chrono::steady_clock;

constexpr long kTickNs = 250'000'000;

int next_signal() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
  const timespec wait{0, kTickNs};
  const int signal = ::sigtimedwait(&set, nullptr, &wait);
  return signal < 0 ? 0 : signal;
}

}  // namespace

void MqttDaemon::run() {
  core::ServiceNotifier notifier;
  std::thread worker([this] { work(); });
  notifier.ready();
  int signal = 0;
  while (signal == 0) {
    signal = next_signal();
    notifier.alive(env_.boottime_ns());
    show_status();
  }
  spdlog::info("ended by signal {}", signal);
  notifier.stopping();
  stop_.store(true, std::memory_order_relaxed);
  worker.join();
  show_status();
}

void MqttDaemon::work() {
  IngestRun life(env_, config_, status_, stop_);
  std::chrono::milliseconds pause = kRestMin;
  std::string said;
  while (!stop_.load(std::memory_order_relaxed)) {
    const auto began = Clock::now();
    const auto ended = life.run();
    if (ended) break;
    if (Clock::now() - began >= kStableAfter) {
      pause = kRestMin;
      said.clear();
    }
    // The same error again and again is one line, and stands in the status.
    const std::string& error = ended.error().message;
    if (error != said) spdlog::error("{}", error);
    said = error;
    rest(pause);
    pause = std::min(pause * 2, kRestMax);
  }
}

void MqttDaemon::rest(std::chrono::milliseconds time) const {
  constexpr std::chrono::milliseconds kTurn{50};
  const auto end = Clock::now() + time;
  while (!stop_.load(std::memory_order_relaxed) && Clock::now() < end) {
    std::this_thread::sleep_for(kTurn);
  }
}

void MqttDaemon::show_status() {
  std::string text = render_status(*config_.mqtt, status_.read());
  if (text == shown_) return;
  const auto written = core::env::replace_file(env_, config_.gateway.queue_dir + "/mqtt.status",
                                               std::as_bytes(std::span(text)));
  // Before the agent's first start there is no queue directory, and nothing is wrong with that.
  if (!written && shows_ && written.error().code != core::ErrorCode::kNotFound) {
    spdlog::warn("the status cannot be shown: {}", written.error().message);
  }
  shows_ = written.has_value();
  if (written) shown_ = std::move(text);
}

}  // namespace spillway::agent::mqtt
