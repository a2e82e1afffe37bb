// UplinkProcess: one life of the uplink's process: what uplink/daemon does around the real session, over a
// simulated link: opens the sources, connects, moves messages, backs off, syncs the cursors.
//
// One thread. Its destruction is its kill.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/checked_source.h"
#include "tests/sim/machine.h"
#include "tests/sim/network.h"
#include "uplink/link/backoff.h"
#include "uplink/session/uplink_session.h"

namespace spillway::sim {

inline constexpr const char* kUplinkName = "cloud";

struct UplinkSetup {
  core::Uuid gateway;
  std::string gateway_name;
  std::vector<std::string> streams;
  std::uint64_t window_bytes = 0;
};

class UplinkProcess {
 public:
  UplinkProcess(Context& context, Machine& machine, Path& path, Ledger& ledger, UplinkSetup setup);
  UplinkProcess(const UplinkProcess&) = delete;
  UplinkProcess& operator=(const UplinkProcess&) = delete;
  ~UplinkProcess();

  void start();
  /// The spill has something new, maybe.
  void wake();
  /// Before the destruction: how the far end will learn of it.
  void lose_power();
  /// What it has sent since its last Hello, for one who would send it again.
  [[nodiscard]] const std::vector<Bytes>& sent() const { return sent_; }

 private:
  static constexpr std::size_t kQueuedMessagesMax = 2;
  static constexpr std::size_t kSentKept = 64;

  void later(std::uint64_t delay_ns, std::function<void()> work);
  void wait_for_agent();
  [[nodiscard]] core::Result<void> open_sources();
  void connect();
  void on_open(std::shared_ptr<Link> link);
  void on_message(Bytes bytes);
  void on_closed();
  void pump();
  void send(Bytes message);
  void end_session(const core::Error& error);
  void retry();
  void tick();
  void check_cursors();
  [[nodiscard]] std::string cursor_path(const std::string& stream) const;
  void plant_old_cursor();
  [[nodiscard]] Bytes with_cursors(Bytes welcome);

  Context& context_;
  Machine& machine_;
  Path& path_;
  Ledger& ledger_;
  UplinkSetup setup_;
  std::vector<std::unique_ptr<CheckedSource>> sources_;
  std::optional<uplink::UplinkSession> session_;
  std::shared_ptr<Link> link_;
  uplink::Backoff backoff_;
  std::uint64_t ticks_ = 0;
  std::map<std::string, core::CursorPosition> cursors_;
  std::map<std::string, std::vector<std::byte>> old_cursors_;
  std::vector<Bytes> sent_;
  Life life_ = begin_life();
};

}  // namespace spillway::sim
