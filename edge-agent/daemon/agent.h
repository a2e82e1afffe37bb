// Agent: the daemon around the drain: opens everything, steps the drain with the real time, sleeps
// when there is nothing.
//
//   step --(lanes hold more)--> step, where records were
//   step --(little or nothing)--> nap on a timer --> step
//   step --(1 s of silence)--> arm the bell, step once more, wait (bounded), disarm --> step
//
// The disk under it may fail, fill up, be pulled out, wiped or changed at any time:
//
//                  open_spill
//   WaitingForSpill ---------> Draining
//      |  ^  (once a second)      |
//      +--+ <---------------------+  release_spill: what it writes is no longer what stands there,
//                                    or a stream has failed for kFailingNsMax
//
// That is so of the disk. What befalls one stream alone, while the others stand and the disk takes what
// is written to it, is that stream's (release_stream): it is let go of and opened anew by itself, tried
// once a second, and the others drain on.
//
// While it waits, records stay in their lanes; opening recovers as any start does, so that what is
// missing then is an exact gap. Letting go of the files is what allows a file system to be unmounted,
// checked and mounted again.
//
// One thread, plus the Worker's.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edge-agent/daemon/fault_ledger.h"
#include "edge-agent/daemon/spill_place.h"
#include "edge-agent/daemon/status_file.h"
#include "edge-agent/daemon/worker.h"
#include "edge-agent/drain/drain.h"
#include "spillway/core/config.h"
#include "spillway/core/service_notifier.h"

namespace spillway::agent {

class Agent {
 public:
  /// Locks the queue directory, claims the gateway's id, opens and recovers every stream; where the
  /// disk does not let it, run() goes on trying.
  [[nodiscard]] static core::Result<std::unique_ptr<Agent>> open(core::env::Env& env,
                                                                 const core::Config& config);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Runs until `stop` is true, then drains once more, syncs and closes. Takes back `reload` and reads
  /// the configuration anew; a broken one is named in the log, and nothing changes.
  [[nodiscard]] core::Result<void> run(const std::atomic<bool>& stop, std::atomic<bool>& reload);

 private:
  Agent(core::env::Env& env, const core::Config& config);

  // agent_spill.cc: the spill comes and goes
  [[nodiscard]] core::Result<void> open_spill();
  [[nodiscard]] core::Result<void> probe_disk();
  [[nodiscard]] core::Result<core::Gateway> claim_gateway();
  [[nodiscard]] core::Result<void> open_streams();
  [[nodiscard]] core::Result<std::unique_ptr<core::Stream>> open_stream(std::size_t index);
  void start_drain();
  void wait_for_spill(const core::Error& error);
  void try_spill();
  void release_spill(const core::Error& why);
  void watch_spill(std::uint64_t now_ns);
  void release_stream(std::size_t index, const core::Error& why);
  void try_stream(std::size_t index);
  void check_spill(std::uint64_t now_ns);
  [[nodiscard]] bool stands_in_memory() const;
  [[nodiscard]] core::Result<void> check_stream(std::size_t index, std::uint64_t now_ns);
  void reload();
  void take_over(std::size_t index, const core::Config& next);
  [[nodiscard]] bool drains() const { return drain_ != nullptr; }

  // agent.cc
  [[nodiscard]] StepReport step(Look look = Look::kEverywhere);
  void exchange_orders();
  void finish(const std::vector<Worker::Done>& done);
  void finish_all_orders();
  void rest(const StepReport& report);
  void sleep_on_bell();
  void write_status();
  void keep_flash_meter(std::uint64_t now_ns);
  [[nodiscard]] bool spares_flash() const;
  [[nodiscard]] StoreOrder flash_store(std::uint64_t now_ns);
  [[nodiscard]] core::Result<void> stop_cleanly();
  [[nodiscard]] Now read_now();

  core::env::Env& env_;
  core::Config config_;
  AgentFacts facts_;
  FaultLedger ledger_;
  SpillPlace place_;
  std::uint64_t look_at_spill_ns_ = 0;                     // and not before: for it, or at it
  std::map<std::string, std::uint64_t> failing_since_ns_;  // streams, by name
  std::uint64_t nap_ns_;
  std::unique_ptr<shm::QueueDirectory> queue_;
  std::vector<std::unique_ptr<core::Stream>> streams_;  // as configured; null: away
  std::unique_ptr<LaneSource> source_;
  std::unique_ptr<Drain> drain_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<StatusFile> status_;
  std::unique_ptr<FlashMeter> flash_;
  bool flash_store_is_out_ = false;
  bool started_ = false;
  core::ServiceNotifier notifier_;
  std::uint64_t last_data_ns_ = 0;
};

/// By waiting: a person has to change something first.
[[nodiscard]] bool cannot_be_helped(const core::Error& error);
/// The exit code of an agent that could not start: 2 where trying again cannot help (configuration,
/// rights, a newer format, another agent), so that a supervisor does not; 3 where it may.
[[nodiscard]] int start_exit_code(const core::Error& error);

}  // namespace spillway::agent
