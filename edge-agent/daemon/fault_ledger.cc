#include "edge-agent/daemon/fault_ledger.h"

namespace spillway::agent {

void StreamFaultTotals::add(const core::StreamFaults& faults, const StreamTrouble& trouble) {
  sync_failures += faults.sync_failures;
  rewrites += faults.rewrites;
  refusals += trouble.refusals;
  disk_full_events += faults.disk_full_events;
  for (std::size_t i = 0; i < journals.size(); ++i) journals.at(i) += faults.journals.at(i);
}

void FaultLedger::close(const std::vector<std::unique_ptr<core::Stream>>& streams,
                        const Drain& drain) {
  drained = drain.counters();
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (streams[i]) close(*streams[i], drain.trouble(i));
  }
}

void FaultLedger::close(const core::Stream& stream, const StreamTrouble& trouble) {
  earlier[stream.options().name].add(stream.faults(), trouble);
}

StreamFaultTotals FaultLedger::totals(const core::Stream& stream,
                                      const StreamTrouble& trouble) const {
  StreamFaultTotals sum;
  if (const auto found = earlier.find(stream.options().name); found != earlier.end()) {
    sum = found->second;
  }
  sum.add(stream.faults(), trouble);
  return sum;
}

}  // namespace spillway::agent
