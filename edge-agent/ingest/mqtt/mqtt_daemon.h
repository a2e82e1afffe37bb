// MqttDaemon: runs the way of a configuration's [mqtt] on a thread of its own, and shows how it does.
//
// What fails is tried again, after a pause that grows up to kRestMax: the process ends for no error of a broker's.
#pragma once

#include <atomic>
#include <chrono>

#include "edge-agent/ingest/mqtt/ingest_run.h"

namespace spillway::agent::mqtt {

class MqttDaemon {
 public:
  static constexpr std::chrono::milliseconds kRestMin{250};
  static constexpr std::chrono::milliseconds kRestMax{10'000};
  /// A life this long has proved that it works: the pause is short again.
  static constexpr std::chrono::seconds kStableAfter{10};

  /// `config` has an [mqtt], and outlives it.
  MqttDaemon(core::env::Env& env, const core::Config& config)
      : env_(env), config_(config), status_(config.mqtt->maps.size()) {}

  /// Until SIGTERM or SIGINT, which the caller has blocked.
  void run();

 private:
  void work();
  void rest(std::chrono::milliseconds time) const;
  void show_status();

  core::env::Env& env_;
  const core::Config& config_;
  Status status_;
  std::atomic<bool> stop_{false};
  std::string shown_;
  bool shows_ = true;
};

}  // namespace spillway::agent::mqtt
