// UplinkRunner: one configured uplink for the life of the process: waits for the agent's first run,
// connects, moves bytes between socket and session, backs off, and keeps the cursors and the status
// up to date.
//
//   kWaiting --(gateway and streams are there)--> kConnecting --(open)--> kConnected --(closed)-->
//   kOffline
//                                                     ^   | | |   +--(failed)--> kOffline
//                                                     --(backoff)--------+
//                                                     +----------------------------------------------+
//
// Threads: the io_context's.
//
// Invariants:
//  1. There is no last try: being offline costs nothing but the wait.
//  2. A cursor that moved is synced within a second, and at the end.
//  3. A spill that was wiped or changed under it is opened anew, with the gateway's id as it is then.
//  4. While connected and idle the spill is looked at every 2 to 20 ms; else not at all.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "spillway/core/config.h"
#include "spillway/core/env/env.h"
#include "spillway/core/gateway.h"
#include "uplink/daemon/status_file.h"
#include "uplink/link/backoff.h"
#include "uplink/link/known_time.h"
#include "uplink/link/websocket.h"
#include "uplink/session/stream_source.h"
#include "uplink/session/uplink_session.h"

namespace spillway::uplink {

class UplinkRunner {
 public:
  using OnFatal = std::function<void(core::Error)>;

  UplinkRunner(boost::asio::io_context& io, core::env::Env& env, const core::GatewayConfig& gateway,
               core::UplinkConfig config, OnFatal on_fatal);
  UplinkRunner(const UplinkRunner&) = delete;
  UplinkRunner& operator=(const UplinkRunner&) = delete;

  /// Checks address and certificates: what can only be wrong for good.
  [[nodiscard]] core::Result<void> prepare();
  void start();
  /// Ends the session and makes the cursors power-safe.
  void stop();
  /// Stopped, and the connection is gone.
  [[nodiscard]] bool closed() const { return state_ == State::kStopped && socket_ == nullptr; }
  void when_closed(std::function<void()> told) { on_stopped_ = std::move(told); }

 private:
  enum class State : std::uint8_t { kWaiting, kConnecting, kConnected, kOffline, kStopped };

  void wait_for_agent();
  [[nodiscard]] bool spill_changed();
  [[nodiscard]] core::Result<void> open_sources();
  void connect();
  void on_open();
  void on_message(const Bytes& bytes);
  void on_closed(const core::Error& error);
  void pump();
  void poll_later();
  void end_session(const core::Error& error);
  void retry_later();
  void tick();
  void sync_cursors();
  void set_state(State state, std::string error);
  [[nodiscard]] UplinkStatus status() const;

  boost::asio::io_context& io_;
  core::env::Env& env_;
  core::GatewayConfig gateway_config_;
  core::UplinkConfig config_;
  OnFatal on_fatal_;
  std::function<void()> on_stopped_;
  LinkTarget target_;
  std::optional<KnownTime> known_time_;
  core::Gateway gateway_;
  std::vector<std::unique_ptr<StreamSource>> sources_;
  std::optional<UplinkSession> session_;
  std::shared_ptr<WebSocket> socket_;
  Backoff backoff_;
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer poll_timer_;
  boost::asio::steady_timer tick_timer_;
  std::uint64_t poll_ns_;
  bool polling_ = false;
  State state_ = State::kWaiting;
  std::string error_;
  std::string logged_error_;
  std::uint64_t since_utc_ns_ = 0;
  std::uint64_t connections_ = 0;
  std::uint64_t fenced_ = 0;
  std::uint64_t reopened_ = 0;
  std::string cursor_error_;
  StatusFile status_file_;
};

}  // namespace spillway::uplink
