// IngestRun: the way of messages from the broker into lanes, one life after another.
//
//   wait for the queue -> connect -> then, batch by batch:
//      fetch -> put each into its lane -> flush all lanes to their level -> settle, whereupon the broker forgets
//
// One thread; `status` alone is shared. Invariants:
//  1. A message of QoS 1 is settled only when its record has reached its map's level, or when it can never be one.
//  2. While a lane has no room nothing more is read: what is behind waits at the broker.
//  3. Lanes outlive a broken connection, and what stood in them is not put again (redeliveries.h).
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "edge-agent/ingest/mqtt/counts.h"
#include "edge-agent/ingest/mqtt/redeliveries.h"
#include "edge-agent/ingest/mqtt/refusal_log.h"
#include "edge-agent/ingest/mqtt/session_note.h"
#include "edge-agent/ingest/mqtt/topic_lanes.h"
#include "spillway/core/config.h"
#include "spillway/core/mqtt/mqtt_reader.h"

namespace spillway::agent::mqtt {

class IngestRun {
 public:
  /// What was read when it is told to stop is brought to its level within this, and acknowledged.
  static constexpr std::chrono::seconds kGrace{3};

  /// `config` has an [mqtt], and outlives it.
  IngestRun(core::env::Env& env, const core::Config& config, Status& status,
            const std::atomic<bool>& stop);

  /// One life: until it is told to stop (no error), or something fails.
  [[nodiscard]] core::Result<void> run();

 private:
  [[nodiscard]] core::Result<void> live();
  /// False: told to stop.
  [[nodiscard]] core::Result<bool> wait_for_queue();
  [[nodiscard]] core::Result<void> lock_queue();
  [[nodiscard]] core::Result<void> connect();
  void tell_of_session(bool had_session);
  void tell_that_it_reads();
  [[nodiscard]] core::Result<void> turn();
  [[nodiscard]] core::Result<void> take(const core::MqttMessage& message);
  [[nodiscard]] core::Result<Fate> put(const Route& route, const core::MqttMessage& message);
  [[nodiscard]] core::Result<void> go_on();
  [[nodiscard]] TopicLanes::Hooks lane_hooks();
  void say(const std::string& state);

  core::env::Env& env_;
  const core::Config& config_;
  const core::MqttIngestConfig& mqtt_;
  Status& status_;
  const std::atomic<bool>& stop_;

  std::vector<std::string> filters_;  // as the session has them
  std::unique_ptr<core::env::File> lock_;
  std::optional<Routes> routes_;
  std::optional<SessionNote> note_;
  TopicLanes lanes_;
  Redeliveries redeliveries_;
  RefusalLog refusals_;
  std::unique_ptr<core::MqttReader> reader_;
  Counts counts_;
  bool reads_ = false;                 // this connection has had a turn that worked
  std::uint64_t batch_tag_ = 0;        // of the last message that was taken
  std::uint64_t batch_confirmed_ = 0;  // of QoS 1, in this batch
  std::string detail_;                 // why the schema refused the last one
  std::optional<std::chrono::steady_clock::time_point> stop_by_;
};

}  // namespace spillway::agent::mqtt
