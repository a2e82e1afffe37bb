// Memory first at its quota: moves, drops and refusals in each other's way, with power cuts and kills between.
#include <cstdio>

#include "spill_world.h"

namespace spillway::core {
namespace {

using testing::World;

constexpr std::uint64_t kStride = 83;

class QuotaWorld : public World {
 public:
  QuotaWorld(WhenFull when_full, std::uint64_t fate) : World(1, fate) {
    use_memory();
    options().when_full = when_full;
  }
  /// No link for long, and one for a moment.
  void run() {
    online(6);
    offline(70);
    ask_power_safe();
    append(2, 3000);
    tick();
    offline(40);
    deliver(PlaceInForce::kMemory);
    online(4);
    offline(30);
    sync();
    append(1, 100);
    ship();
  }
};

class PlacementQuotaTest : public ::testing::TestWithParam<WhenFull> {};

TEST_P(PlacementQuotaTest, AfterAPowerCutOrAKillAtAnyStepWhatIsMissingIsWrittenDown) {
  std::uint64_t steps = 0;
  {
    QuotaWorld world(GetParam(), 0);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.run();
    steps = world.env().steps();
    const bool drops = GetParam() == WhenFull::kDropOldest;
    EXPECT_EQ(world.stream()->gaps().all().empty(), !drops);
    EXPECT_EQ(world.errors() == 0, drops) << "who rejects says so";
  }
  std::uint64_t cuts = 0;
  for (std::uint64_t step = 0; step < steps && !HasFailure(); step += kStride, ++cuts) {
    const bool power_cut = cuts % 2 == 0;
    SCOPED_TRACE((power_cut ? "power cut at step " : "kill at step ") + std::to_string(step));
    QuotaWorld world(GetParam(), step);
    world.env().cut_power_at(step);
    EXPECT_THROW(
        {
          if (world.open()) world.run();
        },
        env::PowerCut);
    world.restart(power_cut);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(power_cut);
    world.offline(4);
    world.restart(!power_cut);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(!power_cut);
    EXPECT_EQ(world.conflicts(), 0U);
    EXPECT_LE(world.stream()->held_bytes(), world.options().max_bytes);
  }
  std::printf("[ steps    ] %llu power cuts and kills\n", static_cast<unsigned long long>(cuts));
}

INSTANTIATE_TEST_SUITE_P(WhenFull, PlacementQuotaTest,
                         ::testing::Values(WhenFull::kDropOldest, WhenFull::kRejectNew));

}  // namespace
}  // namespace spillway::core
