// What the agent's status file says of the disk: now, in the present tense, and counted.
//
// Drain thread. No I/O.
#pragma once

#include <boost/json/object.hpp>

#include "edge-agent/daemon/fault_ledger.h"

namespace spillway::agent {

/// Whether a spill is open, and what its file system says.
[[nodiscard]] boost::json::object spill_json(const FaultLedger& ledger);
/// Adds a stream's faults to its object. `counted`: since the agent started.
void add_faults(boost::json::object& stream, const core::StreamFaults& now,
                const StreamTrouble& trouble, const StreamFaultTotals& counted);
/// Of a stream that is not open, for this reason, while others are.
[[nodiscard]] boost::json::object away_json(const std::string& name, const std::string& why,
                                            const FaultLedger& ledger);

}  // namespace spillway::agent
