#include "uplink/sinks/kafka/transaction_pacer.h"

#include <gtest/gtest.h>

namespace spillway::uplink::kafka {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kInterval = 100 * kMs;
constexpr TransactionPacer::Window kWindow{1'000'000, 1ULL << 30U};
constexpr std::uint64_t kBegin = 5'000 * kMs;

TEST(TransactionPacerTest, ATrickleIsCommittedAfterTheInterval) {
  TransactionPacer pacer(kInterval, kWindow);
  EXPECT_FALSE(pacer.close_due(kBegin, true));
  pacer.opened(kBegin);
  pacer.took(100);
  EXPECT_FALSE(pacer.close_due(kBegin + kInterval - 1, true));
  EXPECT_EQ(1U, pacer.close_in_ns(kBegin + kInterval - 1));
  EXPECT_TRUE(pacer.close_due(kBegin + kInterval, true));
  EXPECT_EQ(0U, pacer.close_in_ns(kBegin + kInterval));
}

TEST(TransactionPacerTest, WhatIsStillOnItsWayKeepsItOpenButNotForEver) {
  TransactionPacer pacer(kInterval, kWindow);
  pacer.opened(kBegin);
  EXPECT_FALSE(pacer.close_due(kBegin + TransactionPacer::kAgeMaxNs - 1, false));
  EXPECT_TRUE(pacer.close_due(kBegin + TransactionPacer::kAgeMaxNs, false));
}

TEST(TransactionPacerTest, ABacklogGoesInLargerAndLargerPiecesWhereTheWayIsQuick) {
  TransactionPacer pacer(kInterval, kWindow);
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t begin = kBegin + i * TransactionPacer::kQuickNs;
    pacer.opened(begin);
    EXPECT_FALSE(pacer.full());
    pacer.took(pacer.bytes_max());
    EXPECT_TRUE(pacer.full());
    EXPECT_TRUE(pacer.close_due(begin, false));
    pacer.committed(begin + TransactionPacer::kQuickNs - 1);
  }
  EXPECT_EQ(TransactionPacer::kBytesMax, pacer.bytes_max());
}

TEST(TransactionPacerTest, SmallTransactionsDoNotMakeTheNextOnesLarger) {
  TransactionPacer pacer(kInterval, kWindow);
  pacer.opened(kBegin);
  pacer.took(10);
  pacer.committed(kBegin + kInterval);
  EXPECT_EQ(TransactionPacer::kBytesStart, pacer.bytes_max());
}

TEST(TransactionPacerTest, ATransactionIsClosedBeforeTheWindowIsFull) {
  TransactionPacer pacer(kInterval, {100, 1ULL << 20U});
  pacer.opened(kBegin);
  for (int i = 0; i < 74; ++i) pacer.took(1);
  EXPECT_FALSE(pacer.full());
  pacer.took(1);
  EXPECT_TRUE(pacer.full());
  pacer.committed(kBegin + 1);
  pacer.opened(kBegin);
  pacer.took((1ULL << 20U) / 4 * 3);
  EXPECT_TRUE(pacer.full());
  for (int i = 0; i < 20; ++i) pacer.committed(kBegin + 1);
  EXPECT_EQ((1ULL << 20U) / 4 * 3, pacer.bytes_max());
}

TEST(TransactionPacerTest, ASlowWayOrAFailureMakesThemSmaller) {
  TransactionPacer pacer(kInterval, kWindow);
  pacer.opened(kBegin);
  pacer.took(pacer.bytes_max());
  pacer.committed(kBegin + TransactionPacer::kSlowNs + 1);
  EXPECT_EQ(TransactionPacer::kBytesStart / 2, pacer.bytes_max());
  for (int i = 0; i < 20; ++i) {
    pacer.opened(kBegin);
    pacer.aborted();
  }
  EXPECT_EQ(TransactionPacer::kBytesMin, pacer.bytes_max());
  pacer.aborted();  // none was open
  EXPECT_FALSE(pacer.open());
}

}  // namespace
}  // namespace spillway::uplink::kafka
