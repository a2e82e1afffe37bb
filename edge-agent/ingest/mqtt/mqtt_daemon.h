// MqttDaemon: runs the way of a configuration's [mqtt] on a thread of its own, and shows how it does.
//
// What fails is tried again, after a pause that grows (Pauses): the process ends for no error of a broker's.
#pragma once

#include <atomic>

#include "edge-agent/ingest/adapter_loop.h"
#include "edge-agent/ingest/mqtt/ingest_run.h"

namespace spillway::agent::mqtt {

class MqttDaemon {
 public:
  /// `config` has an [mqtt], and outlives it.
  MqttDaemon(core::env::Env& env, const core::Config& config)
      : env_(env), config_(config), status_(config.mqtt->maps.size()) {}

  /// Until SIGTERM or SIGINT, which the caller has blocked.
  void run();

 private:
  void work();
  void show_status();

  core::env::Env& env_;
  const core::Config& config_;
  Status status_;
  std::atomic<bool> stop_{false};
  StatusPage page_{env_, config_, "mqtt"};
};

}  // namespace spillway::agent::mqtt
