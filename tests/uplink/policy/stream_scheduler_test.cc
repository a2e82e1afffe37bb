// Whose turn it is: priority, weight, live before backlog, and that none starves.
#include "uplink/policy/stream_scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace spillway::uplink::test {
namespace {

constexpr std::uint64_t kMessage = 4096;

/// What each of some streams has to send; a link that takes one message after another.
class World {
 public:
  World(std::vector<StreamShare> shares, std::uint64_t seed = 1)
      : shares_(shares), scheduler_(std::move(shares)), random_(seed) {
    scheduler_.set_live_bytes(kMessage);
    waiting_.resize(shares_.size());
    sent_.resize(shares_.size());
  }

  void put(std::size_t stream, std::uint64_t bytes) { waiting_[stream] += bytes; }
  /// The stream that sent a message; nothing if none had one.
  std::optional<std::size_t> step(Admission admission = Admission::kAll) {
    scheduler_.begin();
    while (const auto stream = scheduler_.next(admission)) {
      if (waiting_[*stream] == 0) {
        scheduler_.found_empty(*stream);
        continue;
      }
      const std::uint64_t bytes = std::min<std::uint64_t>(waiting_[*stream], size());
      waiting_[*stream] -= bytes;
      sent_[*stream] += bytes;
      scheduler_.sent(*stream, bytes);
      return stream;
    }
    return {};
  }
  void drain() {
    while (step()) {
    }
  }
  /// Messages of different sizes, as blocks make them.
  void vary() { varied_ = true; }
  std::uint64_t size() { return varied_ ? 1 + random_() % (2 * kMessage) : kMessage; }

  std::vector<StreamShare> shares_;
  StreamScheduler scheduler_;
  std::mt19937_64 random_;
  std::vector<std::uint64_t> waiting_;
  std::vector<std::uint64_t> sent_;
  bool varied_ = false;
};

constexpr std::uint64_t kBacklog = 1ULL << 40;

TEST(StreamScheduler, LiveDataGoesBeforeABacklogWhateverItsPriority) {
  World world({{9, 1000}, {0, 1}});
  world.drain();
  world.put(0, kBacklog);
  for (int i = 0; i < 100; ++i) world.step();
  ASSERT_FALSE(world.scheduler_.is_live(0));
  for (int i = 0; i < 1000; ++i) {
    world.put(1, 100);
    EXPECT_EQ(world.step(), 1U);  // at once, each time
    EXPECT_EQ(world.step(), 0U);
  }
}

TEST(StreamScheduler, AStreamThatOverrunsItsLinkIsABacklog) {
  World world({{0, 1}, {0, 1}});
  world.drain();
  world.put(0, kBacklog);
  EXPECT_TRUE(world.scheduler_.is_live(0));
  world.step();
  EXPECT_FALSE(world.scheduler_.is_live(0));
  world.put(1, 1);
  EXPECT_EQ(world.step(), 1U);
}

TEST(StreamScheduler, WithAFullWindowOnlyLiveDataIsAskedFor) {
  World world({{0, 1}, {0, 1}});
  world.drain();
  world.put(0, kBacklog);
  world.step();
  world.put(1, 100);
  EXPECT_EQ(world.step(Admission::kLiveOnly), 1U);
  EXPECT_EQ(world.step(Admission::kLiveOnly), std::nullopt);
  EXPECT_EQ(world.step(Admission::kAll), 0U);
}

TEST(StreamScheduler, LiveDataThatFillsTheLinkLeavesABacklogItsShare) {
  World world({{5, 1}, {0, 1}});
  world.put(1, kBacklog);
  for (int i = 0; i < 20'000; ++i) {
    if (world.waiting_[0] == 0) {  // it keeps up, and has something again at once
      world.scheduler_.found_empty(0);
      world.put(0, kMessage);
    }
    world.step(Admission::kLiveOnly);
  }
  const double part =
      static_cast<double>(world.sent_[1]) / static_cast<double>(world.sent_[0] + world.sent_[1]);
  EXPECT_GE(part, 0.04);  // its half of a tenth
  EXPECT_LE(part, 0.06);
}

TEST(StreamScheduler, HigherPriorityGoesFirstAndTheLowerGetsAtLeastItsTenth) {
  World world({{1, 1}, {0, 1}, {0, 3}});
  for (std::size_t i = 0; i < 3; ++i) world.put(i, kBacklog);
  for (int i = 0; i < 100'000; ++i) world.step();
  const auto part = [&](std::size_t stream) {
    const auto all = static_cast<double>(world.sent_[0] + world.sent_[1] + world.sent_[2]);
    const auto own = static_cast<double>(world.sent_[stream]);
    return own / (all - own);  // of what the others sent
  };
  EXPECT_NEAR(part(1), 0.1 * 1 / 5, 0.001);
  EXPECT_NEAR(part(2), 0.1 * 3 / 5, 0.001);
}

/// Property, by seed: equal priorities share by weight within one message each, at any moment.
TEST(StreamScheduler, BacklogsOfOnePriorityShareByWeight) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<StreamShare> shares(2 + random() % 8);
    for (StreamShare& share : shares) share.weight = 1 + random() % 10;
    World world(shares, seed);
    world.vary();
    for (std::size_t i = 0; i < shares.size(); ++i) world.put(i, kBacklog);
    // What they may send as live data first is the same for each, not by weight.
    for (int i = 0; i < 1000; ++i) world.step();
    const auto before = world.sent_;
    for (int i = 0; i < 3000; ++i) world.step();
    double least = std::numeric_limits<double>::max();
    double most = 0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      const double served =
          static_cast<double>(world.sent_[i] - before[i]) / static_cast<double>(shares[i].weight);
      least = std::min(least, served);
      most = std::max(most, served);
    }
    EXPECT_LE(most - least, 2.0 * 2 * kMessage) << "seed " << seed;
  }
}

/// Property, by seed: whatever comes and goes, a stream that always waits gets its part of a tenth.
TEST(StreamScheduler, NoStreamStarves) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<StreamShare> shares(2 + random() % 8);
    std::uint64_t weights = 0;
    for (StreamShare& share : shares) {
      share = {static_cast<std::int64_t>(random() % 5), 1 + random() % 10};
      weights += share.weight;
    }
    World world(shares, seed);
    world.vary();
    const std::size_t patient = random() % shares.size();
    shares[patient].priority = -1;
    world.put(patient, kBacklog);
    std::uint64_t all = 0;
    for (int i = 0; i < 20'000; ++i) {
      const std::size_t busy = random() % shares.size();
      if (busy != patient) world.put(busy, random() % (3 * kMessage));
      const auto before = world.sent_;
      const auto sender = world.step(random() % 2 == 0 ? Admission::kAll : Admission::kLiveOnly);
      if (sender) all += world.sent_[*sender] - before[*sender];
    }
    const double guaranteed = static_cast<double>(all) *
                              static_cast<double>(shares[patient].weight) /
                              static_cast<double>(weights * StreamScheduler::kGuaranteedPart);
    EXPECT_GE(static_cast<double>(world.sent_[patient]), 0.9 * guaranteed - 8.0 * kMessage)
        << "seed " << seed;
  }
}

TEST(StreamScheduler, InOneLookEachOfThousandsIsAskedOnceInItsOrder) {
  constexpr std::size_t kStreams = 4096;
  std::vector<StreamShare> shares;
  for (std::size_t i = 0; i < kStreams; ++i) shares.push_back({static_cast<int>(i % 3), 1 + i % 5});
  StreamScheduler scheduler(shares);
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) scheduler.sent(random() % kStreams, random() % (4 * kMessage));
  const auto look = [&](Admission admission) {
    scheduler.begin();
    std::vector<std::size_t> order;
    while (const auto stream = scheduler.next(admission)) {
      order.push_back(*stream);
      scheduler.found_empty(*stream);
    }
    return order;
  };
  auto order = look(Admission::kAll);
  std::sort(order.begin(), order.end());
  ASSERT_EQ(order.size(), kStreams);
  EXPECT_EQ(std::adjacent_find(order.begin(), order.end()), order.end());
  // Now all are live.
  order = look(Admission::kLiveOnly);
  ASSERT_EQ(order.size(), kStreams);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end(), [&](std::size_t one, std::size_t other) {
    return shares[one].priority > shares[other].priority;
  }));
}

TEST(StreamScheduler, AnIdleStreamHasSavedUpNothing) {
  World world({{0, 1}, {0, 1}});
  world.drain();
  world.put(0, kBacklog);
  for (int i = 0; i < 10'000; ++i) world.step();
  world.put(1, kBacklog);
  const std::uint64_t before = world.sent_[0];
  for (int i = 0; i < 100; ++i) world.step();
  EXPECT_GE(world.sent_[0] - before, 48 * kMessage);
}

}  // namespace
}  // namespace spillway::uplink::test
