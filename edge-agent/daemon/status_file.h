// StatusFile: <queue_dir>/agent.status, what the agent does, as one JSON document for `spillway
// status` and for scripts.
//
// Drain thread. Replaced by rename, so a reader sees a whole document; at most once a second, and
// only when it changed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "edge-agent/daemon/fault_ledger.h"
#include "edge-agent/daemon/flash_meter.h"
#include "edge-agent/daemon/lag.h"
#include "edge-agent/drain/drain.h"
#include "spillway/core/env/env.h"
#include "spillway/core/gateway.h"

namespace spillway::agent {

/// What does not change while the agent runs.
struct AgentFacts {
  core::Gateway gateway;
  std::string gateway_name;
  std::string queue_dir;
  std::string spill_dir;
  core::Uuid boot_id;
  std::uint64_t started_boottime_ns = 0;
  std::uint64_t flash_endurance_bytes = 0;  // 0: not stated
};

/// `drain` and `flash` are null, and there are no streams, while no spill is open.
[[nodiscard]] std::string render_status(const AgentFacts& facts,
                                        const std::vector<std::unique_ptr<core::Stream>>& streams,
                                        const Drain* drain, std::uint64_t rings,
                                        const FlashMeter* flash, const FaultLedger& ledger,
                                        const Now& now);

class StatusFile {
 public:
  static constexpr std::uint64_t kIntervalNs = 1'000'000'000;

  StatusFile(core::env::Env& env, std::string path) : env_(env), path_(std::move(path)) {}

  [[nodiscard]] bool due(std::uint64_t now_ns) const { return now_ns >= due_at_ns_; }
  /// Not synced: it is worth nothing after a power cut.
  [[nodiscard]] core::Result<void> write(const std::string& text, std::uint64_t now_ns);

 private:
  core::env::Env& env_;
  std::string path_;
  std::string last_;
  std::uint64_t due_at_ns_ = 0;
};

}  // namespace spillway::agent
