#include "tests/sim/world.h"

#include <array>
#include <memory>

#include "tests/sim/consumer.h"
#include "tests/sim/faults.h"
#include "tests/sim/gateway.h"
#include "tests/sim/oracle.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"

namespace spillway::sim {

namespace {

constexpr std::uint64_t kFaultsNs = 20 * kSecond;
/// Everything converges within this time after the last fault ...
constexpr std::uint64_t kHealedNs = 30 * kSecond;
/// ... but where a window of few messages is on a way of seconds, which carries no more.
constexpr std::uint64_t kSlowNs = 120 * kSecond;
constexpr std::uint64_t kGatewaysMax = 3;
/// Each such world has a real database beside the model's.
constexpr std::uint64_t kTwinEvery = 64;

std::uint64_t start_of(std::uint64_t seed) {
  // Neighbouring seeds tell stories that have nothing in common.
  Random random(seed);
  return random.next();
}

void report(const Context& context, const std::vector<std::unique_ptr<Gateway>>& gateways,
            const SimInbox& inbox, WorldReport& report) {
  for (const auto& gateway : gateways) {
    for (const Producer& producer : gateway->producers().all()) {
      report.records_put += producer.may_be_lost.size();
    }
  }
  for (const auto& [key, contents] : inbox.model().all()) {
    report.records_stored += contents.rows.size();
    report.gaps += contents.gaps.size();
    ++report.journals;
  }
  report.findings = context.trace.findings();
  report.trace_hash = context.trace.hash();
  report.trace = context.trace.text();
  report.events = context.timeline.events();
}

}  // namespace

std::string_view name_of(Mutant mutant) {
  static constexpr std::array<std::string_view, kMutants> kNames = {
      "none",
      "acknowledges before the commit",
      "starts from the cursor",
      "does not check the position",
      "has no journal rule",
      "cursor goes back",
      "cursor runs ahead",
      "lane is replayed",
      "gap is kept back",
  };
  return kNames[static_cast<std::size_t>(mutant)];
}

WorldReport run_world(const WorldOptions& options) {
  Timeline timeline;
  Random random(start_of(options.seed));
  Trace trace(timeline, options.keep_trace);
  Context context{timeline, random, trace, options.mutant};
  Ledger ledger;
  SimInbox inbox(context, ledger);
  if (options.seed % kTwinEvery == 0 && options.mutant == Mutant::kNone) {
    auto twin = consumer::open_sqlite_inbox(":memory:");
    if (twin) inbox.add_twin(std::move(*twin));
    if (!twin) trace.find("SQLite cannot open: " + twin.error().message);
  }
  Consumer consumer(context, inbox);
  std::vector<std::unique_ptr<Gateway>> gateways;
  const std::uint64_t count = context.between(1, kGatewaysMax);
  for (std::uint64_t i = 0; i < count; ++i) {
    gateways.push_back(std::make_unique<Gateway>(context, ledger, i, consumer.listener()));
  }
  Faults faults(context, gateways, consumer, inbox);
  consumer.start();
  for (const auto& gateway : gateways) gateway->start(kFaultsNs);
  faults.start(kFaultsNs);
  bool ends = timeline.run_until(kFaultsNs);
  faults.heal();
  ends = ends && timeline.run_until(kFaultsNs + kHealedNs);
  for (std::uint64_t end_ns = kFaultsNs + kHealedNs;
       ends && end_ns < kFaultsNs + kSlowNs && !has_converged(context, gateways, inbox);) {
    end_ns += kHealedNs;
    ends = timeline.run_until(end_ns);
  }
  if (!ends) trace.find("the world has no end");
  judge(context, gateways, inbox);
  WorldReport told;
  report(context, gateways, inbox, told);
  return told;
}

}  // namespace spillway::sim
