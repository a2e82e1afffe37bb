// The lane that the benches of the spill append from: for bench/compression.cc and bench/durable.
#pragma once

#include <cstdint>
#include <cstring>

#include "spillway/core/env/posix_env.h"
#include "spillway/core/format.h"

namespace spillway::bench {

inline format::LaneIdentity make_lane_identity(std::uint64_t lane_id) {
  format::LaneIdentity identity;
  identity.mutate_lane_id(lane_id);
  // Of this boot, whose clock the stream tells: so its records have their true times.
  core::set_uuid(*identity.mutable_boot_id(), core::env::posix_env().boot_id());
  identity.mutate_clock_kind(static_cast<std::uint8_t>(format::ClockKind::tsc));
  identity.mutate_tick_rate_hz(1'000'000'000);
  identity.mutate_max_record_bytes(64 * 1024);
  std::memcpy(identity.mutable_topic()->data(), "bench", 5);
  std::memcpy(identity.mutable_producer()->data(), "bench", 5);
  identity.mutate_topic_size(5);
  identity.mutate_producer_size(5);
  return identity;
}

}  // namespace spillway::bench
