#include "edge-agent/daemon/fault_status.h"

namespace spillway::agent {

namespace json = boost::json;

namespace {

json::object totals_json(const StreamFaultTotals& counted) {
  json::object journals;
  for (std::size_t i = 0; i < counted.journals.size(); ++i) {
    journals[core::name_of(static_cast<core::JournalReason>(i))] = counted.journals.at(i);
  }
  return {
      {"sync_failures", counted.sync_failures}, {"rewrites", counted.rewrites},
      {"refusals", counted.refusals},           {"disk_full_events", counted.disk_full_events},
      {"journals", std::move(journals)},
  };
}

}  // namespace

json::object spill_json(const FaultLedger& ledger) {
  const bool waits = !ledger.waiting_for.empty();
  json::object out{
      {"state", waits ? "waiting" : "open"},
      {"read_only", ledger.read_only || ledger.place.read_only},
      {"free_bytes", ledger.place.free_bytes},
      {"total_bytes", ledger.place.total_bytes},
      {"releases", ledger.releases},
      {"open_failures", ledger.open_failures},
  };
  if (waits) out["waiting_for"] = ledger.waiting_for;
  return out;
}

void add_faults(json::object& stream, const core::StreamFaults& now, const StreamTrouble& trouble,
                const StreamFaultTotals& counted) {
  stream["read_only"] = now.read_only || trouble.read_only;
  stream["disk_full"] = now.disk_full;
  const std::string& fault = now.failure.empty() ? trouble.error : now.failure;
  if (!fault.empty()) stream["fault"] = fault;
  stream["faults"] = totals_json(counted);
}

json::object away_json(const std::string& name, const std::string& why, const FaultLedger& ledger) {
  const auto found = ledger.earlier.find(name);
  return {
      {"name", name},
      {"state", "failed"},
      {"fault", "it is not open: " + why + "; it is tried once a second"},
      {"faults", totals_json(found == ledger.earlier.end() ? StreamFaultTotals{} : found->second)}};
}

}  // namespace spillway::agent
