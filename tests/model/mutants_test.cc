// Every mutant of the lane is caught by a scenario; so the scenarios show something.
//
// Three kinds: each operation of the real headers with its order weakened, its store dropped, or
// its store moved behind the publication (found by running, no list to forget); mistakes written by
// hand (mutants.py); agents that break a rule.
#include <gtest/gtest.h>

#include <functional>
#include <iostream>
#include <memory>

#include "mutant_rings.h"
#include "spillway/shm/ring_reader.h"
#include "spillway/shm/ring_writer.h"
#include "tests/model/explorer.h"
#include "tests/model/lane_program.h"

namespace spillway::model {
namespace {

using RealLane = LaneProgram<shm::RingWriter, shm::RingBatch, shm::RingReader>;
using MakeLane = std::function<std::unique_ptr<Program>(const Scenario&, const Deaths&)>;

std::unique_ptr<Program> real_lane(const Scenario& scenario, const Deaths& deaths) {
  return std::make_unique<RealLane>(scenario, deaths);
}

/// Who catches it, and how; empty: nobody.
std::string catcher(const MakeLane& make, const Mutation* mutation) {
  // The cheap ones first: without deaths most mutants are caught.
  for (const Deaths& who : deaths()) {
    for (const Scenario& scenario : scenarios()) {
      const auto program = make(scenario, who);
      const Outcome outcome = explore(*program, mutation);
      if (!outcome.violation.empty()) {
        return scenario.name + who.name + " in " + std::to_string(outcome.trace.size()) +
               " operations: " + outcome.violation;
      }
    }
  }
  return "";
}

void expect_caught(const std::string& name, const MakeLane& make, const Mutation* mutation) {
  const std::string caught = catcher(make, mutation);
  std::cout << name << ": " << (caught.empty() ? "NOT CAUGHT" : caught) << std::endl;
  EXPECT_NE(caught, "") << name;
}

/// Every operation of the ring headers that some scenario does.
std::vector<SiteUse> all_sites() {
  std::vector<SiteUse> sites;
  for (const Scenario& scenario : scenarios()) {
    const auto program = real_lane(scenario, deaths().back());
    for (const SiteUse& site : explore(*program).sites) {
      const bool known = std::any_of(sites.begin(), sites.end(), [&site](const SiteUse& other) {
        return other.file == site.file && other.line == site.line && other.store == site.store;
      });
      if (!known && site.file.starts_with("ring_")) sites.push_back(site);
    }
  }
  return sites;
}

std::string name_of(const SiteUse& site, const char* what) {
  return std::string(what) + " " + site.function + " " + site.file + ":" +
         std::to_string(site.line);
}

bool publishes(const SiteUse& site) { return site.order == std::memory_order_release; }

TEST(Mutants, EachAcquireAndReleaseIsNeeded) {
  unsigned count = 0;
  for (const SiteUse& site : all_sites()) {
    if (site.plain || site.order == std::memory_order_relaxed) continue;
    const Mutation mutation{site.file, site.line, Mutation::Kind::kWeaken};
    expect_caught(name_of(site, publishes(site) ? "release" : "acquire"), real_lane, &mutation);
    ++count;
  }
  // commit, commit with padding, publish, consume; the loads of commit words and of consumed.
  EXPECT_EQ(count, 6U);
}

TEST(Mutants, EachStoreIsNeeded) {
  for (const SiteUse& site : all_sites()) {
    if (!site.store) continue;
    const Mutation mutation{site.file, site.line, Mutation::Kind::kDrop};
    expect_caught(name_of(site, "dropped"), real_lane, &mutation);
  }
}

TEST(Mutants, EachRelaxedStoreBelongsBeforeThePublication) {
  for (const SiteUse& site : all_sites()) {
    if (!site.store || site.plain || publishes(site)) continue;
    const Mutation mutation{site.file, site.line, Mutation::Kind::kDelay};
    expect_caught(name_of(site, "delayed"), real_lane, &mutation);
  }
}

TEST(Mutants, EachMistakeByHandIsCaught) {
#define SPILLWAY_PLAY(name, what)                                                             \
  expect_caught(                                                                              \
      #name ": " what,                                                                        \
      [](const Scenario& scenario, const Deaths& who) {                                       \
        return std::make_unique<                                                              \
            LaneProgram<shm::name::RingWriter, shm::name::RingBatch, shm::name::RingReader>>( \
            scenario, who);                                                                   \
      },                                                                                      \
      nullptr);
#define SPILLWAY_STALE(name, what) ADD_FAILURE() << #name " no longer fits the headers: " what;
  SPILLWAY_EACH_MUTANT(SPILLWAY_PLAY, SPILLWAY_STALE)
#undef SPILLWAY_PLAY
#undef SPILLWAY_STALE
}

TEST(Mutants, AnAgentThatBreaksARuleIsCaught) {
  const auto play = [](const char* name, AgentFault fault) {
    expect_caught(
        name,
        [fault](const Scenario& scenario, const Deaths& who) {
          return std::make_unique<RealLane>(scenario, who, fault);
        },
        nullptr);
  };
  play("consumes before the spill has the bytes", AgentFault::kConsumesFirst);
  play("removes the lane without a last walk behind the lock", AgentFault::kNoLastWalk);
  play("resumes without its spill", AgentFault::kForgetsItsSpill);
}

}  // namespace
}  // namespace spillway::model
