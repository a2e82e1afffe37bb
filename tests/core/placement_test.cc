// Memory first: a scripted life with links that come and go, and faults at every step of it. The oracle
// stands in spill_world.h.
#include <cstdio>
#include <cstdlib>

#include "core/spill/backlog_age.h"
#include "core/spill/memory_place.h"
#include "core/spill/segment_file.h"
#include "spill_world.h"

namespace spillway::core {
namespace {

using testing::value_of;
using testing::World;

/// SPILLWAY_RECOVERY_SEEDS asks for more than a build's test has time for.
std::uint64_t seed_count() {
  constexpr std::uint64_t kSeeds = 3;
  const char* text = std::getenv("SPILLWAY_RECOVERY_SEEDS");
  return text == nullptr ? kSeeds : std::strtoull(text, nullptr, 10);
}

std::uint64_t stride_of(std::uint64_t seed) {
  if (std::getenv("SPILLWAY_RECOVERY_SEEDS") != nullptr) return 1;
  return World(seed).compresses() ? 7 : 3;
}

class MemoryWorld : public World {
 public:
  explicit MemoryWorld(std::uint64_t seed, std::uint64_t fate = 0) : World(seed, fate) {
    use_memory();
  }
};

std::uint64_t steps_of_script(std::uint64_t seed) {
  MemoryWorld world(seed);
  world.open();
  world.run_memory_script();
  EXPECT_EQ(world.errors(), 0U) << "the script itself must run clean: " << world.last_error();
  EXPECT_GT(world.stream()->oldest_offset(), 0U) << "segments must have been freed";
  EXPECT_TRUE(world.stream()->gaps().all().empty());
  return world.env().steps();
}

/// Runs until the power fails at `step`.
void run_until(World& world, std::uint64_t step) {
  world.env().cut_power_at(step);
  try {
    if (world.open()) world.run_memory_script();
    FAIL() << "step " << step << " was not reached";
  } catch (const env::PowerCut& cut) {
    EXPECT_EQ(cut.step, step);
  }
}

/// What has moved is no longer in memory, or it would come back one day.
void expect_no_copies(World& world) {
  std::size_t files = 0;
  for (const auto& name : value_of(world.env().list(world.options().memory_directory))) {
    std::uint64_t sequence = 0;
    std::uint64_t base_offset = 0;
    files += parse_segment_file_name(name, sequence, base_offset) ? 1 : 0;
  }
  const auto segments = value_of(list_segments(world.env(), world.options().directory));
  EXPECT_EQ(files, static_cast<std::size_t>(
                       std::count_if(segments.begin(), segments.end(),
                                     [](const SegmentInfo& info) { return info.in_memory; })));
}

class PlacementTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(PlacementTest, AfterAPowerCutAtAnyStepWhatWasPowerSafeIsThereAndNoIdentityNamesTwoRecords) {
  const std::uint64_t steps = steps_of_script(GetParam());
  ASSERT_GT(steps, 400U);
  for (std::uint64_t step = 0; step < steps && !HasFailure(); step += stride_of(GetParam())) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", power cut at step " +
                 std::to_string(step));
    MemoryWorld world(GetParam(), step);
    run_until(world, step);
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    world.offline(3);
    // A second cut soon after the first.
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    world.offline(2);
    world.ask_power_safe();
    EXPECT_EQ(world.stream()->durable_offset(), world.stream()->next_offset());
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    EXPECT_EQ(world.conflicts(), 0U);
  }
  std::printf("[ steps    ] %llu power cuts\n",
              static_cast<unsigned long long>(steps / stride_of(GetParam())));
}

TEST_P(PlacementTest, AfterAKillAtAnyStepEverythingAppendedIsThereAndTheJournalGoesOn) {
  const std::uint64_t steps = steps_of_script(GetParam());
  for (std::uint64_t step = 0; step < steps && !HasFailure(); step += stride_of(GetParam())) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", kill at step " + std::to_string(step));
    MemoryWorld world(GetParam(), step);
    run_until(world, step);
    const Uuid journal = world.journal();
    world.restart(false);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(false);
    expect_no_copies(world);
    EXPECT_TRUE(journal.is_nil() || world.journal() == journal);
    world.offline(3);
    world.restart(false);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(false);
    world.ask_power_safe();
    EXPECT_EQ(world.stream()->durable_offset(), world.stream()->next_offset());
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    EXPECT_EQ(world.conflicts(), 0U);
  }
}

TEST_P(PlacementTest, AnErrorAtAnyStepLosesNothingThatWasCalledSafe) {
  const std::uint64_t steps = steps_of_script(GetParam());
  const Error errors[] = {{ErrorCode::kIo, "EIO (simulated)"},
                          {ErrorCode::kFull, "ENOSPC (simulated)"}};
  for (std::uint64_t step = 0; step < steps && !HasFailure(); step += stride_of(GetParam())) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", error at step " + std::to_string(step));
    MemoryWorld world(GetParam(), step);
    world.env().fail_at(step, errors[step % 2]);
    if (world.open()) world.run_memory_script();
    world.restart(false);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(false);
    world.offline(2);
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    world.check(true);
    EXPECT_EQ(world.conflicts(), 0U);
  }
}

/// The card is gone, or full, and comes back: whatever the agent was doing when it went.
TEST_P(PlacementTest, ADiskThatFailsForGoodAtAnyStepCostsNothingAndTheStreamRecoversByItself) {
  const std::uint64_t steps = steps_of_script(GetParam());
  const Error errors[] = {{ErrorCode::kIo, "EIO (simulated)"},
                          {ErrorCode::kFull, "ENOSPC (simulated)"}};
  for (std::uint64_t step = GetParam() % 3; step < steps && !HasFailure();
       step += 2 * stride_of(GetParam()) - 1) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", errors from step " +
                 std::to_string(step));
    MemoryWorld world(GetParam(), step);
    world.env().set_failing_place(env::FailingPlace::kDisk);
    world.env().fail_from(step, errors[step % 2]);
    const bool opened = world.open();
    if (opened) world.run_memory_script();
    world.env().stop_failing();
    if (world.stream() != nullptr) {
      for (int i = 0; i < 3; ++i) {
        world.tick();
        world.move_and_sync();
      }
      EXPECT_TRUE(testing::append_records(*world.stream(), 1, {"x"}, 1U << 30))
          << "it does not recover: " << world.last_error();
      world.ask_power_safe();
      world.tick();
      world.ask_power_safe();
      EXPECT_EQ(world.stream()->durable_offset(), world.stream()->next_offset())
          << world.last_error();
    }
    const std::uint64_t safe = world.safe_on_disk();
    world.restart(true);
    ASSERT_TRUE(world.open()) << world.last_error();
    EXPECT_TRUE(!opened || world.stream()->next_offset() >= safe);
    EXPECT_EQ(world.conflicts(), 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PlacementTest,
                         ::testing::Range<std::uint64_t>(1, seed_count() + 1));
INSTANTIATE_TEST_SUITE_P(LargeSectors, PlacementTest,
                         ::testing::Values(testing::kLargeSectors + 1));

class OneStream : public ::testing::Test {
 protected:
  OneStream() : world_(1) {}
  void open() { ASSERT_TRUE(world_.open()) << world_.last_error(); }
  std::vector<SegmentInfo> segments() {
    return value_of(list_segments(world_.env(), world_.options().directory));
  }
  [[nodiscard]] std::size_t on_disk() {
    const auto all = segments();
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const auto& info) { return !info.in_memory; }));
  }

  MemoryWorld world_;
};

TEST_F(OneStream, WhileTheLinkKeepsUpNoStepTouchesTheDisk) {
  open();
  world_.online(8);
  world_.tick();
  EXPECT_EQ(on_disk(), 0U);
  world_.env().set_failing_place(env::FailingPlace::kDisk);
  world_.env().fail_from(world_.env().steps(), {ErrorCode::kIo, "a step on the disk"});
  world_.online(60);
  EXPECT_EQ(world_.errors(), 0U) << world_.last_error();
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kMemory);
  EXPECT_GT(world_.stream()->oldest_offset(), 20U) << "segments came and went";
}

TEST_F(OneStream, NothingInMemoryIsCalledPowerSafe) {
  open();
  for (int i = 0; i < 5; ++i) world_.append(2, 100);
  EXPECT_FALSE(world_.stream()->plan_sync()) << "there is nothing to sync in memory";
  EXPECT_EQ(world_.stream()->durable_offset(), 0U);
  EXPECT_TRUE(world_.stream()->waits_for_move());
  world_.ask_power_safe();
  EXPECT_FALSE(world_.stream()->waits_for_move());
  EXPECT_EQ(world_.stream()->durable_offset(), 10U);
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kDisk);
}

TEST_F(OneStream, GoesToTheDiskWhenTheBacklogPassesMemoryBytes) {
  open();
  while (world_.stream()->place() == PlaceInForce::kMemory) {
    ASSERT_LE(world_.stream()->memory_bytes(), world_.options().memory_bytes);
    world_.append(1, 8000);
  }
  EXPECT_EQ(world_.stream()->memory_bytes(), world_.options().memory_bytes);
  world_.move_and_sync();
  EXPECT_EQ(world_.stream()->memory_bytes(), 0U);
  EXPECT_EQ(world_.stream()->durable_offset(), world_.stream()->next_offset());
}

TEST_F(OneStream, WithoutRoomInMemoryItGoesToTheDiskAndComesBackWhenThereIsRoom) {
  open();
  world_.append(1, 100);
  // No file can be made under the name that the next segment's is made under.
  const std::string in_the_way = "/run/spill/test/roll.spill";
  value_of(world_.env().make_directories(in_the_way + "/x"));
  while (world_.stream()->memory_bytes() > 0 && !HasFailure()) {
    world_.append(1, 8000);
    ASSERT_EQ(world_.stream()->memory_bytes() % world_.options().segment_bytes, 0U);
    world_.move_and_sync();
    ASSERT_LT(world_.stream()->next_offset(), 20U);
  }
  EXPECT_EQ(world_.errors(), 0U) << world_.last_error();
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kDisk);
  EXPECT_EQ(world_.stream()->durable_offset(), world_.stream()->next_offset());
  world_.deliver(PlaceInForce::kMemory);
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kDisk) << "there is no room yet";
  value_of(world_.env().remove(in_the_way + "/x"));
  value_of(world_.env().remove(in_the_way));
  world_.append(1, 100);
  world_.deliver(PlaceInForce::kMemory);
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kMemory);
}

TEST_F(OneStream, GoesToTheDiskWhenARecordIsOlderThanMemoryAge) {
  open();
  world_.append(1, 100);
  for (int second = 0; second < 59; ++second) world_.tick();
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kMemory);
  world_.tick();
  world_.tick();
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kMoving);
  EXPECT_EQ(world_.errors(), 0U) << world_.last_error();
}

TEST_F(OneStream, AFullSegmentBehindAMoveIsTheLastUntilTheMoveIsDone) {
  open();
  while (world_.stream()->place() == PlaceInForce::kMemory) world_.append(1, 8000);
  Result<Appended> appended = Appended{};
  for (int i = 0; i < 20 && appended; ++i) {
    appended = testing::append_records(*world_.stream(), 1, {std::string(8000, 'x')}, 1 << 20);
  }
  ASSERT_FALSE(appended);
  EXPECT_EQ(appended.error().code, ErrorCode::kBusy);
  world_.move_and_sync();
  EXPECT_TRUE(testing::append_records(*world_.stream(), 1, {"x"}, 1 << 20));
}

TEST_F(OneStream, TheQuotaCountsBothPlaces) {
  world_.options().max_bytes = 1 << 20;
  open();
  world_.offline(12);
  const auto& stream = *world_.stream();
  EXPECT_GT(stream.memory_bytes(), 0U);
  EXPECT_GE(stream.held_bytes(), stream.memory_bytes());
  for (int i = 0; i < 200; ++i) {
    world_.append(1, 8000);
    EXPECT_LE(stream.held_bytes(), world_.options().max_bytes);
    world_.move_and_sync();
  }
  EXPECT_FALSE(stream.gaps().all().empty());
}

TEST_F(OneStream, ACleanEndLeavesNothingInMemory) {
  open();
  for (int i = 0; i < 20; ++i) world_.append(1, 5000);
  value_of(world_.stream()->close());
  EXPECT_EQ(world_.stream()->memory_bytes(), 0U);
  EXPECT_EQ(world_.stream()->durable_offset(), world_.stream()->next_offset());
  world_.restart(true);
  open();
  EXPECT_EQ(world_.stream()->next_offset(), 20U);
}

TEST_F(OneStream, AfterAnIdleEndTheNextBootGoesOnAtTheSameOffset) {
  open();
  world_.online(6);
  world_.ask_power_safe();
  world_.env().advance_ns(60'000'000'000);
  world_.deliver(PlaceInForce::kMemory);
  world_.tick();
  world_.tick();
  EXPECT_EQ(on_disk(), 0U);
  const std::uint64_t next = world_.stream()->next_offset();
  ASSERT_EQ(world_.stream()->durable_offset(), next);
  value_of(world_.stream()->close());
  world_.restart(true);
  open();
  EXPECT_EQ(world_.stream()->next_offset(), next);
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kMemory);
}

TEST_F(OneStream, AStreamThatIsNoLongerMemoryFirstKeepsWhatAKillLeftInMemory) {
  open();
  for (int i = 0; i < 20; ++i) world_.append(1, 5000);
  const std::uint64_t next = world_.stream()->next_offset();
  world_.restart(false);
  world_.options().placement = Placement::kDisk;
  open();
  EXPECT_EQ(world_.stream()->next_offset(), next);
  world_.check(false);
  world_.move_and_sync();
  EXPECT_EQ(world_.stream()->place(), PlaceInForce::kDisk);
  EXPECT_EQ(world_.stream()->durable_offset(), next);
  EXPECT_EQ(find_memory(world_.env(), world_.options().directory), "");
  EXPECT_FALSE(value_of(world_.env().exists(world_.options().directory + "/anchor")));
  world_.restart(true);
  open();
  world_.check(true);
  EXPECT_EQ(world_.stream()->next_offset(), next);
}

TEST_F(OneStream, ACopyOfTheSpillDoesNotTakeTheLivingOnesMemory) {
  open();
  for (int i = 0; i < 30; ++i) world_.append(1, 5000);
  world_.ask_power_safe();
  const std::uint64_t safe = world_.stream()->next_offset();
  world_.env().advance_ns(60'000'000'000);
  world_.deliver(PlaceInForce::kMemory);
  for (int i = 0; i < 5; ++i) world_.append(1, 100);
  auto& env = world_.env();
  value_of(env.make_directories("/copy"));
  for (const auto& name : value_of(env.list(world_.options().directory))) {
    if (name == "cursors") continue;
    const auto bytes =
        value_of(env::read_file(env, world_.options().directory + "/" + name, 1 << 20));
    auto file = value_of(env.open("/copy/" + name, env::OpenMode::kCreateNew));
    value_of(file->write(0, bytes));
  }
  ASSERT_NE(find_memory(env, world_.options().directory), "");
  EXPECT_EQ(find_memory(env, "/copy"), "");
  const auto report = value_of(verify_stream(env, "/copy"));
  EXPECT_TRUE(report.damages.empty());
  EXPECT_EQ(testing::read_all(env, "/copy", safe).records.size(), 0U);
}

TEST_F(OneStream, WhatAnotherBootLeftInMemoryDoesNotCount) {
  open();
  for (int i = 0; i < 5; ++i) world_.append(1, 100);
  auto& env = world_.env();
  const auto home = value_of(env::read_file(env, "/run/spill/test/home", 4096));
  world_.restart(true);
  // A queue directory that is no tmpfs.
  value_of(env.make_directories("/run/spill/test"));
  value_of(env::replace_file(env, "/run/spill/test/home", home));
  EXPECT_EQ(find_memory(env, world_.options().directory), "");
}

TEST_F(OneStream, AnAnchorOfANewerVersionIsRefusedAndNothingIsTouched) {
  open();
  world_.restart(true);
  auto& env = world_.env();
  const std::string path = world_.options().directory + "/anchor";
  format::SegmentHeader header;
  auto file = value_of(env.open(path, env::OpenMode::kReadWrite));
  value_of(file->read(0, writable_bytes_of(header)));
  header.mutate_version(kFormatVersion + 1);
  seal_segment_header(header);
  value_of(file->write(0, bytes_of(header)));
  const std::uint64_t steps = env.steps();
  EXPECT_FALSE(world_.open());
  EXPECT_EQ(Stream::open(env, world_.options()).error().code, ErrorCode::kNewerVersion);
  EXPECT_EQ(env.steps(), steps);
}

TEST_F(OneStream, ARottenBitInWhatNamesTheMemoryLosesNothing) {
  open();
  for (int i = 0; i < 5; ++i) world_.append(1, 100);
  world_.restart(false);
  world_.env().flip_bit(world_.options().directory + "/memory", 12);
  ASSERT_EQ(find_memory(world_.env(), world_.options().directory), "");
  open();
  world_.check(false);
  EXPECT_EQ(world_.stream()->next_offset(), 5U);
}

TEST_F(OneStream, ARottenBitAnywhereInTheAnchorChangesNothing) {
  open();
  world_.online(6);
  world_.ask_power_safe();
  world_.env().advance_ns(60'000'000'000);
  world_.deliver(PlaceInForce::kMemory);
  world_.tick();
  world_.tick();
  ASSERT_EQ(on_disk(), 0U);
  const std::uint64_t next = world_.stream()->next_offset();
  const std::string path = world_.options().directory + "/anchor";
  for (std::uint64_t bit = 0; bit < 8 * sizeof(format::SegmentHeader); ++bit) {
    world_.restart(true);
    world_.env().flip_bit(path, bit);
    open();
    ASSERT_EQ(world_.stream()->next_offset(), next) << "bit " << bit;
  }
}

TEST_F(OneStream, WithoutItsAnchorAStreamGivesNoJournalsNumberTwice) {
  open();
  world_.online(6);
  world_.ask_power_safe();
  world_.env().advance_ns(60'000'000'000);
  world_.deliver(PlaceInForce::kMemory);
  world_.tick();
  world_.tick();
  ASSERT_EQ(on_disk(), 0U);
  world_.restart(true);
  value_of(world_.env().remove(world_.options().directory + "/anchor"));
  open();
  world_.append(2, 100);
  world_.ask_power_safe();
  world_.tick();
  world_.tick();
  EXPECT_EQ(testing::read_all(world_.env(), world_.options().directory).records.size(), 2U)
      << "freed by a cursor of an earlier journal";
  EXPECT_GT(segments().back().header.journal_sequence(), 0U);
}

TEST(BacklogAge, IsTheAgeOfTheOldestRecordThatWasNotAcknowledged) {
  constexpr std::uint64_t kAge = 80;
  BacklogAge backlog(kAge, 0, 0);
  for (std::uint64_t now = 1; now <= 500; ++now) {
    // One record each time; the link is always seven behind.
    backlog.note(now < 7 ? 0 : now - 7, now, now);
    EXPECT_LE(backlog.age_ns(now), 7 + kAge / 8 + 1) << now;
    EXPECT_GE(backlog.age_ns(now), std::min<std::uint64_t>(now, 7) - 1) << now;
  }
  for (std::uint64_t now = 501; now <= 900; ++now) {
    backlog.note(493, now, now);
    EXPECT_GE(backlog.age_ns(now), now - 494);
    EXPECT_LE(backlog.age_ns(now), now - 494 + kAge / 8 + 1);
    EXPECT_FALSE(backlog.caught_up() && now > 501);
  }
  backlog.note(900, 900, 901);
  EXPECT_EQ(backlog.age_ns(901), 0U);
  EXPECT_TRUE(backlog.caught_up());
}

}  // namespace
}  // namespace spillway::core
