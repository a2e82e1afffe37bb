// Agent: the daemon around the drain: opens everything, steps the drain with the real time, sleeps
// when there is nothing.
//
//   step --(lanes hold more)--> step, where records were
//   step --(little or nothing)--> nap on a timer --> step
//   step --(1 s of silence)--> arm the bell, step once more, wait (bounded), disarm --> step
//
// One thread, plus the Worker's.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "edge-agent/daemon/notify.h"
#include "edge-agent/daemon/status_file.h"
#include "edge-agent/daemon/worker.h"
#include "edge-agent/drain/drain.h"
#include "spillway/core/config.h"

namespace spillway::agent {

class Agent {
 public:
  /// Claims the gateway's id, locks the queue directory, opens and recovers every stream.
  [[nodiscard]] static core::Result<std::unique_ptr<Agent>> open(core::env::Env& env,
                                                                 const core::Config& config);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Runs until `stop` is true, then drains once more, syncs and closes.
  [[nodiscard]] core::Result<void> run(const std::atomic<bool>& stop);

 private:
  Agent(core::env::Env& env, const core::Config& config);
  [[nodiscard]] core::Result<void> open_streams(const core::Config& config);
  void start_drain(const core::Config& config);
  [[nodiscard]] StepReport step(Look look = Look::kEverywhere);
  void exchange_orders();
  void finish(const std::vector<Worker::Done>& done);
  void rest(const StepReport& report);
  void sleep_on_bell();
  void write_status();
  void keep_flash_meter(std::uint64_t now_ns);
  [[nodiscard]] bool spares_flash() const;
  [[nodiscard]] StoreOrder flash_store(std::uint64_t now_ns);
  [[nodiscard]] core::Result<void> stop_cleanly();
  [[nodiscard]] Now read_now();

  core::env::Env& env_;
  AgentFacts facts_;
  std::uint64_t nap_ns_;
  std::unique_ptr<shm::QueueDirectory> queue_;
  std::vector<std::unique_ptr<core::Stream>> streams_;
  std::unique_ptr<LaneSource> source_;
  std::unique_ptr<Drain> drain_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<StatusFile> status_;
  std::unique_ptr<FlashMeter> flash_;
  bool flash_store_is_out_ = false;
  ServiceNotifier notifier_;
  std::uint64_t last_data_ns_ = 0;
};

/// The exit code of an agent that could not start: 2 where trying again cannot help (configuration,
/// rights, a newer format, another agent), so that a supervisor does not; 3 where it may.
[[nodiscard]] int start_exit_code(const core::Error& error);

}  // namespace spillway::agent
