// World: one seed's story: gateways, the network, a consumer; faults for a while; then everything heals, and
// half a minute later the oracle judges.
//
// All of it happens in one thread, in simulated time, and all chance comes from the seed: the same seed
// tells the same story, event by event.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/context.h"

namespace spillway::sim {

struct WorldOptions {
  std::uint64_t seed = 0;
  Mutant mutant = Mutant::kNone;
  bool keep_trace = false;
};

struct WorldReport {
  std::vector<std::string> findings;  // empty: all is well
  std::uint64_t trace_hash = 0;
  std::string trace;
  std::uint64_t events = 0;
  std::uint64_t records_put = 0;
  std::uint64_t records_stored = 0;
  std::uint64_t gaps = 0;
  std::uint64_t journals = 0;
};

[[nodiscard]] WorldReport run_world(const WorldOptions& options);

}  // namespace spillway::sim
