#include "spillway/core/gap_table.h"

#include "spill_helpers.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

using format::GapReason;
using testing::value_of;

constexpr const char* kPath = "/spill/gaps";

Gap gap(std::uint64_t first, std::uint64_t next, GapReason reason = GapReason::quota) {
  return {first, next, reason, 1};
}

class GapTableTest : public ::testing::Test {
 protected:
  GapTableTest() { value_of(env_.make_directories("/spill")); }
  env::SimEnv env_{1};
};

TEST_F(GapTableTest, AnAbsentFileIsAnEmptyTable) {
  EXPECT_TRUE(value_of(GapTable::load(env_, kPath)).empty());
}

TEST_F(GapTableTest, NeighboursOfOneReasonAreOneEntryAndOthersAreNot) {
  auto table = value_of(GapTable::open(env_, kPath));
  value_of(table->record(gap(10, 20)));
  value_of(table->record(gap(20, 30)));
  value_of(table->record(gap(30, 40, GapReason::damage)));
  value_of(table->record(gap(0, 5)));
  const auto all = value_of(GapTable::load(env_, kPath));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].first_offset, 0U);
  EXPECT_EQ(all[1].first_offset, 10U);
  EXPECT_EQ(all[1].count(), 20U);
  EXPECT_EQ(all[2].reason, GapReason::damage);
}

TEST_F(GapTableTest, WhatWasRecordedFirstForAnOffsetStays) {
  auto table = value_of(GapTable::open(env_, kPath));
  value_of(table->record(gap(10, 20, GapReason::damage)));
  value_of(table->record(gap(0, 30)));
  const auto& all = table->all();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].next_offset, 10U);
  EXPECT_EQ(all[1].reason, GapReason::damage);
  EXPECT_EQ(all[2].first_offset, 20U);
}

TEST_F(GapTableTest, AFullTableMergesItsOldestAndForgetsNoRange) {
  auto table = value_of(GapTable::open(env_, kPath));
  constexpr std::uint64_t kCount = GapTable::kEntriesMax + 10;
  for (std::uint64_t i = 0; i < kCount; ++i) value_of(table->record(gap(i * 10, i * 10 + 1)));
  const auto all = value_of(GapTable::load(env_, kPath));
  ASSERT_EQ(all.size(), GapTable::kEntriesMax);
  EXPECT_EQ(all.front().first_offset, 0U);
  EXPECT_EQ(all.back().next_offset, (kCount - 1) * 10 + 1);
}

TEST_F(GapTableTest, APowerCutAtAnyStepKeepsEveryRecordedGap) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (std::uint64_t step = 0; step < 40; ++step) {
      env::SimEnv env(seed);
      value_of(env.make_directories("/spill"));
      std::uint64_t recorded = 0;
      env.cut_power_at(step);
      try {
        auto table = value_of(GapTable::open(env, kPath));
        for (std::uint64_t i = 0; i < 50; ++i) {
          value_of(table->record(gap(i * 10, i * 10 + 5)));
          recorded = i + 1;
        }
      } catch (const env::PowerCut&) {
        SCOPED_TRACE("cut");
      }
      env.restart_after_power_cut();
      auto table = value_of(GapTable::open(env, kPath));
      ASSERT_GE(table->all().size(), recorded) << "seed " << seed << " step " << step;
      ASSERT_LE(table->all().size(), recorded + 1);
    }
  }
}

TEST_F(GapTableTest, WhatAKilledWriterLeftUnsyncedCostsNothingThatWasSynced) {
  const Gap safe{0, 10, format::GapReason::quota, 0};
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    env::SimEnv env(seed);
    value_of(env.make_directories("/s"));
    value_of(value_of(GapTable::open(env, "/s/gaps"))->record(safe));
    // Killed between the write and its sync.
    auto table = value_of(GapTable::open(env, "/s/gaps"));
    env.cut_power_at(env.steps() + 1);
    EXPECT_THROW(static_cast<void>(table->record({20, 30, format::GapReason::age, 0})),
                 env::PowerCut);
    env.restart_after_kill();
    // And the next one loses the power in the same place.
    table = value_of(GapTable::open(env, "/s/gaps"));
    env.cut_power_at(env.steps() + 1);
    EXPECT_THROW(static_cast<void>(table->record({40, 50, format::GapReason::age, 0})),
                 env::PowerCut);
    env.restart_after_power_cut();
    const auto gaps = value_of(GapTable::load(env, "/s/gaps"));
    ASSERT_FALSE(gaps.empty()) << "seed " << seed;
    EXPECT_EQ(gaps[0].next_offset, 10U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace spillway::core
