// What a capture keeps of itself: torn writes, kills between two stores, other boots and other processes.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "edge-agent/ingest/capture/position_file.h"
#include "edge-agent/ingest/capture/progress_page.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::agent::capture {
namespace {

namespace fs = std::filesystem;

class Position : public ::testing::Test {
 protected:
  Position() { fs::create_directories(folder_); }
  ~Position() override { fs::remove_all(folder_); }

  SavedPosition position(std::uint64_t at) {
    SavedPosition saved;
    saved.epoch = 0x7FFFFFFFFFFFFFFF;
    saved.safe = {at, 2, kLastPart};
    saved.previous = {at - 1, 0, 0};
    saved.phase = Phase::kStreaming;
    saved.source_identity = "7/shop";
    saved.marks = {{"telemetry", core::Uuid::from_random(1, 2), 77}};
    return saved;
  }
  std::unique_ptr<PositionFile> open() {
    auto file = PositionFile::open(env_, path_);
    EXPECT_TRUE(file) << file.error().message;
    return file ? std::move(*file) : nullptr;
  }
  void damage(std::streamoff at) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put('!');
  }

  core::env::Env& env_ = core::env::posix_env();
  fs::path folder_ = fs::path(::testing::TempDir()) / ("capture-" + std::to_string(::getpid()));
  std::string path_ = (folder_ / "shop.position").string();
};

TEST_F(Position, ComesBackAsItWasStored) {
  ASSERT_TRUE(open()->store(position(5), true));
  const auto file = open();
  ASSERT_TRUE(file->saved());
  EXPECT_EQ(file->saved()->epoch, 0x7FFFFFFFFFFFFFFFU);
  EXPECT_EQ(file->saved()->safe, (Key{5, 2, kLastPart}));
  EXPECT_EQ(file->saved()->previous, (Key{4, 0, 0}));
  EXPECT_EQ(file->saved()->phase, Phase::kStreaming);
  EXPECT_EQ(file->saved()->source_identity, "7/shop");
  ASSERT_EQ(file->saved()->marks.size(), 1U);
  EXPECT_EQ(file->saved()->marks[0].offset, 77U);
}

TEST_F(Position, ATornWriteHarmsOnlyTheOlderSlot) {
  for (const std::streamoff torn : {100, 4096 + 100}) {
    fs::remove(path_);
    auto file = open();
    ASSERT_TRUE(file->store(position(5), true));
    ASSERT_TRUE(file->store(position(6), true));
    file.reset();
    damage(torn);
    file = open();
    ASSERT_TRUE(file && file->saved());
    EXPECT_GE(file->saved()->safe.position, 5U);
  }
}

TEST_F(Position, UntilASyncOnlyOneSlotIsWritten) {
  auto file = open();
  ASSERT_TRUE(file->store(position(5), true));
  ASSERT_TRUE(file->store(position(6), false));
  ASSERT_TRUE(file->store(position(7), false));
  file.reset();
  EXPECT_EQ(open()->saved()->safe.position, 7U);
  damage(4096 + 100);
  EXPECT_EQ(open()->saved()->safe.position, 5U) << "the last synced one is whole";
}

TEST_F(Position, BothSlotsDamagedIsAnErrorAndNoBeginning) {
  ASSERT_TRUE(open()->store(position(5), true));
  ASSERT_TRUE(open()->store(position(6), true));
  damage(100);
  damage(4096 + 100);
  const auto file = PositionFile::open(env_, path_);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, core::ErrorCode::kCorrupt);
}

TEST_F(Position, ASecondCaptureOfTheNameIsRefused) {
  const auto first = open();
  const auto second = PositionFile::open(env_, path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, core::ErrorCode::kBusy);
}

TEST_F(Position, APageTellsOfEachStoreWhatAKillLeaves) {
  const std::string path = (folder_ / "shop.progress").string();
  const auto look = [&] { return (*ProgressPage::open(env_, path))->find("db/orders"); };
  auto page = ProgressPage::make(env_, path, 9, {{"db/items", {}}, {"db/orders", {3, 0, 0}}});
  ASSERT_TRUE(page);
  EXPECT_EQ(look()->done, (Key{3, 0, 0}));
  EXPECT_FALSE(look()->perhaps);
  (*page)->intend(1, {4, 1, 0});
  EXPECT_EQ(look()->done, (Key{3, 0, 0}));
  EXPECT_EQ(look()->perhaps, (Key{4, 1, 0}));
  (*page)->confirm(1);
  EXPECT_EQ(look()->done, (Key{4, 1, 0}));
  EXPECT_FALSE(look()->perhaps);
  (*page)->intend(1, {5, 0, 0});
  (*page)->withdraw(1);
  EXPECT_EQ(look()->done, (Key{4, 1, 0}));
  EXPECT_FALSE(look()->perhaps);
  (*page)->set_lane(1, "/run/spillway/lanes/a.lane");
  EXPECT_EQ((*ProgressPage::open(env_, path))->lanes(),
            std::vector<std::string>{"/run/spillway/lanes/a.lane"});
  (*page)->distrust(1);
  EXPECT_FALSE(look()) << "what stood in a lane that was set aside did not arrive";
}

TEST_F(Position, APageOfAnotherEpochCountsForNothing) {
  const std::string path = (folder_ / "shop.progress").string();
  ASSERT_TRUE(ProgressPage::make(env_, path, 9, {{"db/orders", {3, 0, 0}}}));
  EXPECT_TRUE((*ProgressPage::open(env_, path))->is_valid(9));
  EXPECT_FALSE((*ProgressPage::open(env_, path))->is_valid(10));
}

}  // namespace
}  // namespace spillway::agent::capture
