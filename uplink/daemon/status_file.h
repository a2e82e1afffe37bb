// The uplink's status for people and tools: <queue_dir>/uplink-<name>.status, JSON, replaced as a
// whole, at most once a second and only when something changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/env/env.h"

namespace spillway::uplink {

struct StreamStatus {
  std::string stream;
  std::string journal;
  std::uint64_t acked_offset = 0;
  std::uint64_t sent_offset = 0;
  std::uint64_t refused = 0;                     // by the far end, which keeps them as dead letters
  std::uint64_t dead_letters = 0;                // by the far end, kept here (spillway dead)
  std::string refused_reason;                    // the latest
  bool live = false;                             // it keeps up
  std::optional<std::uint64_t> backlog_records;  // held and not yet acknowledged
  std::optional<std::uint64_t> backlog_bytes;    // what they will take on the wire, about
};

struct LinkStatus {
  std::string name;
  std::string state;  // "in use", "tried", "waiting", "budget used up", "outside its windows"
  std::string interface;
  std::string url;
  std::string error;               // why the last try failed, or its session ended
  std::uint64_t until_utc_ns = 0;  // when it may be tried again; 0: not waited for
  std::uint64_t sent_bytes = 0;    // since the uplink's start
  std::uint64_t received_bytes = 0;
  std::uint64_t rate_limit_bytes_per_s = 0;  // 0: none
  std::uint64_t budget_per_day_bytes = 0;    // 0: none
  std::uint64_t budget_per_month_bytes = 0;  // 0: none
  std::uint64_t spent_of_day_bytes = 0;
  std::uint64_t spent_of_month_bytes = 0;
  std::string budget_error;  // why its budget is in memory only; empty if it is not
};

struct UplinkStatus {
  std::string name;
  /// "waiting for the agent", "connecting", "connected", "offline", "budget used up",
  /// "outside its windows", "stopped"
  std::string state;
  std::string link;  // in use, or tried; empty: neither
  std::string url;
  std::string error;  // why it is not connected; empty if it is
  std::uint64_t since_utc_ns = 0;
  std::uint64_t until_utc_ns = 0;    // the next try; 0: none is waited for
  std::uint64_t connections = 0;     // since its start
  std::uint64_t fenced = 0;          // of them, ended because a newer one of this gateway came
  std::uint64_t reopened = 0;        // the spill was wiped or changed under it
  std::uint64_t network_events = 0;  // links and routes that came up
  std::string cursor_error;          // why cursors are not on the disk; empty if they are
  std::uint64_t round_trip_us = 0;   // the shortest of late; 0: not known
  std::uint64_t window_bytes = 0;    // what a backlog may have on its way
  std::uint64_t in_flight_bytes = 0;
  std::uint64_t link_bytes_per_s = 0;    // what the link is known to carry; 0: not known
  std::uint64_t bytes_per_s = 0;         // what it carries now, both ways
  std::optional<std::uint64_t> drain_s;  // until the backlog is gone, if it is known
  std::vector<LinkStatus> links;
  std::vector<StreamStatus> streams;
};

/// As a JSON string, with its quotes.
[[nodiscard]] std::string json_text(std::string_view text);
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
