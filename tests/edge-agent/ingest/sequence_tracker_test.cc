#include "edge-agent/ingest/iceoryx/sequence_tracker.h"

#include <gtest/gtest.h>

#include <cstring>

namespace spillway::agent::iceoryx {
namespace {

TEST(SequenceTracker, gap_is_what_was_lost) {
  SequenceTracker tracker;
  EXPECT_EQ(tracker.on_sample(7, 0).lost, 0U);
  EXPECT_EQ(tracker.on_sample(7, 1).lost, 0U);
  EXPECT_EQ(tracker.on_sample(7, 10).lost, 8U);
  EXPECT_EQ(tracker.on_sample(7, 11).lost, 0U);
}

TEST(SequenceTracker, publishers_have_numbers_of_their_own) {
  SequenceTracker tracker;
  static_cast<void>(tracker.on_sample(1, 0));
  static_cast<void>(tracker.on_sample(2, 0));
  EXPECT_EQ(tracker.on_sample(1, 1).lost, 0U);
  EXPECT_EQ(tracker.on_sample(2, 3).lost, 2U);
  EXPECT_EQ(tracker.publishers(), 2U);
}

TEST(SequenceTracker, what_came_before_the_first_is_unseen_and_not_lost) {
  SequenceTracker tracker;
  const Arrival first = tracker.on_sample(1, 100);
  EXPECT_EQ(first.lost, 0U);
  EXPECT_EQ(first.unseen, 100U);
  EXPECT_EQ(tracker.on_sample(1, 101).unseen, 0U);
}

TEST(SequenceTracker, history_that_is_told_again_is_known) {
  SequenceTracker tracker;
  for (std::uint64_t number = 0; number < 5; ++number) {
    EXPECT_FALSE(tracker.on_sample(1, number).seen_before);
  }
  EXPECT_TRUE(tracker.on_sample(1, 3).seen_before);
  EXPECT_TRUE(tracker.on_sample(1, 4).seen_before);
  const Arrival next = tracker.on_sample(1, 5);
  EXPECT_FALSE(next.seen_before);
  EXPECT_EQ(next.lost, 0U);
}

TEST(SequenceTracker, the_one_that_was_silent_longest_gives_way) {
  SequenceTracker tracker;
  for (std::uint64_t id = 1; id <= SequenceTracker::kPublishersMax; ++id) {
    static_cast<void>(tracker.on_sample(id, 0));
  }
  static_cast<void>(tracker.on_sample(1, 1));
  static_cast<void>(tracker.on_sample(1000, 0));
  EXPECT_EQ(tracker.publishers(), SequenceTracker::kPublishersMax);
  EXPECT_EQ(tracker.on_sample(1, 5).lost, 3U) << "1 has spoken since; 2 was the one";
  EXPECT_EQ(tracker.on_sample(2, 5).unseen, 5U);
}

}  // namespace
}  // namespace spillway::agent::iceoryx
