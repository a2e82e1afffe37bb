// Faults at every step of a scripted life, on the simulated machine. The oracle stands in
// spill_world.h.
#include <cstdio>
#include <cstdlib>

#include "spill_world.h"

namespace spillway::core {
namespace {

using testing::World;

/// SPILLWAY_RECOVERY_SEEDS asks for more than a build's test has time for.
std::uint64_t seed_count() {
  constexpr std::uint64_t kSeeds = 3;
  const char* text = std::getenv("SPILLWAY_RECOVERY_SEEDS");
  return text == nullptr ? kSeeds : std::strtoull(text, nullptr, 10);
}

/// Compressing takes its time: unless more is asked for, such a world meets each seventh step.
std::uint64_t stride_of(std::uint64_t seed) {
  return World(seed).compresses() && std::getenv("SPILLWAY_RECOVERY_SEEDS") == nullptr ? 7 : 1;
}

std::uint64_t steps_of_script(std::uint64_t seed) {
  World world(seed);
  world.open();
  world.run_script();
  EXPECT_EQ(world.errors(), 0U) << "the script itself must run clean";
  EXPECT_EQ(world.stream()->gaps().all().empty(), !world.has_quota_drops());
  EXPECT_GT(world.stream()->oldest_offset(), 0U) << "segments must have been freed";
  EXPECT_EQ(world.stream()->compression().compressed_blocks > 10, world.compresses());
  // Only the longer scripts bring enough samples for a dictionary.
  EXPECT_TRUE(world.trained() == 0 || world.compresses());
  EXPECT_TRUE(world.trained() > 0 || !world.compresses() || !world.has_quota_drops());
  return world.env().steps();
}

/// Runs until the power fails at `step`.
void run_until(World& world, std::uint64_t step) {
  world.env().cut_power_at(step);
  try {
    if (world.open()) world.run_script();
    FAIL() << "step " << step << " was not reached";
  } catch (const env::PowerCut& cut) {
    EXPECT_EQ(cut.step, step);
  }
}

bool seed_has_quota(std::uint64_t seed) { return World(seed).has_quota_drops(); }

bool is_whole(World& world) {
  const auto report = testing::value_of(verify_stream(world.env(), world.options().directory));
  return std::all_of(report.damages.begin(), report.damages.end(),
                     [](const Damage& damage) { return damage.nothing_lost; });
}

class RecoveryTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(RecoveryTest, AfterAPowerCutAtAnyStepWhatWasPowerSafeIsThereAndNoIdentityNamesTwoRecords) {
  const std::uint64_t steps = steps_of_script(GetParam());
  ASSERT_GT(steps, 400U);
  for (std::uint64_t step = 0; step < steps && !HasFailure(); step += stride_of(GetParam())) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", power cut at step " +
                 std::to_string(step));
    World world(GetParam(), step);
    run_until(world, step);
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    for (int i = 0; i < 6; ++i) world.append(2, 5000);
    world.ship();
    // A second cut soon after the first, with nothing synced since.
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    for (int i = 0; i < 3; ++i) world.append(2, 500);
    world.sync();
    world.ship();
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    EXPECT_EQ(world.conflicts(), 0U);
  }
  const std::uint64_t cuts = steps / stride_of(GetParam());
  RecordProperty("steps", std::to_string(cuts));
  std::printf("[ steps    ] %llu power cuts\n", static_cast<unsigned long long>(cuts));
}

TEST_P(RecoveryTest, AfterAKillAtAnyStepEverythingAppendedIsThereAndTheJournalGoesOn) {
  const std::uint64_t steps = steps_of_script(GetParam());
  for (std::uint64_t step = 0; step < steps && !HasFailure(); step += stride_of(GetParam())) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", kill at step " + std::to_string(step));
    World world(GetParam(), step);
    run_until(world, step);
    const Uuid journal = world.journal();
    world.restart(false);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(false);
    EXPECT_TRUE(journal.is_nil() || world.journal() == journal);
    for (int i = 0; i < 4; ++i) world.append(2, 5000);
    world.ship();
    world.restart(false);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(false);
    world.sync();
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    EXPECT_EQ(world.conflicts(), 0U);
  }
}

TEST_P(RecoveryTest, AnErrorAtAnyStepLosesNothingThatWasCalledSafe) {
  const std::uint64_t steps = steps_of_script(GetParam());
  const Error errors[] = {{ErrorCode::kIo, "EIO (simulated)"},
                          {ErrorCode::kFull, "ENOSPC (simulated)"}};
  for (std::uint64_t step = 0; step < steps && !HasFailure(); step += stride_of(GetParam())) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", error at step " + std::to_string(step));
    World world(GetParam(), step);
    world.env().fail_at(step, errors[step % 2]);
    if (world.open()) world.run_script();
    world.close_handles();
    world.restart(false);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(false);
    world.sync();
    world.append(1, 100);
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    EXPECT_EQ(world.conflicts(), 0U);
  }
}

/// The card is gone, or full, and comes back: whatever the agent was doing when it went.
TEST_P(RecoveryTest, AnErrorForGoodAtAnyStepLosesNothingAndTheStreamRecoversByItself) {
  const std::uint64_t steps = steps_of_script(GetParam());
  const Error errors[] = {{ErrorCode::kIo, "EIO (simulated)"},
                          {ErrorCode::kFull, "ENOSPC (simulated)"}};
  for (std::uint64_t step = GetParam() % 3; step < steps && !HasFailure(); step += 3) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", errors from step " +
                 std::to_string(step));
    World world(GetParam(), step);
    world.env().fail_from(step, errors[step % 2]);
    const bool opened = world.open();
    if (opened) world.run_script();
    world.env().stop_failing();
    // As the agent does once a second; the first may still be told of what failed before.
    if (world.stream() != nullptr) {
      world.collect();
      world.collect();
      EXPECT_TRUE(testing::append_records(*world.stream(), 1, {"x"}, 1U << 30))
          << "it does not recover: " << world.last_error();
      world.sync();
      EXPECT_EQ(world.stream()->durable_offset(), world.stream()->next_offset());
    }
    const std::uint64_t durable = world.durable();
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    EXPECT_GE(world.stream()->next_offset(), durable);
    EXPECT_TRUE(is_whole(world)) << "damage";
    EXPECT_EQ(world.conflicts(), 0U);
  }
}

/// What a reader finds after recoveries that were cut off at these steps of theirs.
testing::ReadBack recovered(std::uint64_t seed, std::uint64_t step,
                            const std::vector<std::uint64_t>& cuts, std::uint64_t& steps_of_open,
                            int& cut_off) {
  World world(seed, step);
  run_until(world, step);
  world.restart(true);
  for (const std::uint64_t cut : cuts) {
    world.env().cut_power_at(world.env().steps() + cut);
    try {
      static_cast<void>(world.open());  // one that follows another may be done sooner
    } catch (const env::PowerCut&) {
      ++cut_off;
    }
    world.restart(true);
  }
  const std::uint64_t begin = world.env().steps();
  EXPECT_TRUE(testing::value_of(Stream::open(world.env(), world.options())) != nullptr);
  steps_of_open = world.env().steps() - begin;
  return testing::read_all(world.env(), world.options().directory);
}

TEST_P(RecoveryTest, APowerCutDuringRecoveryThreeDeepEndsInTheSameState) {
  const std::uint64_t steps = steps_of_script(GetParam());
  std::mt19937_64 random(GetParam());
  int nested = 0;
  int cut_off = 0;
  for (std::uint64_t step = 1; step < steps && !HasFailure(); step += 11) {
    std::uint64_t steps_of_open = 0;
    const testing::ReadBack once = recovered(GetParam(), step, {}, steps_of_open, cut_off);
    ASSERT_GT(steps_of_open, 4U);
    std::vector<std::uint64_t> cuts;
    for (int depth = 0; depth < 3; ++depth) cuts.push_back(random() % (steps_of_open - 4));
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", step " + std::to_string(step) +
                 ", then " + std::to_string(cuts[0]) + ", " + std::to_string(cuts[1]) + ", " +
                 std::to_string(cuts[2]));
    const testing::ReadBack thrice = recovered(GetParam(), step, cuts, steps_of_open, cut_off);
    EXPECT_EQ(thrice.position, once.position);
    // A recovery may need a segment's room, and at the quota the oldest gives it, written down.
    const std::uint64_t front =
        thrice.records.empty() ? thrice.position : thrice.records.begin()->first;
    auto kept = once.records;
    kept.erase(kept.begin(), kept.lower_bound(front));
    EXPECT_TRUE(thrice.records == kept);
    for (const Gap& gap : thrice.gaps) {
      const bool dropped = gap.reason == format::GapReason::quota && gap.next_offset <= front;
      const auto same = [&gap](const Gap& known) {
        return known.first_offset == gap.first_offset && known.next_offset == gap.next_offset;
      };
      EXPECT_TRUE(dropped || std::any_of(once.gaps.begin(), once.gaps.end(), same))
          << "gap " << gap.first_offset << ".." << gap.next_offset;
    }
    EXPECT_TRUE(front == once.records.begin()->first || seed_has_quota(GetParam()));
    ++nested;
  }
  EXPECT_GT(cut_off, nested * 2) << "most are cut off three times";
  std::printf("[ nested   ] %d recoveries cut off %d times\n", nested, cut_off);
}

TEST_P(RecoveryTest, WhileSyncsFailNothingIsCalledPowerSafeAndItRecoversByItself) {
  World world(GetParam());
  ASSERT_TRUE(world.open()) << world.last_error();
  for (int i = 0; i < 5; ++i) world.append(2, 1000);
  world.sync();
  for (int i = 0; i < 5; ++i) world.append(2, 1000);
  const std::uint64_t durable = world.durable();
  world.env().fail_syncs(true);
  world.sync();
  EXPECT_EQ(world.stream()->durable_offset(), durable);
  EXPECT_FALSE(testing::append_records(*world.stream(), 1, {"x"}));
  world.collect();
  EXPECT_EQ(world.stream()->durable_offset(), durable);
  world.env().fail_syncs(false);
  world.collect();
  EXPECT_EQ(world.stream()->durable_offset(), 20U);
  world.append(1, 10);
  world.sync();
  world.ship();
  world.restart(true);
  ASSERT_TRUE(world.open()) << world.last_error();
  world.check(true);
  EXPECT_EQ(world.durable(), 21U);
}

TEST_P(RecoveryTest, AKillWhileSyncsFailStillLeadsToASpillThatSurvivesAPowerCut) {
  World world(GetParam());
  ASSERT_TRUE(world.open()) << world.last_error();
  for (int i = 0; i < 30; ++i) world.append(2, 1000);
  world.env().fail_syncs(true);
  world.sync();
  world.restart(false);
  EXPECT_FALSE(world.open()) << "the disk still fails";
  world.env().fail_syncs(false);
  world.restart(false);
  ASSERT_TRUE(world.open()) << world.last_error();
  world.check(false);
  EXPECT_EQ(world.durable(), 60U);
  world.restart(true);
  ASSERT_TRUE(world.open()) << world.last_error();
  world.check(true);
  EXPECT_GE(world.stream()->next_offset(), 60U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RecoveryTest, ::testing::Range<std::uint64_t>(1, 1 + seed_count()));
INSTANTIATE_TEST_SUITE_P(LargeSectors, RecoveryTest,
                         ::testing::Values(testing::kLargeSectors + 1, testing::kLargeSectors + 2));

TEST(Retention, NoSegmentGoesByACursorThatAPowerCutMayTakeBack) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    env::SimEnv env(seed);
    env.set_volatile_root("/run");
    StreamOptions options = testing::small_options("");
    options.uplinks = {"cloud"};
    auto stream = testing::value_of(Stream::open(env, options));
    testing::value_of(stream->declare_lane(testing::make_identity(1), 0, 0, false));
    for (int i = 0; i < 150; ++i) {
      testing::value_of(testing::append_records(*stream, 1, {std::string(1000, 'x')}));
    }
    testing::value_of(testing::sync_now(*stream));
    const std::string path = options.directory + "/cursors/cloud";
    auto cursor = testing::value_of(Cursor::open(env, path));
    testing::value_of(
        cursor->advance({stream->journal(), 0, 120}));  // its uplink has not synced it
    testing::value_of(stream->collect());
    ASSERT_GT(stream->oldest_offset(), 0U);
    cursor.reset();
    stream.reset();
    env.restart_after_power_cut();
    const auto position = testing::value_of(Cursor::load(env, path));
    const auto reader = testing::value_of(StreamReader::open(env, options.directory));
    ASSERT_TRUE(position) << "seed " << seed;
    EXPECT_GE(position->next_offset, testing::value_of(reader->oldest_offset()));
  }
}

/// A journal page that claims to be of this boot and to know of nothing: what a build without the
/// journal rule believes.
void forge_journal_page(World& world, const Uuid& journal) {
  format::JournalPage page;
  page.mutate_magic(kJournalMagic);
  page.mutate_version(kFormatVersion);
  page.mutate_next_check(~std::uint64_t{0});
  set_uuid(*page.mutable_boot_id(), world.env().boot_id());
  set_uuid(*page.mutable_journal(), journal);
  testing::value_of(world.env().make_directories("/run/journal"));
  auto file = testing::value_of(
      world.env().open(world.options().journal_page_path, env::OpenMode::kOpenOrCreate));
  testing::value_of(file->write(0, bytes_of(page)));
}

TEST(JournalRuleTest, TheOracleFindsABuildWithoutTheJournalRule) {
  std::uint64_t conflicts = 0;
  const std::uint64_t steps = steps_of_script(1);
  for (std::uint64_t step = steps / 2; step < steps && conflicts == 0; step += 7) {
    World world(1, step);
    run_until(world, step);
    const Uuid journal = world.journal();
    world.restart(true);
    forge_journal_page(world, journal);
    if (!world.open()) continue;
    for (int i = 0; i < 6; ++i) world.append(2, 500);
    world.ship();
    conflicts += world.conflicts();
  }
  EXPECT_GT(conflicts, 0U) << "the oracle cannot see what the journal rule prevents";
}

TEST(Roll, WaitsForNoDiskUntilTwoWholeSegmentsWait) {
  env::SimEnv env{1};
  auto stream = testing::value_of(Stream::open(env, testing::small_options("")));
  testing::value_of(stream->declare_lane(testing::make_identity(1), 0, 0, false));
  const std::string record(4000, 'x');
  const auto fill = [&] { return testing::append_records(*stream, 1, {record}); };
  env.fail_syncs(true);  // a sync would be seen
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(fill()) << i;
  const auto plan = stream->plan_sync();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->files.size(), 2U) << "the first segment's end and the second's beginning";
  Result<Appended> outcome = Appended{};
  for (int i = 0; i < 25 && outcome; ++i) outcome = fill();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kBusy) << "the sync is under way";
  env.fail_syncs(false);
  testing::value_of(stream->finish_sync(*plan, plan->run()));
  EXPECT_EQ(stream->durable_offset(), plan->next_offset);
  EXPECT_TRUE(fill());
}

}  // namespace
}  // namespace spillway::core
