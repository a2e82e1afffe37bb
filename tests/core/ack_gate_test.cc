// What an MQTT client may send, and when.
#include "spillway/core/mqtt/ack_gate.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace spillway::core {
namespace {

constexpr std::uint64_t kStart = 5'000'000'000;

TEST(AckGate, nothing_is_written_while_one_message_is_unsettled) {
  AckGate gate;
  EXPECT_TRUE(gate.may_write());
  EXPECT_EQ(gate.received(kStart), 1U);
  EXPECT_EQ(gate.received(kStart), 2U);
  EXPECT_FALSE(gate.may_write());
  gate.settled(1);
  EXPECT_FALSE(gate.may_write());
  EXPECT_EQ(gate.held_ns(kStart + 7), 7U);
  gate.settled(2);
  EXPECT_TRUE(gate.may_write());
  EXPECT_EQ(gate.held_ns(kStart + 9), 0U);
  gate.settled(1);  // said late: it opens and closes nothing
  EXPECT_TRUE(gate.may_write());
}

TEST(AckGate, reading_ends_so_that_a_trickle_without_a_pause_is_acknowledged_too) {
  AckGate gate;
  std::uint64_t now_ns = kStart;
  gate.received(now_ns);
  while (gate.may_read(now_ns)) {
    now_ns += 1'000'000;
    ASSERT_LT(now_ns - kStart, 2 * AckGate::kHoldNsMax);
    gate.settled(gate.received(now_ns) - 1);  // always one on its way
  }
  EXPECT_EQ(now_ns - kStart, AckGate::kHoldNsMax);
  EXPECT_FALSE(gate.may_write());
  gate.settled(1 + AckGate::kHoldNsMax / 1'000'000);
  EXPECT_TRUE(gate.may_write());
  EXPECT_TRUE(gate.may_read(now_ns));
}

TEST(AckGate, the_time_counts_from_the_first_unsettled_message_anew_each_time) {
  AckGate gate;
  gate.settled(gate.received(kStart));
  const std::uint64_t later = kStart + 10 * AckGate::kHoldNsMax;
  EXPECT_TRUE(gate.may_read(later));
  gate.received(later);
  EXPECT_TRUE(gate.may_read(later + AckGate::kHoldNsMax - 1));
  EXPECT_FALSE(gate.may_read(later + AckGate::kHoldNsMax));
}

/// A library's queue beside a gate, in a random order: what leaves it was settled.
TEST(AckGate, whatever_is_written_was_settled) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 chance(seed);
    AckGate gate;
    std::deque<std::uint64_t> queue;
    std::uint64_t received = 0;
    std::uint64_t settled = 0;
    std::uint64_t written = 0;
    for (std::uint64_t now_ns = kStart; now_ns < kStart + 400; ++now_ns) {
      if (chance() % 2 == 0) queue.push_back(received = gate.received(now_ns));
      if (chance() % 2 == 0) {
        settled += (received - settled) * (chance() % 3) / 2;
        gate.settled(settled);
      }
      if (!gate.may_write()) continue;
      for (; !queue.empty(); queue.pop_front(), ++written) ASSERT_LE(queue.front(), settled);
    }
    EXPECT_GT(written, 0U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace spillway::core
