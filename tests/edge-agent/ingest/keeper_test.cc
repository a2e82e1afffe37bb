#include "edge-agent/ingest/iceoryx/keeper.h"

#include <gtest/gtest.h>

namespace spillway::agent::iceoryx {
namespace {

using Action = Keeper::Action;
using State = Keeper::State;

constexpr std::uint64_t kTick = 100'000'000;
constexpr RoudiLife kFirst{1, 10, 100};
constexpr RoudiLife kSecond{1, 11, 200};

class KeeperTest : public ::testing::Test {
 protected:
  Action step(const std::optional<RoudiLife>& roudi) {
    now_ += kTick;
    return keeper_.step(now_, roudi, lives_ ? ++signs_ : signs_);
  }
  void start() {
    static_cast<void>(step(kFirst));
    ASSERT_EQ(step(kFirst), Action::kStartChild);
  }
  /// Until it says so; the time that it took.
  std::uint64_t wait_for(Action action, const std::optional<RoudiLife>& roudi) {
    const std::uint64_t begin = now_;
    while (step(roudi) != action) {
      if (now_ - begin > 10 * Keeper::kRestMaxNs) return ~std::uint64_t{0};
    }
    return now_ - begin;
  }

  Keeper keeper_;
  std::uint64_t now_ = 0;
  std::uint64_t signs_ = 0;
  bool lives_ = true;
};

TEST_F(KeeperTest, waits_for_roudi_without_an_end) {
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(step(std::nullopt), Action::kNothing);
  EXPECT_EQ(keeper_.state(), State::kWaiting);
  EXPECT_EQ(step(kFirst), Action::kNothing) << "it may be about to go again";
  EXPECT_EQ(step(kFirst), Action::kStartChild);
}

TEST_F(KeeperTest, reads_on_while_roudi_is_gone) {
  start();
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(step(std::nullopt), Action::kNothing);
  EXPECT_EQ(step(kFirst), Action::kNothing) << "it was only out of sight";
}

TEST_F(KeeperTest, another_roudi_gets_another_child) {
  start();
  EXPECT_TRUE(keeper_.life_is_new());
  EXPECT_EQ(step(kSecond), Action::kTellToLeave);
  EXPECT_EQ(step(kSecond), Action::kNothing) << "the child drains its queues";
  keeper_.on_child_ended(now_, ChildEnd::kLeft);
  EXPECT_EQ(step(kSecond), Action::kStartChild);
  EXPECT_TRUE(keeper_.life_is_new());
  EXPECT_EQ(keeper_.lives(), 2U);
}

TEST_F(KeeperTest, child_that_does_not_leave_is_killed_once) {
  start();
  ASSERT_EQ(step(kSecond), Action::kTellToLeave);
  EXPECT_EQ(wait_for(Action::kKillChild, kSecond), Keeper::kLeaveMaxNs);
  EXPECT_EQ(step(kSecond), Action::kNothing);
}

TEST_F(KeeperTest, silent_child_is_killed_and_another_one_comes) {
  start();
  lives_ = false;
  const std::uint64_t took = wait_for(Action::kKillChild, kFirst);
  EXPECT_GE(took, Keeper::kSilenceMaxNs);
  EXPECT_LE(took, Keeper::kSilenceMaxNs + 2 * kTick);
  keeper_.on_child_ended(now_, ChildEnd::kFailed);
  EXPECT_NE(wait_for(Action::kStartChild, kFirst), ~std::uint64_t{0});
  EXPECT_FALSE(keeper_.life_is_new());
}

TEST_F(KeeperTest, child_that_fails_again_and_again_is_started_less_and_less_often) {
  std::uint64_t pause = 0;
  for (int i = 0; i < 12; ++i) {
    const std::uint64_t next = wait_for(Action::kStartChild, kFirst);
    if (i > 1) {
      EXPECT_GE(next + kTick, pause);
    }
    pause = next;
    keeper_.on_child_ended(now_, ChildEnd::kFailed);
  }
  EXPECT_LE(pause, Keeper::kRestMaxNs + 2 * kTick);
  EXPECT_GE(pause, Keeper::kRestMaxNs);
}

TEST_F(KeeperTest, child_that_has_proved_itself_is_back_at_once) {
  start();
  for (std::uint64_t t = 0; t <= Keeper::kStableAfterNs; t += kTick) {
    static_cast<void>(step(kFirst));
  }
  keeper_.on_child_ended(now_, ChildEnd::kFailed);
  EXPECT_LE(wait_for(Action::kStartChild, kFirst), Keeper::kRestMinNs + 2 * kTick);
}

TEST_F(KeeperTest, forgotten_child_is_replaced_without_a_pause) {
  start();
  keeper_.on_child_ended(now_, ChildEnd::kForgotten);
  EXPECT_EQ(step(kFirst), Action::kStartChild);
  EXPECT_FALSE(keeper_.life_is_new());
}

TEST_F(KeeperTest, stop_ends_the_child_and_starts_no_other) {
  start();
  keeper_.stop();
  EXPECT_FALSE(keeper_.stopped());
  EXPECT_EQ(step(kFirst), Action::kTellToLeave);
  keeper_.on_child_ended(now_, ChildEnd::kLeft);
  EXPECT_TRUE(keeper_.stopped());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(step(kFirst), Action::kNothing);
}

}  // namespace
}  // namespace spillway::agent::iceoryx
