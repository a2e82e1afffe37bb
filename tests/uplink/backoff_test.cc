#include "uplink/link/backoff.h"

#include <gtest/gtest.h>

namespace spillway::uplink {
namespace {

constexpr std::uint64_t kFirst = 200'000'000;
constexpr std::uint64_t kCap = 60'000'000'000;

TEST(Backoff, StaysWithinADoublingCeilingUpToTheCap) {
  Backoff most(kFirst, kCap);
  std::uint64_t ceiling = kFirst;
  for (int i = 0; i < 100; ++i) {
    // The largest remainder gives the longest wait.
    EXPECT_EQ(most.next_ns(ceiling - Backoff::kWaitNsMin), ceiling);
    ceiling = std::min(kCap, ceiling * 2);
  }
}

TEST(Backoff, IsNeverShorterThanItsFloor) {
  Backoff least(kFirst, kCap);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(least.next_ns(0), Backoff::kWaitNsMin);
}

TEST(Backoff, BeginsSmallAgainAfterAGoodSession) {
  Backoff backoff(kFirst, kCap);
  for (int i = 0; i < 20; ++i) static_cast<void>(backoff.next_ns(i));
  backoff.reset();
  EXPECT_LE(backoff.next_ns(~0ULL), kFirst);
}

TEST(Backoff, TheLongWaitIsInTheUpperHalfOfTheCap) {
  const Backoff backoff(kFirst, kCap);
  EXPECT_EQ(backoff.long_ns(0), kCap / 2);
  for (std::uint64_t random = 1; random < 1000; ++random) {
    const std::uint64_t wait = backoff.long_ns(random * 0x9E3779B97F4A7C15ULL);
    EXPECT_GE(wait, kCap / 2);
    EXPECT_LE(wait, kCap);
  }
}

}  // namespace
}  // namespace spillway::uplink
