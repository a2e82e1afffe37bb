// Which link, and when: preference, fail-over, return, and what a flapping one may not do.
#include "uplink/policy/link_chooser.h"

#include <gtest/gtest.h>

#include <random>

namespace spillway::uplink::test {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kSecond = 1000 * kMs;
constexpr std::uint64_t kMin = 200 * kMs;
constexpr std::uint64_t kMax = 60 * kSecond;
constexpr std::uint64_t kStart = 1000 * kSecond;

class LinkChooserTest : public ::testing::Test {
 protected:
  LinkChooser two_{2, kMin, kMax};
  LinkChooser one_{1, kMin, kMax};

  /// Ethernet is in use since `now_ns`.
  void use_best(std::uint64_t now_ns) {
    ASSERT_EQ(two_.decide(now_ns), 0U);
    two_.opened(0, now_ns);
  }
};

TEST_F(LinkChooserTest, TheBestIsTriedFirstAndThenTheNext) {
  EXPECT_EQ(two_.decide(kStart), 0U);
  EXPECT_EQ(two_.decide(kStart), std::nullopt);  // one at a time
  two_.failed(0, kStart, 7);
  EXPECT_EQ(two_.decide(kStart), 1U);
  two_.failed(1, kStart, 7);
  EXPECT_EQ(two_.decide(kStart), std::nullopt);
  const auto wakes = two_.wakes_at_ns();
  ASSERT_TRUE(wakes);
  EXPECT_LE(*wakes, kStart + kMin);
  EXPECT_EQ(two_.decide(*wakes), 0U);
}

TEST_F(LinkChooserTest, ALinkThatDiesIsReplacedAtOnce) {
  use_best(kStart);
  two_.ended(0, Pause::kBackoff, kStart + kSecond, 7);
  EXPECT_EQ(two_.decide(kStart + kSecond), 1U);
}

TEST_F(LinkChooserTest, TheBetterLinkIsTriedBesideTheOneInUseAndTakesOver) {
  use_best(kStart);
  two_.ended(0, Pause::kBackoff, kStart, 7);
  ASSERT_EQ(two_.decide(kStart), 1U);
  two_.opened(1, kStart);
  EXPECT_EQ(two_.decide(kStart + LinkChooser::kHoldNsMin - 1), std::nullopt);
  ASSERT_EQ(two_.decide(kStart + LinkChooser::kHoldNsMin), 0U);
  EXPECT_EQ(two_.in_use(), 1U);  // meanwhile
  two_.opened(0, kStart + LinkChooser::kHoldNsMin);
  EXPECT_EQ(two_.in_use(), 0U);
  EXPECT_EQ(two_.decide(kStart + 3600 * kSecond), std::nullopt);  // the worse is not looked at
}

TEST_F(LinkChooserTest, AFlappingLinkIsReturnedToMoreAndMoreRarely) {
  std::uint64_t now_ns = kStart;
  use_best(now_ns);
  std::uint64_t hold_ns = LinkChooser::kHoldNsMin;
  for (int flap = 0; flap < 12; ++flap) {
    now_ns += kSecond;
    two_.ended(0, Pause::kBackoff, now_ns, 0);
    ASSERT_EQ(two_.decide(now_ns), 1U);
    two_.opened(1, now_ns);
    EXPECT_EQ(two_.wakes_at_ns(), now_ns + hold_ns);
    // Even if the kernel tells again and again that it is there.
    EXPECT_FALSE(two_.on_event(now_ns));
    EXPECT_EQ(two_.decide(now_ns + hold_ns - 1), std::nullopt);
    now_ns += hold_ns;
    ASSERT_EQ(two_.decide(now_ns), 0U);
    two_.opened(0, now_ns);
    hold_ns = std::min(2 * hold_ns, LinkChooser::kHoldNsMax);
  }
  EXPECT_EQ(hold_ns, LinkChooser::kHoldNsMax);
  // One that held is trusted again.
  now_ns += LinkChooser::kSteadyNs;
  two_.ended(0, Pause::kBackoff, now_ns, 0);
  ASSERT_EQ(two_.decide(now_ns), 1U);
  two_.opened(1, now_ns);
  EXPECT_EQ(two_.wakes_at_ns(), now_ns + LinkChooser::kHoldNsMin);
}

TEST_F(LinkChooserTest, ALinkThatMayNotBeUsedIsPassedOver) {
  two_.allow(0, false);
  EXPECT_EQ(two_.decide(kStart), 1U);
  two_.failed(1, kStart, 1);
  two_.allow(1, false);
  EXPECT_EQ(two_.wakes_at_ns(), std::nullopt);
  two_.allow(0, true);
  EXPECT_EQ(two_.decide(kStart), 0U);
}

TEST_F(LinkChooserTest, AfterALongOutageAnEventEndsTheWait) {
  std::uint64_t now_ns = kStart;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(one_.decide(now_ns), 0U);
    one_.failed(0, now_ns, ~0ULL >> 1);
    now_ns = *one_.wakes_at_ns();
  }
  one_.failed(0, now_ns, 59 * kSecond);
  EXPECT_EQ(one_.decide(now_ns + kMs), std::nullopt);
  EXPECT_FALSE(one_.on_event(now_ns + kMs));
  EXPECT_EQ(one_.decide(now_ns + kMs), 0U);
  // And the pauses begin small again.
  one_.failed(0, now_ns, ~0ULL >> 1);
  EXPECT_LE(*one_.wakes_at_ns(), now_ns + kMin);
}

/// Property, by seed: a storm of events is no storm of tries, and the last event is not lost.
TEST_F(LinkChooserTest, AStormOfEventsIsNoStormOfTries) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    LinkChooser chooser(1, kMax, kMax);  // without events a try a minute
    std::uint64_t tries = 0;
    std::uint64_t now_ns = kStart;
    const std::uint64_t end_ns = kStart + 30 * kSecond;
    std::uint64_t trying_until_ns = 0;
    while (now_ns < end_ns) {
      now_ns += random() % (3 * kMs);
      if (chooser.trying() && now_ns >= trying_until_ns) {
        chooser.failed(0, now_ns, 59 * kSecond + random() % kSecond);
      }
      if (chooser.on_event(now_ns)) chooser.failed(0, now_ns, random());
      if (!chooser.decide(now_ns)) continue;
      ++tries;
      trying_until_ns = now_ns + random() % (800 * kMs);
    }
    EXPECT_LE(tries, 30 + LinkChooser::kEventTries + 2) << "seed " << seed;
    if (chooser.trying()) chooser.failed(0, now_ns, 59 * kSecond);
    EXPECT_FALSE(chooser.on_event(now_ns));
    EXPECT_LE(*chooser.wakes_at_ns(),
              now_ns + LinkChooser::kEventTries * LinkChooser::kEventPauseNs);
  }
}

TEST_F(LinkChooserTest, ATryThatIsStuckIsCutShortButNotForEver) {
  std::uint64_t now_ns = kStart;
  ASSERT_EQ(one_.decide(now_ns), 0U);
  EXPECT_FALSE(one_.on_event(now_ns + 10 * kMs));  // too young to be stuck
  unsigned cut = 0;
  for (int i = 0; i < 100; ++i) {
    now_ns += 5 * kSecond;
    if (!one_.on_event(now_ns)) continue;
    ++cut;
    one_.failed(0, now_ns, 7);
    ASSERT_EQ(one_.decide(now_ns), 0U);  // at once
  }
  EXPECT_EQ(cut, LinkChooser::kRestartsMax);  // a slow handshake gets its time in the end
}

TEST_F(LinkChooserTest, WhatAPersonHasToMendIsNotAskedForByAnotherLink) {
  use_best(kStart);
  two_.ended(0, Pause::kLong, kStart, 7);
  EXPECT_EQ(two_.decide(kStart), std::nullopt);
  EXPECT_FALSE(two_.on_event(kStart));
  EXPECT_EQ(two_.decide(kStart + kMax / 2 - 1), std::nullopt);
  EXPECT_TRUE(two_.decide(kStart + kMax));
}

TEST_F(LinkChooserTest, AFarEndThatAsksForTimeGetsItOnEveryLinkWhateverComesUp) {
  use_best(kStart);
  two_.ended(0, Pause::kBackoff, kStart, 7);
  two_.stay_away(kStart + 30 * kSecond);
  EXPECT_EQ(two_.decide(kStart), std::nullopt);
  EXPECT_FALSE(two_.on_event(kStart + kSecond));
  EXPECT_EQ(two_.decide(kStart + 30 * kSecond - 1), std::nullopt);
  EXPECT_EQ(two_.wakes_at_ns(), kStart + 30 * kSecond);
  EXPECT_EQ(two_.decide(kStart + 30 * kSecond), 0U);
}

TEST_F(LinkChooserTest, ANewJournalBeginsAtOnce) {
  use_best(kStart);
  two_.ended(0, Pause::kNone, kStart, 7);
  EXPECT_LE(two_.rests_until_ns(0), kStart + 10 * kMs);
}

}  // namespace
}  // namespace spillway::uplink::test
