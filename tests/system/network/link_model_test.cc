// The forwarder's deciding half, without devices, clocks and namespaces.
#include "system/network/link_model.h"

#include <gtest/gtest.h>

#include "system/network/flow_table.h"

namespace spillway::network_test {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

Packet numbered(std::uint8_t number, std::size_t bytes = 100) { return Packet(bytes, number); }

std::vector<int> take_all(Path& path, std::uint64_t now_ns) {
  std::vector<int> taken;
  while (const auto packet = path.take(now_ns)) taken.push_back(packet->front());
  return taken;
}

TEST(LinkModel, APerfectLinkGivesEachPacketAtOnce) {
  Path path(1);
  path.offer(numbered(1), 5);
  path.offer(numbered(2), 5);
  EXPECT_EQ(path.due_ns(), 5U);
  EXPECT_EQ(take_all(path, 5), (std::vector<int>{1, 2}));
  EXPECT_FALSE(path.due_ns());
}

TEST(LinkModel, ADelayIsKeptAndJitterKeepsTheOrder) {
  Path path(7);
  path.set({.delay_ns = 300 * kMs, .jitter_ns = 100 * kMs}, 0);
  for (std::uint8_t i = 0; i < 200; ++i) path.offer(numbered(i), i * kMs);
  EXPECT_TRUE(take_all(path, 199 * kMs).empty());
  const auto some = take_all(path, 350 * kMs);
  const auto rest = take_all(path, 600 * kMs);
  EXPECT_EQ(some.size() + rest.size(), 200U);
  EXPECT_FALSE(some.empty());
  int next = 0;
  for (const int number : some) EXPECT_EQ(number, next++);
  for (const int number : rest) EXPECT_EQ(number, next++);
}

TEST(LinkModel, TheRateIsKeptToTheByte) {
  Path path(1);
  path.set({.rate_bytes_per_s = 1000}, 0);
  path.offer(numbered(1, 500), 0);
  path.offer(numbered(2, 500), 0);
  EXPECT_EQ(path.due_ns(), 500 * kMs);
  EXPECT_TRUE(take_all(path, 499 * kMs).empty());
  EXPECT_EQ(take_all(path, 500 * kMs), (std::vector<int>{1}));
  EXPECT_EQ(take_all(path, 1000 * kMs), (std::vector<int>{2}));
  EXPECT_EQ(path.counts().carried_bytes, 1000U);
}

TEST(LinkModel, WhatWaitsForASlowRateGoesOnAtTheNewOne) {
  Path path(1);
  path.set({.rate_bytes_per_s = 1}, 0);
  path.offer(numbered(1, 100), 0);
  path.set({.rate_bytes_per_s = 100}, 50'000 * kMs);  // half of it is through
  EXPECT_EQ(path.due_ns(), 50'500 * kMs);
  path.set({}, 50'100 * kMs);
  EXPECT_EQ(take_all(path, 50'100 * kMs), (std::vector<int>{1}));
}

TEST(LinkModel, AFullQueueDropsWhatComesLast) {
  Path path(1);
  path.set({.rate_bytes_per_s = 1000, .queue_bytes = 250}, 0);
  for (std::uint8_t i = 0; i < 4; ++i) path.offer(numbered(i), 0);
  EXPECT_EQ(path.counts().queue_full, 2U);
  EXPECT_EQ(take_all(path, 1000 * kMs), (std::vector<int>{0, 1}));
}

TEST(LinkModel, AHoleSwallowsAlsoWhatIsOnItsWay) {
  Path path(1);
  path.set({.delay_ns = 10 * kMs}, 0);
  path.offer(numbered(1), 0);
  path.set({.hole = true}, 1 * kMs);
  path.offer(numbered(2), 1 * kMs);
  EXPECT_TRUE(take_all(path, 100 * kMs).empty());
  EXPECT_EQ(path.counts().swallowed, 2U);
}

TEST(LinkModel, LossDoublesAndReorderingComeAsOftenAsSetAndTheSameBySeed) {
  const auto run = [](std::uint64_t seed) {
    Path path(seed);
    path.set({.loss = 0.3, .duplicate = 0.2, .reorder = 0.1}, 0);
    std::vector<int> taken;
    for (std::uint64_t i = 0; i < 10'000; ++i) {
      path.offer(numbered(static_cast<std::uint8_t>(i)), i * kMs);
      for (const int number : take_all(path, i * kMs)) taken.push_back(number);
    }
    EXPECT_NEAR(static_cast<double>(path.counts().lost), 3000, 200);
    EXPECT_NEAR(static_cast<double>(path.counts().reordered), 700, 100);
    EXPECT_NEAR(static_cast<double>(path.counts().duplicated), 1260, 150);
    return taken;
  };
  EXPECT_EQ(run(3), run(3));
  EXPECT_NE(run(3), run(4));
}

TEST(LinkModel, AReorderedPacketIsOvertaken) {
  Path path(1);
  path.set({.reorder = 1, .hold_ns = 5 * kMs}, 0);
  path.offer(numbered(1), 0);
  path.set({}, 1 * kMs);
  path.offer(numbered(2), 1 * kMs);
  EXPECT_EQ(take_all(path, 10 * kMs), (std::vector<int>{2, 1}));
}

TEST(LinkModel, APacketAboveTheMtuVanishes) {
  Path path(1);
  path.set({.mtu_bytes = 100}, 0);
  path.offer(numbered(1, 101), 0);
  path.offer(numbered(2, 100), 0);
  EXPECT_EQ(take_all(path, 0), (std::vector<int>{2}));
  EXPECT_EQ(path.counts().too_big, 1U);
}

Packet tcp(std::uint8_t near_port, std::uint8_t flags, bool up) {
  Packet packet(40, 0);
  packet[0] = 0x45;
  packet[9] = 6;
  packet[up ? 12 : 16] = 192;  // the near address
  packet[up ? 21 : 23] = near_port;
  packet[up ? 23 : 21] = 80;
  packet[33] = flags;
  return packet;
}

TEST(FlowTable, WhatIsForgottenVanishesBothWaysUntilItIsOpenedAnew) {
  constexpr std::uint8_t kSyn = 0x02;
  constexpr std::uint8_t kAck = 0x10;
  FlowTable flows;
  EXPECT_TRUE(flows.passes(tcp(7, kSyn, true), true));
  EXPECT_TRUE(flows.passes(tcp(7, kSyn | kAck, false), false));
  flows.forget();
  EXPECT_FALSE(flows.passes(tcp(7, kAck, true), true));
  EXPECT_FALSE(flows.passes(tcp(7, kAck, false), false));
  EXPECT_TRUE(flows.passes(tcp(8, kSyn, true), true));
  EXPECT_TRUE(flows.passes(tcp(8, kAck, false), false));
  EXPECT_TRUE(flows.passes(tcp(7, kSyn, true), true));
  EXPECT_TRUE(flows.passes(tcp(7, kAck, true), true));
}

TEST(FlowTable, WhatIsNoTcpPasses) {
  FlowTable flows;
  flows.forget();
  EXPECT_TRUE(flows.passes(Packet{}, true));
  EXPECT_TRUE(flows.passes(Packet(20, 0x45), true));
}

}  // namespace
}  // namespace spillway::network_test
