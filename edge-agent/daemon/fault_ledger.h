// FaultLedger: what the disk has done to the agent since it started, and does now. It outlives the
// streams: they are closed and opened anew where the disk under them was changed.
//
// Drain thread. No I/O.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edge-agent/daemon/spill_place.h"
#include "edge-agent/drain/drain.h"
#include "spillway/core/stream.h"

namespace spillway::agent {

/// Of one stream, since the agent started.
struct StreamFaultTotals {
  std::uint64_t sync_failures = 0;
  std::uint64_t rewrites = 0;
  std::uint64_t refusals = 0;
  std::uint64_t disk_full_events = 0;
  std::array<std::uint64_t, core::kJournalReasons> journals{};

  void add(const core::StreamFaults& faults, const StreamTrouble& trouble);
};

struct FaultLedger {
  // Now.
  std::string waiting_for;  // why no spill is open; empty while one is
  bool read_only = false;   // that is the reason
  PlaceFacts place;
  std::map<std::string, std::string> away;  // streams that are not open, though others are; and why
  // Ever since the start.
  std::uint64_t releases = 0;       // a spill, or a stream of it, was let go of because of a fault
  std::uint64_t open_failures = 0;  // tries to open one that failed
  DrainCounters drained;            // by the drains before
  std::map<std::string, StreamFaultTotals> earlier;  // of streams that were closed, by name

  /// Before the streams go, or one of them.
  void close(const std::vector<std::unique_ptr<core::Stream>>& streams, const Drain& drain);
  void close(const core::Stream& stream, const StreamTrouble& trouble);
  /// With what the open stream counts.
  [[nodiscard]] StreamFaultTotals totals(const core::Stream& stream,
                                         const StreamTrouble& trouble) const;
};

}  // namespace spillway::agent
