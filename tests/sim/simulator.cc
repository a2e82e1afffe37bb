// simulator --seed N: one world, its trace on the standard output.
// simulator --from N --count N: so many worlds; names those in which something is wrong, and ends with 1.
// --mutant N plants a bug. SPILLWAY_SIM_SEEDS=N asks for so many worlds, in all shards together.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/world.h"

namespace {

using spillway::sim::Mutant;

struct Wanted {
  bool one = false;
  std::uint64_t seed = 0;
  std::uint64_t count = 1;
  std::uint64_t shard = 0;
  std::uint64_t shards = 1;
  Mutant mutant = Mutant::kNone;
};

int usage() {
  std::fputs(
      "usage: simulator --seed N [--mutant N]\n"
      "       simulator [--from N] --count N [--shard I/N] [--mutant N]\n",
      stderr);
  return 2;
}

bool parse(int argc, char** argv, Wanted& wanted) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    char* rest = nullptr;
    const std::uint64_t number = std::strtoull(argv[i + 1], &rest, 10);
    if (option == "--seed") {
      wanted.one = true;
      wanted.seed = number;
    } else if (option == "--from") {
      wanted.seed = number;
    } else if (option == "--count") {
      wanted.count = number;
    } else if (option == "--mutant" && number < spillway::sim::kMutants) {
      wanted.mutant = static_cast<Mutant>(number);
    } else if (option == "--shard" && *rest == '/') {
      wanted.shard = number;
      wanted.shards = std::strtoull(rest + 1, nullptr, 10);
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && wanted.shards > 0 && wanted.shard < wanted.shards;
}

int run_one(const Wanted& wanted) {
  const auto report = spillway::sim::run_world({wanted.seed, wanted.mutant, true});
  std::fputs(report.trace.c_str(), stdout);
  std::printf(
      "seed %llu: %llu records put, %llu stored, %llu gaps, %llu journals, %llu events, trace "
      "%016llx\n",
      static_cast<unsigned long long>(wanted.seed),
      static_cast<unsigned long long>(report.records_put),
      static_cast<unsigned long long>(report.records_stored),
      static_cast<unsigned long long>(report.gaps),
      static_cast<unsigned long long>(report.journals),
      static_cast<unsigned long long>(report.events),
      static_cast<unsigned long long>(report.trace_hash));
  for (const auto& finding : report.findings) std::printf("WRONG: %s\n", finding.c_str());
  return report.findings.empty() ? 0 : 1;
}

int run_many(const Wanted& wanted, const char* program) {
  std::uint64_t failed = 0;
  std::uint64_t run = 0;
  std::uint64_t records = 0;
  for (std::uint64_t seed = wanted.seed + wanted.shard; seed < wanted.seed + wanted.count;
       seed += wanted.shards) {
    const auto report = spillway::sim::run_world({seed, wanted.mutant, false});
    ++run;
    records += report.records_stored;
    if (report.findings.empty()) continue;
    ++failed;
    std::printf("seed %llu: %s\n  replay: %s --seed %llu\n", static_cast<unsigned long long>(seed),
                report.findings.front().c_str(), program, static_cast<unsigned long long>(seed));
    std::fflush(stdout);
  }
  std::printf("%llu worlds, %llu records stored, %llu worlds with something wrong\n",
              static_cast<unsigned long long>(run), static_cast<unsigned long long>(records),
              static_cast<unsigned long long>(failed));
  return run > 0 && failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Wanted wanted;
  if (!parse(argc, argv, wanted) || argc == 1) return usage();
  if (wanted.one) return run_one(wanted);
  if (const char* seeds = std::getenv("SPILLWAY_SIM_SEEDS")) {
    wanted.count = std::strtoull(seeds, nullptr, 10);
  }
  return run_many(wanted, argv[0]);
}
