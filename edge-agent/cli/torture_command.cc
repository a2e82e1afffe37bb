// spillway torture: shows on the user's own disk that nothing is lost, whatever is killed.
#include <signal.h>

#include <boost/json.hpp>
#include <iomanip>
#include <iostream>
#include <random>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/torture.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

constexpr double kNsPerMinute = 60e9;
std::atomic<bool> stop_asked{false};

/// In ms; 0 without any.
double percentile(const std::vector<std::uint64_t>& ascending, double share) {
  if (ascending.empty()) return 0;
  const auto last = static_cast<double>(ascending.size() - 1);
  return static_cast<double>(ascending[static_cast<std::size_t>(last * share)]) / 1e6;
}

void print_json(const TortureReport& found, std::uint64_t seed) {
  json::array failures;
  for (const auto& failure : found.failures) failures.emplace_back(failure);
  const json::object sync{{"count", found.sync_ns.size()},
                          {"p50", percentile(found.sync_ns, 0.5)},
                          {"p90", percentile(found.sync_ns, 0.9)},
                          {"p99", percentile(found.sync_ns, 0.99)},
                          {"max", percentile(found.sync_ns, 1)}};
  std::cout << json::serialize(json::object{{"ok", found.failures.empty()},
                                            {"seed", seed},
                                            {"kills", found.kills},
                                            {"records_appended", found.records_appended},
                                            {"records_read", found.records_read},
                                            {"records_dropped", found.records_dropped},
                                            {"bits_flipped", found.bits_flipped},
                                            {"segments_repaired", found.repairs},
                                            {"sync_ms", sync},
                                            {"failures", std::move(failures)},
                                            {"kept_directory", found.kept_directory}})
            << '\n';
}

void print_text(const TortureReport& found, std::uint64_t seed) {
  std::cout << (found.failures.empty() ? "good" : "FAILED") << ", seed " << seed << ": "
            << found.kills << " kills, " << found.records_appended << " records appended, "
            << found.records_read << " read back and compared, " << found.records_dropped
            << " freed (acknowledged, or dropped by the quota and written down)\n"
            << "  bit rot: " << found.bits_flipped << " bits flipped in copies, " << found.repairs
            << " segments repaired\n"
            << std::fixed << std::setprecision(2) << "  fdatasync of this disk, ms: p50 "
            << percentile(found.sync_ns, 0.5) << ", p90 " << percentile(found.sync_ns, 0.9)
            << ", p99 " << percentile(found.sync_ns, 0.99) << ", max "
            << percentile(found.sync_ns, 1) << " (" << found.sync_ns.size() << " of them)\n";
  for (const auto& failure : found.failures) std::cout << "  " << failure << '\n';
  if (!found.kept_directory.empty()) {
    std::cout << "  what was found is in " << found.kept_directory << '\n';
  }
}

int run_torture(TortureOptions options, double minutes, bool as_json) {
  if (minutes <= 0) return report(kWrongUse, "--minutes: a number above 0 is needed");
  options.duration_ns = static_cast<std::uint64_t>(minutes * kNsPerMinute);
  if (options.seed == 0) options.seed = std::random_device{}();
  struct sigaction action {};
  action.sa_handler = [](int) { stop_asked = true; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  const auto found = torture(options, stop_asked);
  if (!found) return report(found.error());
  as_json ? print_json(*found, options.seed) : print_text(*found, options.seed);
  return found->failures.empty() ? kDone : kNo;
}

}  // namespace

void add_torture_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "torture", "Kill a writer on this disk again and again, and check that nothing is lost");
  auto options = std::make_shared<TortureOptions>();
  auto minutes = std::make_shared<double>(1);
  auto as_json = std::make_shared<bool>(false);
  command
      ->add_option("directory", options->directory,
                   "on the disk in question; a folder is made in it, and removed at the end")
      ->required();
  command->add_option("--minutes", *minutes, "how long (default 1)");
  command->add_option("--seed", options->seed, "repeats the same records and damages");
  command->add_flag("--json", *as_json, "report as JSON");
  options->seed = 0;
  command->callback([options, minutes, as_json, &exit_code] {
    exit_code = run_torture(*options, *minutes, *as_json);
  });
}

}  // namespace spillway::cli
