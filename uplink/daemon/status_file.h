// The uplink's status for people and tools: <queue_dir>/uplink-<name>.status, JSON, replaced as a
// whole, at most once a second and only when something changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/core/env/env.h"

namespace spillway::uplink {

struct StreamStatus {
  std::string stream;
  std::string journal;
  std::uint64_t acked_offset = 0;
  std::uint64_t sent_offset = 0;
};

struct UplinkStatus {
  std::string name;
  std::string state;  // "waiting for the agent", "connecting", "connected", "offline", "stopped"
  std::string url;
  std::string error;  // why it is not connected; empty if it is
  std::uint64_t since_utc_ns = 0;
  std::uint64_t connections = 0;  // since its start
  std::uint64_t fenced = 0;       // of them, ended because a newer one of this gateway came
  std::uint64_t reopened = 0;     // the spill was wiped or changed under it
  std::string cursor_error;       // why cursors are not on the disk; empty if they are
  std::vector<StreamStatus> streams;
};

[[nodiscard]] std::string to_json(const UplinkStatus& status);

class StatusFile {
 public:
  StatusFile(core::env::Env& env, std::string path) : env_(env), path_(std::move(path)) {}
  /// Failure is no reason to stop: it is logged once.
  void update(const UplinkStatus& status);

 private:
  core::env::Env& env_;
  std::string path_;
  std::string written_;
  bool failed_ = false;
};

}  // namespace spillway::uplink
