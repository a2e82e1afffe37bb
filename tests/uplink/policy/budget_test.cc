// Budgets of a day and a month, over restarts, crashes, reboots and bad files.
#include "uplink/policy/budget.h"

#include <gtest/gtest.h>

#include <random>

#include "spillway/core/env/sim_env.h"
#include "uplink/policy/budget_file.h"

namespace spillway::uplink::test {
namespace {

constexpr std::uint64_t kHour = 3'600'000'000'000;
constexpr std::uint64_t kMB = 1'000'000;
const core::Uuid kBoot = core::Uuid::from_random(1, 1);
const core::Uuid kNextBoot = core::Uuid::from_random(2, 2);

/// As the uplink does: reserve, write, spend.
void spend(Budget& budget, std::optional<KeptBudget>& file, std::uint64_t bytes,
           std::uint64_t now_ns) {
  if (budget.needs_reserve(bytes, now_ns)) {
    file = budget.reserve(bytes, now_ns);
    budget.reserved(*file);
  }
  budget.spend(bytes, now_ns);
}

TEST(Budget, UsedUpUntilItsDayIsOver) {
  Budget budget({10 * kMB, 0}, kBoot, 5 * kHour);
  EXPECT_EQ(budget.wait_ns(5 * kHour), 0U);
  budget.spend(10 * kMB, 6 * kHour);
  EXPECT_EQ(budget.wait_ns(6 * kHour), 23 * kHour);
  EXPECT_EQ(budget.wait_ns(28 * kHour), kHour);
  EXPECT_EQ(budget.wait_ns(29 * kHour), 0U);
  EXPECT_EQ(budget.left_bytes(29 * kHour), 10 * kMB);
}

TEST(Budget, OfAMonthHoldsOverItsDays) {
  Budget budget({10 * kMB, 25 * kMB}, kBoot, 0);
  budget.spend(10 * kMB, 1);
  budget.spend(10 * kMB, 24 * kHour);
  EXPECT_EQ(budget.left_bytes(48 * kHour), 5 * kMB);
  budget.spend(5 * kMB, 48 * kHour);
  EXPECT_EQ(budget.wait_ns(48 * kHour), 28 * 24 * kHour);
  EXPECT_EQ(budget.wait_ns(30 * 24 * kHour), 0U);
}

TEST(Budget, IsCountedInTheTimeTheMachineIsKnownToHaveRun) {
  Budget budget({kMB, 0}, kBoot, 10 * kHour);
  budget.spend(kMB, 11 * kHour);
  const KeptBudget kept = budget.settle(12 * kHour);
  // The same boot: the time goes on. Another: what passed between is not known.
  Budget restarted({kMB, 0}, kept, kBoot, 20 * kHour);
  EXPECT_EQ(restarted.wait_ns(20 * kHour), 14 * kHour);
  Budget rebooted({kMB, 0}, kept, kNextBoot, 3 * kHour);
  EXPECT_EQ(rebooted.wait_ns(3 * kHour), (24 - 2 - 3) * kHour);
}

TEST(Budget, ACrashCountsAtMostASliceTooMuchAndNothingTooLittle) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    std::mt19937_64 random(seed);
    std::optional<KeptBudget> file;
    const BudgetLimits limits{50 * kMB, 1000 * kMB};
    Budget budget(limits, kBoot, 0);
    std::uint64_t spent = 0;
    std::uint64_t crashes = 0;
    for (std::uint64_t now_ns = 1; now_ns < 1000; ++now_ns) {
      const std::uint64_t bytes = random() % 20'000;
      spend(budget, file, bytes, now_ns);
      spent += bytes;
      ASSERT_GE(file->day.bytes, spent) << "the file says too little";
      if (random() % 50 != 0) continue;
      budget = Budget(limits, *file, kBoot, now_ns);
      ++crashes;
      ASSERT_LE(budget.spent_of_day(), spent + crashes * (budget.slice_bytes() + 20'000));
      spent = budget.spent_of_day();
      crashes = 0;
    }
  }
}

TEST(Budget, IsWrittenOnceASliceAndOnceAnHour) {
  std::optional<KeptBudget> file;
  Budget budget({64 * kMB, 0}, kBoot, 0);
  int writes = 0;
  for (int i = 0; i < 6000; ++i) {
    if (budget.needs_reserve(1000, 1)) ++writes;
    spend(budget, file, 1000, 1);
  }
  EXPECT_LE(writes, 7);  // six megabytes in slices of one
  EXPECT_FALSE(budget.needs_reserve(0, kHour / 2));
  EXPECT_TRUE(budget.needs_reserve(0, kHour + 2));
}

TEST(Budget, AFileThatCannotBeReadCostsADayAndAtMostOneFurtherBudget) {
  Budget budget = Budget::used_up({kMB, 10 * kMB}, kBoot, 7 * kHour);
  EXPECT_EQ(budget.wait_ns(7 * kHour), 24 * kHour);
  // And so after a restart.
  Budget again({kMB, 10 * kMB}, budget.settle(8 * kHour), kBoot, 9 * kHour);
  EXPECT_EQ(again.wait_ns(9 * kHour), 22 * kHour);
  EXPECT_EQ(again.wait_ns(31 * kHour), 0U);
  EXPECT_EQ(again.left_bytes(31 * kHour), kMB);
}

TEST(BudgetFile, ReadsBackAndNoChangedByteGoesUnnoticed) {
  const KeptBudget kept{kBoot, 1, 2, {3, 4}, {5, 6}};
  const std::string text = budget_text(kept);
  const auto read = parse_budget(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(budget_text(*read), text);
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      EXPECT_FALSE(parse_budget(changed)) << i;
    }
    EXPECT_FALSE(parse_budget(text.substr(0, i))) << i;
  }
}

TEST(BudgetFile, SurvivesAPowerCutOnceItIsKept) {
  core::env::SimEnv env(3);
  ASSERT_TRUE(env.make_directories("/s"));
  ASSERT_TRUE(env.sync_directory("/"));
  std::string said;
  const BudgetLimits limits{kMB, 0};
  Budget budget = load_budget(env, "/s/b", limits, said);
  EXPECT_EQ(said, "");
  const KeptBudget kept = budget.reserve(500'000, env.boottime_ns());
  ASSERT_TRUE(keep_budget(env, "/s/b", kept));
  env.restart_after_power_cut();
  Budget after = load_budget(env, "/s/b", limits, said);
  EXPECT_EQ(said, "");
  EXPECT_EQ(after.spent_of_day(), kept.day.bytes);
}

TEST(BudgetFile, ThatIsDamagedCountsAsUsedUpAndSaysSo) {
  core::env::SimEnv env(3);
  ASSERT_TRUE(env.make_directories("/s"));
  const std::string rubbish = "rubbish";
  ASSERT_TRUE(core::env::replace_file(env, "/s/b", std::as_bytes(std::span(rubbish))));
  std::string said;
  Budget budget = load_budget(env, "/s/b", {kMB, 0}, said);
  EXPECT_NE(said.find("/s/b"), std::string::npos);
  EXPECT_EQ(budget.left_bytes(env.boottime_ns()), 0U);
}

}  // namespace
}  // namespace spillway::uplink::test
