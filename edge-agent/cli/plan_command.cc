// spillway plan: what a load costs in spill, flash and link, and a configuration for it.
#include <iostream>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/plan_text.h"
#include "edge-agent/cli/plan_units.h"

namespace spillway::cli {
namespace {

struct PlanOptions {
  std::string rate;
  std::string record;
  std::string outage = "1d";
  std::string link;
  std::string endurance;
  std::string sync_interval = "1s";
  std::uint64_t lanes = 1;
  bool json = false;
};

core::Result<core::PlanInput> input_of(const PlanOptions& options) {
  core::PlanInput input;
  SPILLWAY_TRY(rate, parse_rate(options.rate));
  input.records_per_s = rate;
  SPILLWAY_TRY(record, core::parse_bytes(options.record));
  input.record_bytes = record;
  SPILLWAY_TRY(outage_ns, core::parse_duration_ns(options.outage));
  input.outage_s = static_cast<double>(outage_ns) / 1e9;
  if (!options.link.empty()) {
    SPILLWAY_TRY(link, parse_link(options.link));
    input.link_bits_per_s = link;
  }
  if (!options.endurance.empty()) {
    SPILLWAY_TRY(endurance, core::parse_storage_bytes(options.endurance));
    input.endurance_bytes = endurance;
  }
  SPILLWAY_TRY(sync_ns, core::parse_duration_ns(options.sync_interval));
  input.sync_interval_ns = sync_ns;
  input.lanes = options.lanes;
  return input;
}

int run_plan(const PlanOptions& options) {
  const auto input = input_of(options);
  if (!input) return report(input.error());
  const auto plan = core::make_plan(*input);
  if (!plan) return report(plan.error());
  if (options.json) {
    std::cout << boost::json::serialize(plan_json(*input, *plan)) << '\n';
  } else {
    std::cout << plan_text(*input, *plan);
  }
  return plan->never_drains.empty() ? kDone : kNo;
}

}  // namespace

void add_plan_command(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PlanOptions>();
  auto* command = app.add_subcommand("plan",
                                     "Say what a load costs in spill, flash and link, and give a "
                                     "configuration for it; exit code 1 "
                                     "if the link could never drain it");
  command
      ->add_option("--rate", options->rate, "records, all producers together: 100/s, 30/min, 2/h")
      ->required();
  command->add_option("--record", options->record, "a record's size: 200, 4KiB")->required();
  command
      ->add_option("--outage", options->outage, "the longest time without the link: 90m, 12h, 3d")
      ->capture_default_str();
  command->add_option("--link", options->link,
                      "what the link carries: 250kbit/s, 2Mbit/s, 64KiB/s");
  command->add_option("--endurance", options->endurance,
                      "what the card may be written in its life (TBW): 10TB");
  command
      ->add_option("--sync-interval", options->sync_interval,
                   "how soon a record is to be power-safe: 0, 100ms, 1s")
      ->capture_default_str();
  command->add_option("--producers", options->lanes, "over how many lanes the records come")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100'000}))
      ->capture_default_str();
  command->add_flag("--json", options->json, "report as JSON");
  command->callback([options, &exit_code] { exit_code = run_plan(*options); });
}

}  // namespace spillway::cli
