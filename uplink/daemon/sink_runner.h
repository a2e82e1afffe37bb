// SinkRunner: one configured uplink to somebody else's engine, for the life of the process: waits for
// the agent's first run, connects, hands over what there is, and keeps cursors and status up to date.
//
//   kWaiting --(gateway and streams are there)--> kOffline --(connected)--> kConnected <--> kBlocked
//                                                    ^                          |  (the engine takes
//                                                    +-- an error, and a pause -+   nothing for now)
//
// Threads: its own, in which the engine's library may wait; the calls come from others.
//
// Invariants:
//  1. There is no last try: being offline costs nothing but the wait.
//  2. A cursor that moved is synced within a second, and at the end.
//  3. A spill that was wiped or changed under it is opened anew, with the gateway's id as it is then.
//  4. It waits for nothing longer than kConnectTimeoutNs: so long stop() may take.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "uplink/daemon/runner.h"
#include "uplink/daemon/spill_sources.h"
#include "uplink/daemon/status_file.h"
#include "uplink/daemon/uplink_link.h"
#include "uplink/link/backoff.h"
#include "uplink/sinks/sink_session.h"

namespace spillway::uplink {

class SinkRunner final : public Runner {
 public:
  static constexpr std::uint64_t kConnectTimeoutNs = 5'000'000'000;
  /// A turn that takes so long has broken invariant 4 by far: an engine's library hangs.
  static constexpr std::uint64_t kTurnNsMax = 12 * kConnectTimeoutNs;

  /// `on_fatal` is called from its own thread.
  SinkRunner(core::env::Env& env, const core::Config& config, core::UplinkConfig uplink,
             OnFatal on_fatal);
  ~SinkRunner() override;

  core::Result<void> prepare() override;
  void start() override;
  void on_network_up() override;
  void stop() override;
  bool closed() const override { return closed_.load(); }
  /// Told from its own thread, or at once where it has ended already.
  void when_closed(std::function<void()> told) override;
  bool turning() const override;

 private:
  enum class State : std::uint8_t {
    kWaiting,
    kOffline,
    kConnecting,
    kConnected,
    kBlocked,
    kStopped
  };

  void run();
  void work();
  void open_spill();
  void try_to_connect();
  void pump();
  void pause(std::uint64_t ns);
  [[nodiscard]] bool stopping();
  [[nodiscard]] std::uint64_t allowance();
  void look_at_hindrance();
  void end_session(const core::Error& error);
  void stay_away(const core::Error& error);
  void tick();
  void check_session();
  void say_goodbye();
  void set_state(State state, std::string error);
  // sink_status.cc
  void note_rate();
  [[nodiscard]] UplinkStatus status();
  [[nodiscard]] LinkStatus link_status();
  [[nodiscard]] StreamStatus stream_status(std::size_t index);

  core::env::Env& env_;
  core::GatewayConfig gateway_config_;
  core::UplinkConfig config_;
  OnFatal on_fatal_;
  SpillSources spill_;
  UplinkLink link_;
  Backoff backoff_;
  std::unique_ptr<Sink> sink_;
  std::optional<SinkSession> session_;
  StatusFile status_file_;

  State state_ = State::kWaiting;
  std::string error_;
  std::string logged_error_;
  std::string logged_untold_;
  std::uint64_t since_utc_ns_;
  std::uint64_t retry_at_ns_ = 0;
  std::uint64_t ticked_ns_ = 0;
  std::uint64_t poll_ns_ = 0;
  std::uint64_t connections_ = 0;
  std::uint64_t reopened_ = 0;
  std::uint64_t rate_since_ns_ = 0;
  std::uint64_t rate_from_bytes_ = 0;
  std::uint64_t rate_bytes_per_s_ = 0;

  std::mutex mutex_;
  std::condition_variable woken_;
  bool stop_wanted_ = false;         // mutex_
  bool network_up_ = false;          // mutex_
  std::function<void()> on_closed_;  // mutex_
  std::atomic<std::uint64_t> network_events_{0};
  std::atomic<bool> closed_{false};
  std::atomic<std::uint64_t> turned_ns_{
      0};  // when the latest turn began; 0: its thread does not run
  std::thread thread_;
};

}  // namespace spillway::uplink
