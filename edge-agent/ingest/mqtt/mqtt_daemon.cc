#include "edge-agent/ingest/mqtt/mqtt_daemon.h"

#include <thread>

#include "edge-agent/ingest/mqtt/mqtt_status.h"
#include "spillway/core/log.h"

namespace spillway::agent::mqtt {

void MqttDaemon::run() {
  std::thread worker([this] { work(); });
  serve_until_signal(env_, [this] { show_status(); });
  stop_.store(true, std::memory_order_relaxed);
  worker.join();
  show_status();
}

void MqttDaemon::work() {
  IngestRun life(env_, config_, status_, stop_);
  Pauses pauses(stop_);
  std::string said;
  while (!stop_.load(std::memory_order_relaxed)) {
    pauses.life_begins();
    const auto ended = life.run();
    if (ended) break;
    if (pauses.life_failed()) said.clear();
    // The same error again and again is one line, and stands in the status.
    const std::string& error = ended.error().message;
    if (error != said) spdlog::error("{}", error);
    said = error;
    pauses.rest();
  }
}

void MqttDaemon::show_status() { page_.show(render_status(*config_.mqtt, status_.read())); }

}  // namespace spillway::agent::mqtt
