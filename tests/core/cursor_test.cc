#include "spillway/core/cursor.h"

#include "spill_helpers.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

using testing::value_of;

constexpr const char* kPath = "/spill/cursor";

CursorPosition at(std::uint64_t offset) { return {Uuid::from_random(7, 7), 3, offset}; }

TEST(CursorTest, AnAbsentOrEmptyOneHoldsNoPosition) {
  env::SimEnv env(1);
  value_of(env.make_directories("/spill"));
  EXPECT_FALSE(value_of(Cursor::load(env, kPath)));
  auto cursor = value_of(Cursor::open(env, kPath));
  EXPECT_FALSE(cursor->position());
  EXPECT_FALSE(value_of(Cursor::load(env, kPath)));
}

TEST(CursorTest, APositionIsReadBackWhole) {
  env::SimEnv env(1);
  value_of(env.make_directories("/spill"));
  auto cursor = value_of(Cursor::open(env, kPath));
  value_of(cursor->advance(at(5)));
  value_of(cursor->advance(at(9)));
  const auto loaded = value_of(Cursor::load(env, kPath));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->next_offset, 9U);
  EXPECT_EQ(loaded->journal, at(0).journal);
  EXPECT_EQ(loaded->journal_sequence, 3U);
}

TEST(CursorTest, ASecondUplinkOfTheSameNameIsRefused) {
  env::SimEnv env(1);
  value_of(env.make_directories("/spill"));
  auto cursor = value_of(Cursor::open(env, kPath));
  EXPECT_EQ(Cursor::open(env, kPath).error().code, ErrorCode::kBusy);
}

TEST(CursorTest, APowerCutAtAnyStepLeavesASyncedPositionOrALaterOne) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (std::uint64_t step = 0; step < 60; ++step) {
      env::SimEnv env(seed);
      value_of(env.make_directories("/spill"));
      std::uint64_t synced = 0;
      std::uint64_t written = 0;
      env.cut_power_at(step);
      try {
        auto cursor = value_of(Cursor::open(env, kPath));
        for (std::uint64_t i = 1; i < 100; ++i) {
          written = i;
          value_of(cursor->advance(at(i)));
          if (i % 3 != 0) continue;
          value_of(cursor->sync());
          synced = i;
        }
      } catch (const env::PowerCut&) {
        written = std::max(written, synced);
      }
      env.restart_after_power_cut();
      const auto loaded = value_of(Cursor::load(env, kPath));
      const std::uint64_t found = loaded ? loaded->next_offset : 0;
      ASSERT_GE(found, synced) << "seed " << seed << " step " << step;
      ASSERT_LE(found, written) << "seed " << seed << " step " << step;
    }
  }
}

TEST(CursorTest, AnyFlippedBitOfTheNewestSlotLeavesTheOneBefore) {
  for (std::uint64_t bit = 0; bit < sizeof(format::CursorSlot) * 8; ++bit) {
    env::SimEnv env(1);
    value_of(env.make_directories("/spill"));
    {
      auto cursor = value_of(Cursor::open(env, kPath));
      value_of(cursor->advance(at(5)));
      value_of(cursor->sync());
      value_of(cursor->advance(at(9)));
    }
    // The first position went to slot 0, the second to slot 1.
    env.flip_bit(kPath, 4096 * 8 + bit);
    const auto loaded = value_of(Cursor::load(env, kPath));
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->next_offset, 5U) << "bit " << bit;
  }
}

TEST(CursorTest, WhatAKilledUplinkLeftUnsyncedCostsNothingThatWasSynced) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    env::SimEnv env(seed);
    value_of(env.make_directories("/spill"));
    auto cursor = value_of(Cursor::open(env, kPath));
    value_of(cursor->advance(at(10)));
    value_of(cursor->sync());
    value_of(cursor->advance(at(20)));
    env.restart_after_kill();
    // The next one loses the power in its first write.
    cursor = value_of(Cursor::open(env, kPath));
    value_of(cursor->advance(at(30)));
    cursor.reset();
    env.restart_after_power_cut();
    const auto position = value_of(Cursor::load(env, kPath));
    ASSERT_TRUE(position) << "seed " << seed;
    EXPECT_GE(position->next_offset, 10U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace spillway::core
