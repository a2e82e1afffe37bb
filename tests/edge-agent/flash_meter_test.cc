#include "edge-agent/daemon/flash_meter.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace spillway::agent {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
const core::Uuid kBoot = core::Uuid::from_random(1, 2);
const core::Uuid kNextBoot = core::Uuid::from_random(3, 4);

TEST(FlashMeterTest, CountsWhatTheCountersGrewByAndGivesYearsAtThatPace) {
  FlashMeter meter("", kBoot, {5000, 100}, 10 * kSecond);
  meter.note({5000 + 3600, 400}, 1800, 10 * kSecond + 1800 * kSecond);
  EXPECT_FALSE(meter.years_left(1'000'000)) << "half an hour says nothing about years";
  meter.note({5000 + 7200, 700}, 3600, 10 * kSecond + 3600 * kSecond);
  EXPECT_EQ(meter.totals().device_bytes, 7200U);
  EXPECT_EQ(meter.totals().own_bytes, 600U);
  EXPECT_EQ(meter.totals().enqueued_bytes, 3600U);
  EXPECT_EQ(meter.totals().measured_s, 3600U);
  EXPECT_DOUBLE_EQ(*meter.ratio(), 2);
  // 2 bytes a second; what is written already is no longer left.
  const std::uint64_t year_bytes = 2 * 31'557'600;
  EXPECT_NEAR(*meter.years_left(7200 + 3 * year_bytes), 3, 1e-6);
  EXPECT_EQ(*meter.years_left(7000), 0);
  EXPECT_FALSE(meter.years_left(0));
}

TEST(FlashMeterTest, GoesOnOverRestartsAndCountsWhatTheBootWroteInBetween) {
  FlashMeter before("", kBoot, {1000, 0}, 0);
  before.note({3000, 50}, 700, 60 * kSecond);
  const std::string stored = before.store(60 * kSecond);
  FlashMeter same_boot(stored, kBoot, {3500, 0}, 90 * kSecond);
  same_boot.note({4000, 10}, 100, 100 * kSecond);
  EXPECT_EQ(same_boot.totals().device_bytes, 3000U) << "500 of them while no agent ran";
  EXPECT_EQ(same_boot.totals().enqueued_bytes, 800U);
  EXPECT_EQ(same_boot.totals().own_bytes, 60U);
  EXPECT_EQ(same_boot.totals().measured_s, 70U);
  FlashMeter next_boot(stored, kNextBoot, {9000, 0}, 5 * kSecond);
  next_boot.note({9100, 0}, 0, 6 * kSecond);
  EXPECT_EQ(next_boot.totals().device_bytes, 2100U) << "another boot's counter began anew";
}

TEST(FlashMeterTest, TotalsNeverGoBack) {
  FlashMeter meter("", kBoot, {5000, 500}, 100 * kSecond);
  meter.note({100, 1}, 10, 99 * kSecond);
  EXPECT_EQ(meter.totals().device_bytes, 0U);
  EXPECT_EQ(meter.totals().own_bytes, 0U);
  EXPECT_EQ(meter.totals().measured_s, 0U);
  meter.note({150, 2}, 10, 101 * kSecond);
  EXPECT_EQ(meter.totals().device_bytes, 50U);
}

TEST(FlashMeterTest, WhatAnotherDeviceHasCountedIsNotTakenForGrowth) {
  FlashMeter meter("", kBoot, {5000, 0, 7}, 0);
  meter.note({6000, 0, 7}, 10, kSecond);
  // The card is pulled out: below its mount point is the disk of the system.
  meter.note({900'000'000'000, 0, 1}, 10, 2 * kSecond);
  meter.note({900'000'000'500, 0, 1}, 10, 3 * kSecond);
  meter.note({3000, 0, 8}, 10, 4 * kSecond);
  meter.note({3200, 0, 8}, 10, 5 * kSecond);
  EXPECT_EQ(meter.totals().device_bytes, 1000U + 500 + 200);
}

TEST(FlashMeterTest, ADirectoryOnNoDeviceIsSaidToBeThatAndOneInMemoryWearsNothing) {
  FlashMeter none("", kBoot, {std::nullopt, 0}, 0);
  none.note({std::nullopt, 9}, 10, 7200 * kSecond);
  EXPECT_FALSE(none.device_known());
  EXPECT_FALSE(none.ratio());
  EXPECT_FALSE(none.years_left(1000));
  FlashMeter memory("", kBoot, {0, 0}, 0);
  memory.note({0, 0}, 10, 7200 * kSecond);
  EXPECT_TRUE(memory.device_known());
  EXPECT_EQ(*memory.ratio(), 0);
  EXPECT_FALSE(memory.years_left(1000)) << "there is no year in which it is used up";
}

TEST(FlashMeterTest, AFileThatCannotBeReadCountsAsNone) {
  FlashMeter good("", kBoot, {0, 0}, 0);
  good.note({1000, 0}, 10, kSecond);
  const std::string stored = good.store(kSecond);
  EXPECT_EQ(FlashMeter(stored, kNextBoot, {0, 0}, 0).totals().device_bytes, 1000U);
  for (const std::string& text :
       {stored.substr(0, stored.size() - 1), std::string("device = x\n"), std::string("\n\n"),
        std::string("device = 99999999999999999999\n"), std::string(4096, '\0'),
        std::string("boot = 7\n")}) {
    EXPECT_EQ(FlashMeter(text, kNextBoot, {0, 0}, 0).totals().device_bytes, 0U) << text;
  }
}

TEST(FlashMeterTest, IsStoredOnceAnHourAtMost) {
  FlashMeter meter("", kBoot, {0, 0}, 0);
  EXPECT_FALSE(meter.store_due(3599 * kSecond));
  EXPECT_TRUE(meter.store_due(3600 * kSecond));
  static_cast<void>(meter.store(3600 * kSecond));
  EXPECT_FALSE(meter.store_due(7199 * kSecond));
}

TEST(FlashCountersTest, ReadsTheKernelsForm) {
  EXPECT_EQ(written_bytes_in("  10 0 100 5 20 0 7 9 0 1 2 0 0 0 0\n"), 7U * 512);
  EXPECT_FALSE(written_bytes_in("1 2 3"));
  EXPECT_FALSE(written_bytes_in(""));
}

TEST(FlashCountersTest, MemoryIsWrittenToForNothing) {
  if (!std::filesystem::is_directory("/dev/shm")) GTEST_SKIP() << "no tmpfs here";
  EXPECT_EQ(read_flash_counters("/dev/shm").device_bytes, 0U);
  EXPECT_FALSE(read_flash_counters("/nonexistent").device_bytes);
}

}  // namespace
}  // namespace spillway::agent
