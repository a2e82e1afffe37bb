// make_plan: what a gateway's load costs in spill, flash and link, before anything runs.
//
// Pure arithmetic over the format's own sizes, any thread. A model, with these rules:
//  1. Records come evenly, spread over `lanes` producers. The drain looks at its lanes once a nap and
//     makes one block of what it finds in each.
//  2. A sync is due one interval after the first append behind the last one; behind it the append goes
//     on at the next 4 KiB page. Whoever waits for power-safe makes more of them.
//  3. The device writes each page once. What the file system adds for itself is not counted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "spillway/core/result.h"

namespace spillway::core {

struct PlanInput {
  double records_per_s = 0;
  std::uint64_t record_bytes = 0;
  double outage_s = 0;
  double link_bits_per_s = 0;         // 0: no link is planned
  std::uint64_t endurance_bytes = 0;  // what the card's maker lets one write; 0: unknown
  std::uint64_t sync_interval_ns = 1'000'000'000;
  std::uint64_t nap_ns = 5'000'000;
  std::uint64_t lanes = 1;
};

struct Plan {
  // What the records become.
  double records_per_block = 0;
  double blocks_per_s = 0;
  double syncs_per_s = 0;

  // The spill.
  double outage_records = 0;
  std::uint64_t segment_bytes = 0;
  double records_per_segment = 0;
  double segments = 0;
  std::uint64_t spill_bytes = 0;  // the outage's records, in whole segments
  std::uint64_t max_bytes = 0;    // with the segment that was begun before and the one made ahead

  // The queue.
  std::uint64_t lane_bytes = 0;
  std::uint64_t max_record_bytes = 0;
  double lane_s = 0;  // how long a lane takes records while no agent runs

  // The flash.
  double flash_bytes_per_record = 0;
  double flash_bytes_per_day = 0;
  double write_ratio = 0;             // flash bytes by record bytes
  std::optional<double> flash_years;  // where an endurance was stated

  // The link.
  double uplink_bytes_per_day = 0;    // as records come, each block sent at once
  double uplink_bytes_per_month = 0;  // of 30 days
  double link_records_per_s = 0;      // what it carries of a backlog
  std::optional<double> drain_s;      // after the outage, while new records keep coming
  std::string never_drains;           // why there is no such time; empty if there is
};

/// kInvalidArgument: what no configuration can do.
[[nodiscard]] Result<Plan> make_plan(const PlanInput& input);

}  // namespace spillway::core
