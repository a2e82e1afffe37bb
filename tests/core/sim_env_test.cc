// The twin must be able to do what a bad disk does, and nothing that it cannot do: each outcome
// below is looked for over many seeds, the forbidden ones and the ones that must come up at least
// once.
#include "spillway/core/env/sim_env.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace spillway::core::env {
namespace {

constexpr std::uint64_t kSeeds = 300;
constexpr std::size_t kSector = 512;

std::vector<std::byte> sectors(std::size_t count, char fill) {
  return std::vector<std::byte>(count * kSector, static_cast<std::byte>(fill));
}

std::unique_ptr<File> create(SimEnv& env, const std::string& path) {
  return env.open(path, OpenMode::kOpenOrCreate).value();
}

/// A synced file of `count` sectors under a synced name.
std::unique_ptr<File> durable_file(SimEnv& env, const std::string& path, std::size_t count,
                                   char fill) {
  EXPECT_TRUE(env.make_directories("/d"));
  auto file = create(env, path);
  EXPECT_TRUE(file->write(0, sectors(count, fill)));
  EXPECT_TRUE(file->sync_data());
  EXPECT_TRUE(env.sync_directory("/d"));
  return file;
}

std::vector<std::byte> content(SimEnv& env, const std::string& path) {
  return read_file(env, path, 1 << 20).value_or(std::vector<std::byte>{});
}

/// How one sector came out.
std::string fate_of(std::span<const std::byte> sector, char before, char after) {
  const auto is = [](char c) {
    return [c](std::byte b) { return b == static_cast<std::byte>(c); };
  };
  if (std::all_of(sector.begin(), sector.end(), is(before))) return "dropped";
  if (std::all_of(sector.begin(), sector.end(), is(after))) return "kept";
  const auto end_of_new = std::find_if_not(sector.begin(), sector.end(), is(after));
  if (std::all_of(end_of_new, sector.end(), is(before))) return "torn";
  return "destroyed";
}

TEST(SimEnv, synced_bytes_under_a_synced_name_survive_every_power_cut) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    const auto file = durable_file(env, "/d/a", 8, 's');
    ASSERT_TRUE(file->write(8 * kSector, sectors(8, 'u')));  // unsynced, beside it
    env.restart_after_power_cut();
    auto bytes = content(env, "/d/a");
    ASSERT_GE(bytes.size(), 8 * kSector) << seed;
    bytes.resize(8 * kSector);
    ASSERT_EQ(bytes, sectors(8, 's')) << seed;
  }
}

TEST(SimEnv, unsynced_rewrites_are_kept_dropped_torn_or_destroyed_sector_by_sector) {
  std::map<std::string, int> fates;
  bool mixed = false;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    const auto file = durable_file(env, "/d/a", 8, 's');
    const auto mapping = file->map(8 * kSector, MapAccess::kReadWrite).value();
    mapping->write(2 * kSector, sectors(4, 'n'));
    env.restart_after_power_cut();
    const auto bytes = content(env, "/d/a");
    ASSERT_EQ(bytes.size(), 8 * kSector);
    std::set<std::string> here;
    for (std::size_t i = 0; i < 8; ++i) {
      const std::string fate = fate_of(std::span(bytes).subspan(i * kSector, kSector), 's', 'n');
      if (i < 2 || i >= 6) {
        ASSERT_EQ(fate, "dropped") << "a sector that nobody wrote changed, seed " << seed;
        continue;
      }
      ++fates[fate];
      here.insert(fate);
    }
    mixed = mixed || (here.contains("kept") && here.contains("dropped"));
  }
  for (const char* fate : {"kept", "dropped", "torn", "destroyed"})
    EXPECT_GT(fates[fate], 0) << fate;
  EXPECT_TRUE(mixed) << "later sectors must be able to survive earlier ones";
}

TEST(SimEnv, unsynced_growth_is_kept_by_some_cuts_and_lost_by_others) {
  std::set<std::size_t> sizes;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    const auto file = durable_file(env, "/d/a", 1, 's');
    ASSERT_TRUE(file->allocate(4096));
    env.restart_after_power_cut();
    sizes.insert(content(env, "/d/a").size());
  }
  EXPECT_EQ(sizes, (std::set<std::size_t>{kSector, 4096}));
}

TEST(SimEnv, unsynced_name_is_kept_by_some_cuts_and_lost_by_others) {
  std::set<bool> there;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    ASSERT_TRUE(env.make_directories("/d"));
    const auto file = create(env, "/d/a");
    ASSERT_TRUE(file->write(0, sectors(1, 's')));
    ASSERT_TRUE(file->sync_data());  // the bytes, not the name
    env.restart_after_power_cut();
    there.insert(env.exists("/d/a").value());
    EXPECT_TRUE(env.exists("/d").value());
  }
  EXPECT_EQ(there.size(), 2U);
}

TEST(SimEnv, renamed_file_has_exactly_one_of_its_names_after_a_cut) {
  std::set<std::string> outcomes;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    durable_file(env, "/d/target", 1, 'o');
    durable_file(env, "/d/source", 1, 'n');
    ASSERT_TRUE(env.rename("/d/source", "/d/target"));
    env.restart_after_power_cut();
    const bool source = env.exists("/d/source").value();
    ASSERT_TRUE(env.exists("/d/target").value());
    const bool replaced = content(env, "/d/target") == sectors(1, 'n');
    ASSERT_NE(source, replaced) << "seed " << seed;
    outcomes.insert(replaced ? "new" : "old");
  }
  EXPECT_EQ(outcomes.size(), 2U);
}

TEST(SimEnv, chain_of_renames_never_loses_or_doubles_the_file) {
  std::set<std::string> names;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    durable_file(env, "/d/a", 1, 's');
    ASSERT_TRUE(env.rename("/d/a", "/d/b"));
    ASSERT_TRUE(env.rename("/d/b", "/d/c"));
    env.restart_after_power_cut();
    const auto listed = env.list("/d").value();
    ASSERT_EQ(listed.size(), 1U) << "seed " << seed;
    names.insert(listed.front());
  }
  EXPECT_EQ(names, (std::set<std::string>{"a", "b", "c"}));
}

TEST(SimEnv, synced_rename_and_remove_survive_every_cut) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    durable_file(env, "/d/a", 1, 's');
    durable_file(env, "/d/gone", 1, 's');
    ASSERT_TRUE(env.rename("/d/a", "/d/b"));
    ASSERT_TRUE(env.remove("/d/gone"));
    ASSERT_TRUE(env.sync_directory("/d"));
    env.restart_after_power_cut();
    ASSERT_EQ(env.list("/d").value(), std::vector<std::string>{"b"});
  }
}

TEST(SimEnv, replace_file_leaves_the_old_or_the_new_whole_at_every_step) {
  const auto prepare = [](SimEnv& env) { durable_file(env, "/d/a", 3, 'o'); };
  SimEnv trial(0);
  prepare(trial);
  const std::uint64_t first = trial.steps();
  ASSERT_TRUE(replace_file(trial, "/d/a", sectors(3, 'n')));
  const std::uint64_t last = trial.steps();
  ASSERT_GE(last - first, 5U);
  for (std::uint64_t step = first; step < last; ++step) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      SimEnv env(seed);
      prepare(env);
      env.cut_power_at(step);
      EXPECT_THROW(static_cast<void>(replace_file(env, "/d/a", sectors(3, 'n'))), PowerCut);
      env.restart_after_power_cut();
      const auto bytes = content(env, "/d/a");
      ASSERT_TRUE(bytes == sectors(3, 'o') || bytes == sectors(3, 'n')) << step << " " << seed;
    }
  }
}

TEST(SimEnv, same_seed_gives_the_same_disk) {
  const auto run = [](std::uint64_t seed) {
    SimEnv env(seed);
    const auto file = durable_file(env, "/d/a", 16, 's');
    EXPECT_TRUE(file->write(0, sectors(16, 'n')));
    env.restart_after_power_cut();
    return std::pair(content(env, "/d/a"), env.boot_id());
  };
  for (std::uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(run(seed), run(seed));
  EXPECT_NE(run(1).second, run(2).second);
}

TEST(SimEnv, step_at_which_power_fails_takes_no_effect_and_nothing_after_it_does) {
  SimEnv env(1);
  const auto file = durable_file(env, "/d/a", 1, 's');
  const auto mapping = file->map(kSector, MapAccess::kReadWrite).value();
  env.cut_power_at(env.steps());
  EXPECT_THROW(static_cast<void>(env.rename("/d/a", "/d/b")), PowerCut);
  // What destructors do on the way out must not throw again.
  mapping->write(0, sectors(1, 'x'));
  mapping->store_release(0, 1);
  EXPECT_FALSE(file->write(0, sectors(1, 'x')));
  EXPECT_FALSE(file->sync_data());
  EXPECT_FALSE(env.remove("/d/a"));
  env.restart_after_power_cut();
  EXPECT_EQ(content(env, "/d/a"), sectors(1, 's'));
  EXPECT_TRUE(create(env, "/d/c"));
}

TEST(SimEnv, handles_from_before_a_restart_are_dead_but_their_memory_is_not) {
  SimEnv env(1);
  const auto file = durable_file(env, "/d/a", 1, 's');
  const auto mapping = file->map(kSector, MapAccess::kReadWrite).value();
  env.restart_after_power_cut();
  mapping->write(0, sectors(1, 'x'));
  EXPECT_FALSE(file->write(0, sectors(1, 'x')));
  EXPECT_FALSE(file->sync_data());
  EXPECT_EQ(mapping->data()[0], std::byte{'s'});
  EXPECT_EQ(content(env, "/d/a"), sectors(1, 's'));
}

TEST(SimEnv, kill_keeps_the_page_cache_and_drops_the_locks) {
  SimEnv env(1);
  const auto file = durable_file(env, "/d/a", 2, 's');
  const Uuid boot = env.boot_id();
  ASSERT_TRUE(file->try_lock().value());
  ASSERT_TRUE(file->write(0, sectors(2, 'u')));
  env.restart_after_kill();
  EXPECT_EQ(content(env, "/d/a"), sectors(2, 'u'));
  EXPECT_EQ(env.boot_id(), boot);
  EXPECT_TRUE(env.open("/d/a", OpenMode::kReadWrite).value()->try_lock().value());
}

TEST(SimEnv, volatile_root_is_kept_over_a_kill_and_gone_after_a_cut) {
  SimEnv env(1);
  env.set_volatile_root("/run");
  ASSERT_TRUE(env.make_directories("/run/queue"));
  const auto file = create(env, "/run/queue/page");
  ASSERT_TRUE(file->write(0, sectors(1, 's')));
  ASSERT_TRUE(file->sync_data());
  ASSERT_TRUE(env.sync_directory("/run/queue"));
  env.restart_after_kill();
  EXPECT_TRUE(env.exists("/run/queue/page").value());
  const Uuid boot = env.boot_id();
  env.advance_ns(1'000'000'000'000);
  env.restart_after_power_cut();
  EXPECT_FALSE(env.exists("/run/queue/page").value());
  EXPECT_FALSE(env.exists("/run/queue").value());
  EXPECT_NE(env.boot_id(), boot);
  EXPECT_LT(env.boottime_ns(), 60'000'000'000U);
}

TEST(SimEnv, failed_sync_loses_some_sectors_and_no_later_sync_brings_them_back) {
  bool lost_some = false;
  bool kept_some = false;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    const auto file = durable_file(env, "/d/a", 4, 's');
    ASSERT_TRUE(file->write(0, sectors(4, 'n')));
    env.fail_syncs(true);
    ASSERT_EQ(file->sync_data().error().code, ErrorCode::kIo);
    ASSERT_EQ(content(env, "/d/a"), sectors(4, 'n')) << "the page cache still shows them";
    env.fail_syncs(false);
    ASSERT_TRUE(file->sync_data());
    env.restart_after_power_cut();
    const auto bytes = content(env, "/d/a");
    for (std::size_t i = 0; i < 4; ++i) {
      const std::string fate = fate_of(std::span(bytes).subspan(i * kSector, kSector), 's', 'n');
      lost_some = lost_some || fate == "dropped";
      kept_some = kept_some || fate == "kept";
    }
  }
  EXPECT_TRUE(lost_some);
  EXPECT_TRUE(kept_some);
}

TEST(SimEnv, chosen_step_fails_once_and_takes_no_effect) {
  SimEnv env(1);
  const auto file = durable_file(env, "/d/a", 1, 's');
  env.fail_at(env.steps(), {ErrorCode::kIo, "asked for"});
  EXPECT_EQ(env.rename("/d/a", "/d/b").error().message, "asked for");
  EXPECT_TRUE(env.exists("/d/a").value());
  EXPECT_TRUE(env.rename("/d/a", "/d/b"));
  EXPECT_EQ(env.kind_of_last_step(), SimStep::kRename);
}

TEST(SimEnv, full_disk_refuses_growth_and_takes_rewrites) {
  SimEnv env(1);
  const auto file = durable_file(env, "/d/a", 2, 's');
  env.set_capacity_bytes(3 * kSector);
  EXPECT_EQ(file->allocate(4 * kSector).error().code, ErrorCode::kFull);
  EXPECT_EQ(file->write(2 * kSector, sectors(2, 'x')).error().code, ErrorCode::kFull);
  EXPECT_TRUE(file->write(0, sectors(2, 'x')));
  EXPECT_TRUE(file->allocate(3 * kSector));
  ASSERT_TRUE(env.remove("/d/a"));
  EXPECT_TRUE(create(env, "/d/b")->allocate(3 * kSector));
}

TEST(SimEnv, flipped_bit_is_seen_at_once_and_after_a_cut) {
  SimEnv env(1);
  durable_file(env, "/d/a", 1, 's');
  env.flip_bit("/d/a", 8 * 10 + 3);
  EXPECT_EQ(content(env, "/d/a")[10], std::byte{'s' ^ 8});
  env.restart_after_power_cut();
  EXPECT_EQ(content(env, "/d/a")[10], std::byte{'s' ^ 8});
}

TEST(SimEnv, long_store_may_be_cut_in_its_middle_but_a_word_may_not) {
  bool partial = false;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    const auto file = durable_file(env, "/d/a", 1, 's');
    const auto mapping = file->map(kSector, MapAccess::kReadWrite).value();
    env.cut_power_at(env.steps());
    EXPECT_THROW(mapping->write(0, sectors(1, 'n')), PowerCut);
    partial = partial || mapping->data()[0] == std::byte{'n'};
    ASSERT_EQ(mapping->data()[kSector - 1], std::byte{'s'});
  }
  EXPECT_TRUE(partial);
  SimEnv env(1);
  const auto mapping =
      durable_file(env, "/d/a", 1, 's')->map(kSector, MapAccess::kReadWrite).value();
  const std::uint64_t before = mapping->load_acquire(8);
  env.cut_power_at(env.steps());
  EXPECT_THROW(mapping->store_release(8, 1), PowerCut);
  EXPECT_EQ(mapping->load_acquire(8), before);
}

TEST(SimEnv, disk_that_breaks_stays_broken_until_it_works_again) {
  SimEnv env(1);
  auto file = durable_file(env, "/d/f", 1, 'a');
  env.fail_from(env.steps() + 1, {ErrorCode::kIo, "gone"});
  EXPECT_TRUE(file->write(0, sectors(1, 'b')));
  EXPECT_FALSE(file->write(0, sectors(1, 'c')));
  EXPECT_FALSE(file->sync_data());
  EXPECT_FALSE(env.rename("/d/f", "/d/g"));
  env.stop_failing();
  EXPECT_TRUE(file->write(0, sectors(1, 'd')));
  EXPECT_TRUE(file->sync_data());
}

TEST(SimEnv, write_that_fails_may_have_come_some_of_its_way) {
  std::set<bool> came;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    auto file = durable_file(env, "/d/f", 4, 'a');
    env.fail_at(env.steps(), {ErrorCode::kFull, "full"});
    EXPECT_FALSE(file->write(0, sectors(4, 'b')));
    const auto bytes = content(env, "/d/f");
    came.insert(bytes.front() == std::byte{'b'});
    EXPECT_EQ(bytes.back(), std::byte{'a'});
  }
  EXPECT_EQ(came.size(), 2U);
}

TEST(SimEnv, large_sector_is_dropped_or_kept_in_one_piece) {
  std::set<std::byte> seen;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimEnv env(seed);
    env.set_sector_bytes(4096);
    auto file = durable_file(env, "/d/f", 8, 'a');
    EXPECT_TRUE(file->write(0, sectors(1, 'b')));
    EXPECT_TRUE(file->write(7 * kSector, sectors(1, 'b')));
    env.restart_after_power_cut();
    const auto bytes = content(env, "/d/f");
    const bool clean = std::all_of(bytes.begin() + kSector, bytes.begin() + 7 * kSector,
                                   [](std::byte byte) { return byte == std::byte{'a'}; });
    if (!clean) continue;  // the cut came while it was written: all of it may be anything
    if (bytes.back() == std::byte{'b'}) {
      EXPECT_EQ(bytes.front(), std::byte{'b'}) << "the second half alone";
    }
    seen.insert(bytes.back());
  }
  EXPECT_EQ(seen.size(), 2U);
}

}  // namespace
}  // namespace spillway::core::env
