// The simulator itself: a seed tells one story, and it finds what it is there to find.
#include <gtest/gtest.h>

#include "tests/sim/world.h"

namespace spillway::sim {
namespace {

/// By then a planted bug must have been found.
constexpr std::uint64_t kSeedsPerMutant = 300;

TEST(Simulator, ASeedTellsTheSameStoryByteForByte) {
  for (const std::uint64_t seed : {0U, 1U, 7U, 64U, 4711U}) {
    const auto first = run_world({seed, Mutant::kNone, true});
    const auto second = run_world({seed, Mutant::kNone, true});
    EXPECT_FALSE(first.trace.empty());
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
    EXPECT_EQ(first.trace_hash, second.trace_hash);
    // Nobody who watches changes the story.
    EXPECT_EQ(run_world({seed, Mutant::kNone, false}).trace_hash, first.trace_hash);
  }
}

TEST(Simulator, SeedsTellDifferentStories) {
  EXPECT_NE(run_world({1, Mutant::kNone, false}).trace_hash,
            run_world({2, Mutant::kNone, false}).trace_hash);
}

TEST(Simulator, WorldsHaveRecordsGapsAndJournals) {
  WorldReport sum;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const auto report = run_world({seed, Mutant::kNone, false});
    sum.records_stored += report.records_stored;
    sum.gaps += report.gaps;
    sum.journals += report.journals;
  }
  EXPECT_GT(sum.records_stored, 40U * 100);
  EXPECT_GT(sum.gaps, 10U);
  EXPECT_GT(sum.journals, 2U * 40);
}

class PlantedBug : public ::testing::TestWithParam<std::size_t> {};

TEST_P(PlantedBug, IsFound) {
  const auto mutant = static_cast<Mutant>(GetParam());
  for (std::uint64_t seed = 1; seed <= kSeedsPerMutant; ++seed) {
    const auto report = run_world({seed, mutant, false});
    if (report.findings.empty()) continue;
    RecordProperty("seed", static_cast<int>(seed));
    std::cout << name_of(mutant) << ": seed " << seed << ": " << report.findings.front() << "\n";
    return;
  }
  FAIL() << "nobody found in " << kSeedsPerMutant << " worlds: " << name_of(mutant);
}

INSTANTIATE_TEST_SUITE_P(Mutants, PlantedBug, ::testing::Range<std::size_t>(1, kMutants));

}  // namespace
}  // namespace spillway::sim
