// UplinkRunner: one configured uplink for the life of the process: waits for the agent's first run,
// connects by the link that LinkChooser names, moves bytes between socket and session, and keeps the
// cursors, the links' budgets and the status up to date.
//
//   kWaiting --(gateway and streams are there)--> kOffline --(a try)--> kConnecting --(Welcome)--> kConnected
//                                                  ^   ^                    | failed                  |
//                                                  |   +--------------------+                         |
//                                                  +--------------------------------------------------+
//                                                     closed, by whichever end
//
// A better link is tried beside the one in use; the session goes over to it once it stands.
//
// Threads: the io_context's (and its trainer's own).
//
// Invariants:
//  1. There is no last try: being offline costs nothing but the wait.
//  2. A cursor that moved is synced within a second, and at the end.
//  3. A spill that was wiped or changed under it is opened anew, with the gateway's id as it is then.
//  4. While connected and idle the spill is looked at every 2 to 20 ms; else not at all.
//  5. There is at most one session; of a connection that was left nothing is heard any more, but what
//     it cost.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "spillway/core/config.h"
#include "spillway/core/env/env.h"
#include "uplink/daemon/dictionary_trainer.h"
#include "uplink/daemon/runner.h"
#include "uplink/daemon/spill_sources.h"
#include "uplink/daemon/status_file.h"
#include "uplink/daemon/uplink_link.h"
#include "uplink/link/known_time.h"
#include "uplink/link/websocket.h"
#include "uplink/policy/link_chooser.h"
#include "uplink/session/uplink_session.h"

namespace spillway::uplink {

class UplinkRunner final : public Runner {
 public:
  UplinkRunner(boost::asio::io_context& io, core::env::Env& env, const core::Config& config,
               core::UplinkConfig uplink, OnFatal on_fatal);

  core::Result<void> prepare() override;
  void start() override;
  void on_network_up() override;
  void stop() override;
  bool closed() const override { return state_ == State::kStopped && open_sockets_ == 0; }
  void when_closed(std::function<void()> told) override { on_stopped_ = std::move(told); }

 private:
  enum class State : std::uint8_t { kWaiting, kConnecting, kConnected, kOffline, kStopped };
  using ConnectionPointer = std::shared_ptr<Connection>;

  void wait_for_agent();
  [[nodiscard]] core::Result<void> open_sources();
  void look_for_foreign();

  void choose();
  void choose_later();
  void try_link(std::size_t link);
  void begin_session(const ConnectionPointer& connection);
  void leave(const ConnectionPointer& connection);

  void on_open(const ConnectionPointer& connection);
  void on_message(const ConnectionPointer& connection, const Bytes& bytes);
  void on_closed(const ConnectionPointer& connection, const core::Error& error);
  void on_try_failed(const ConnectionPointer& connection, const core::Error& error);
  void on_session_closed(const ConnectionPointer& connection, const core::Error& error);

  void pump();
  void train_dictionaries();
  void poll_later();
  enum class Farewell : std::uint8_t { kPolite, kNone };
  void end_session(const core::Error& error, Farewell farewell);
  void check_session();
  void tick();
  void set_state(State state, std::string error);
  // runner_status.cc
  void note_rate();
  [[nodiscard]] UplinkStatus status();
  [[nodiscard]] LinkStatus link_status(std::size_t link);
  [[nodiscard]] StreamStatus stream_status(std::size_t stream);
  [[nodiscard]] std::uint64_t utc_in(std::uint64_t wait_ns) const;

  boost::asio::io_context& io_;
  core::env::Env& env_;
  core::GatewayConfig gateway_config_;
  core::UplinkConfig config_;
  OnFatal on_fatal_;
  std::function<void()> on_stopped_;
  SpillSources spill_;
  std::uint64_t named_at_ns_ = 0;  // when the session's Hello named the streams
  std::vector<UplinkLink> links_;
  std::optional<KnownTime> known_time_;  // as soon as the agent has been here
  LinkChooser chooser_;
  std::optional<UplinkSession> session_;  // the present one, or the last
  ConnectionPointer active_;              // the session's
  ConnectionPointer trying_;
  std::size_t open_sockets_ = 0;
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer poll_timer_;
  boost::asio::steady_timer tick_timer_;
  std::uint64_t poll_ns_;
  bool polling_ = false;
  State state_ = State::kWaiting;
  std::string error_;
  std::string logged_error_;
  std::uint64_t since_utc_ns_ = 0;
  std::uint64_t opened_ns_ = 0;
  bool welcomed_ = false;  // in the present session, or the last
  bool at_once_ = false;   // it ends because a link came up: no pause
  std::uint64_t connections_ = 0;
  std::uint64_t fenced_ = 0;
  std::uint64_t reopened_ = 0;
  std::uint64_t network_events_ = 0;
  std::uint64_t rate_since_ns_ = 0;
  std::uint64_t rate_from_bytes_ = 0;
  std::uint64_t rate_bytes_per_s_ = 0;
  StatusFile status_file_;
  DictionaryTrainer trainer_;
};

}  // namespace spillway::uplink
