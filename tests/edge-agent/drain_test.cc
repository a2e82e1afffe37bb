// The drain with real lanes and real streams.
#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/edge-agent/drain_fixture.h"

namespace spillway::agent::testing {
namespace {

std::vector<std::string> numbers(int first, int end) {
  std::vector<std::string> all;
  for (int i = first; i < end; ++i) all.push_back(std::to_string(i));
  return all;
}

/// Overwrites bytes of the lane file, as a hostile or broken producer would.
void overwrite(const std::string& path, std::uint64_t at, std::uint32_t value) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file.write(reinterpret_cast<const char*>(&value), sizeof value);
  ASSERT_TRUE(file.good());
}

constexpr std::uint64_t kLaneDataAt = 8192;

TEST_F(DrainFixture, RecordsGoToTheFirstStreamWhoseFilterMatches) {
  start({{"alpha", {"a/#"}}, {"both", {"a/#", "b/+"}}});
  Producer a, b, c;
  open(a, "a/x", "pa");
  open(b, "b/x", "pb");
  open(c, "c/x", "pc");
  for (auto* producer : {&a, &b, &c}) ASSERT_EQ(put(*producer, "one"), Status::kOk);
  settle();
  EXPECT_EQ(contents_of("alpha"), (Contents{{"pa", {"one"}}}));
  EXPECT_EQ(contents_of("both"), (Contents{{"pb", {"one"}}}));
  // The one that nobody takes is kept, and named.
  ASSERT_EQ(drain_->lanes().size(), 3U);
  int unmatched = 0;
  for (std::size_t i = 0; i < 3; ++i) unmatched += drain_->lanes().at(i).stream ? 0 : 1;
  EXPECT_EQ(unmatched, 1);
  c.close();
  settle();
  EXPECT_EQ(drain_->lanes().size(), 3U);
}

TEST_F(DrainFixture, OneBusyLaneDoesNotStarveAnother) {
  DrainOptions options;
  options.lane_bytes_per_step = 4096;
  start({{"all", {"#"}}}, options);
  Producer busy, calm;
  open(busy, "t/busy", "busy");
  open(calm, "t/calm", "calm");
  for (int i = 0; i < 4000; ++i) ASSERT_EQ(put(busy, "0123456789"), Status::kOk);
  ASSERT_EQ(put(calm, "hello"), Status::kOk);
  const auto report = step();
  EXPECT_TRUE(report.more);
  const auto found = contents_of("all");
  EXPECT_EQ(found.at("calm").size(), 1U);
  EXPECT_GT(found.at("busy").size(), 0U);
  EXPECT_LE(found.at("busy").size(), 4096U / 32);
}

TEST_F(DrainFixture, ABusyStepPassesOverIdleLanesButNotForLong) {
  DrainOptions options;
  options.look_everywhere_ns = 1'000'000;
  start({{"all", {"#"}}}, options);
  Producer busy, calm;
  open(busy, "t/busy", "busy");
  open(calm, "t/calm", "calm");
  ASSERT_EQ(put(busy, "1"), Status::kOk);
  const Now first = now();
  EXPECT_EQ(drain_->step(first).records, 1U);
  ASSERT_EQ(put(busy, "2"), Status::kOk);
  ASSERT_EQ(put(calm, "1"), Status::kOk);
  EXPECT_EQ(drain_->step(first, Look::kWhereRecordsWere).records, 1U);
  EXPECT_EQ(contents_of("all").count("calm"), 0U);
  Now later = first;
  later.boottime_ns += options.look_everywhere_ns;
  EXPECT_EQ(drain_->step(later, Look::kWhereRecordsWere).records, 1U);
  ASSERT_EQ(put(calm, "2"), Status::kOk);
  ASSERT_EQ(put(busy, "3"), Status::kOk);
  // Both had records then, or are looked at everywhere.
  EXPECT_EQ(drain_->step(later, Look::kWhereRecordsWere).records, 1U);
  EXPECT_EQ(drain_->step(later).records, 1U);
  EXPECT_EQ(contents_of("all"), (Contents{{"busy", {"1", "2", "3"}}, {"calm", {"1", "2"}}}));
}

TEST_F(DrainFixture, ARestartedProducersRecordsNeverOvertakeItsOldOnes) {
  start({{"all", {"#"}}});
  Producer old_one, new_one;
  open(old_one, "t", "p");
  open(new_one, "t", "p");
  ASSERT_EQ(put(new_one, "2"), Status::kOk);
  settle();
  EXPECT_TRUE(contents_of("all").empty());
  ASSERT_EQ(put(old_one, "1"), Status::kOk);
  settle();
  EXPECT_EQ(contents_of("all"), (Contents{{"p", {"1"}}}));
  old_one.close();
  settle();
  EXPECT_EQ(contents_of("all"), (Contents{{"p", {"1", "2"}}}));
}

TEST_F(DrainFixture, AKilledProducersLaneIsDrainedAndRemoved) {
  start({{"all", {"#"}}});
  const pid_t child = ::fork();
  if (child == 0) {
    Producer producer;
    ProducerOptions options;
    options.producer_name = "child";
    if (producer.open(queue_dir().c_str(), "t", options) != Status::kOk) ::_exit(1);
    for (const auto& record : numbers(0, 1000)) {
      if (put(producer, record) != Status::kOk) ::_exit(2);
    }
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(files_in(queue_dir() + "/lanes"), 1U);
  settle();
  EXPECT_EQ(contents_of("all"), (Contents{{"child", numbers(0, 1000)}}));
  EXPECT_EQ(files_in(queue_dir() + "/lanes"), 0U);
  EXPECT_EQ(drain_->lanes().size(), 0U);
  EXPECT_EQ(drain_->counters().lanes_ended, 1U);
}

TEST_F(DrainFixture, ALivingProducersIdleLaneIsKept) {
  start({{"all", {"#"}}});
  Producer producer;
  open(producer, "t", "p");
  ASSERT_EQ(put(producer, "1"), Status::kOk);
  settle();
  settle();
  EXPECT_EQ(drain_->lanes().size(), 1U);
  ASSERT_EQ(put(producer, "2"), Status::kOk);
  settle();
  EXPECT_EQ(contents_of("all"), (Contents{{"p", {"1", "2"}}}));
}

TEST_F(DrainFixture, HostileLanesAreSetAsideAndHarmNoOther) {
  start({{"all", {"#"}}});
  Producer good, bad_word, bad_flags;
  open(good, "t/good", "good");
  const auto path_of_new_lane = [this](Producer& producer, const std::string& topic) {
    std::vector<std::string> before, after;
    for (const auto& entry : std::filesystem::directory_iterator(queue_dir() + "/lanes")) {
      before.push_back(entry.path().string());
    }
    open(producer, topic, "bad");
    for (const auto& entry : std::filesystem::directory_iterator(queue_dir() + "/lanes")) {
      const auto path = entry.path().string();
      if (std::find(before.begin(), before.end(), path) == before.end()) return path;
    }
    return std::string();
  };
  const auto word_path = path_of_new_lane(bad_word, "t/word");
  const auto flags_path = path_of_new_lane(bad_flags, "t/flags");
  ASSERT_EQ(put(good, "1"), Status::kOk);
  ASSERT_EQ(put(bad_flags, "1"), Status::kOk);
  overwrite(word_path, kLaneDataAt, 0x7FFF'FFFF);       // a record larger than the lane
  overwrite(flags_path, kLaneDataAt + 4, 0x0000'0001);  // flags that version 1 does not have
  std::ofstream(queue_dir() + "/lanes/garbage.lane") << std::string(20'000, 'x');
  settle();
  EXPECT_EQ(drain_->counters().quarantined, 3U);
  EXPECT_EQ(drain_->lanes().size(), 1U);
  EXPECT_EQ(files_in(queue_dir() + "/quarantine"), 3U);
  ASSERT_EQ(put(good, "2"), Status::kOk);
  settle();
  EXPECT_EQ(contents_of("all"), (Contents{{"good", {"1", "2"}}}));
}

TEST_F(DrainFixture, ARecordThatItsStreamCannotTakeIsRejectedAndHarmsNoOther) {
  TestStream small{"all", {"#"}};
  small.segment_bytes = core::kSegmentBytesUsable;
  start({small});
  Producer producer;
  ProducerOptions options;
  options.producer_name = "p";
  options.lane_bytes = 512 << 10;
  options.max_record_bytes = 200 << 10;
  ASSERT_EQ(producer.open(queue_dir().c_str(), "t", options), Status::kOk);
  const std::string usual(core::kRecordBytesUsual, 'u');
  const std::string large(static_cast<std::size_t>(core::kRecordBytesUsual) + 1000, 'l');
  ASSERT_EQ(put(producer, "1"), Status::kOk);
  ASSERT_EQ(put(producer, large), Status::kOk);
  ASSERT_EQ(put(producer, usual), Status::kOk);
  ASSERT_EQ(put(producer, std::string(200 << 10, 'L')), Status::kOk);
  settle();
  advanced_ns_ += 3'600'000'000'000;  // the sync is due
  settle();
  EXPECT_EQ(producer.refused(), 2U);
  const Producer::TimePoint now;
  EXPECT_EQ(producer.flush_until(now, Level::kPowerSafe), Status::kTooLarge) << "told once";
  EXPECT_EQ(producer.flush_until(now, Level::kPowerSafe), Status::kOk);
  EXPECT_EQ(drain_->counters().too_large, 2U);
  EXPECT_EQ(drain_->counters().quarantined, 0U);
  stop();
  start({small});
  ASSERT_EQ(put(producer, "2"), Status::kOk);
  settle();
  EXPECT_EQ(drain_->lanes().at(0).reader->rejected(), 2U) << "counted once, by whichever agent";
  ASSERT_EQ(streams_[0]->lanes().size(), 1U);
  EXPECT_EQ(streams_[0]->lanes()[0].rejected, 2U) << "the far end is told";
  EXPECT_TRUE(contents_of("all") == (Contents{{"p", {"1", usual, "2"}}}));
}

TEST_F(DrainFixture, AStreamThatIsLetGoKeepsItsRecordsInTheirLanesAndStopsNoOther) {
  start({{"one", {"a"}}, {"all", {"#"}}});
  Producer a, b;
  open(a, "a", "p");
  open(b, "b", "q");
  ASSERT_EQ(put(a, "1"), Status::kOk);
  ASSERT_EQ(put(b, "1"), Status::kOk);
  settle();
  drain_->let_go(0);
  const auto options = streams_[0]->options();
  streams_[0].reset();
  ASSERT_EQ(put(a, "2"), Status::kOk);
  ASSERT_EQ(put(b, "2"), Status::kOk);
  Producer late;
  open(late, "a", "late");
  ASSERT_EQ(put(late, "1"), Status::kOk);
  settle();
  EXPECT_EQ(contents_of("one"), (Contents{{"p", {"1"}}}));
  EXPECT_EQ(contents_of("all"), (Contents{{"q", {"1", "2"}}})) << "and nothing of its lanes";
  EXPECT_EQ(drain_->ignored().size(), 2U);
  auto opened = core::Stream::open(env_, options);
  ASSERT_TRUE(opened) << opened.error().message;
  streams_[0] = std::move(*opened);
  drain_->take_up(0, *streams_[0]);
  a.close();
  settle();
  EXPECT_TRUE(drain_->ignored().empty());
  EXPECT_EQ(contents_of("one"), (Contents{{"p", {"1", "2"}}, {"late", {"1"}}}));
  EXPECT_EQ(contents_of("all"), (Contents{{"q", {"1", "2"}}}));
  EXPECT_EQ(drain_->counters().rolled_back_lanes, 0U);
}

TEST_F(DrainFixture, AFullStreamStopsItsLanesAndNoOther) {
  TestStream full{"full", {"f"}};
  full.when_full = core::WhenFull::kRejectNew;
  full.max_bytes = 1 << 20;
  full.segment_bytes = 256 * 1024;
  start({full, {"free", {"#"}}});
  Producer stuck, other;
  open(stuck, "f", "stuck");
  open(other, "o", "other");
  std::uint64_t accepted = 0;
  const std::string record(1000, 'r');
  for (int round = 0; round < 100 && !drain_->stream_full(0); ++round) {
    while (put(stuck, record) == Status::kOk) ++accepted;
    settle();
  }
  ASSERT_TRUE(drain_->stream_full(0));
  ASSERT_EQ(put(other, "1"), Status::kOk);
  settle();
  EXPECT_EQ(contents_of("free"), (Contents{{"other", {"1"}}}));
  const auto held = contents_of("full");
  EXPECT_EQ(held.size(), 1U);
  EXPECT_LE(held.at("stuck").size(), accepted);
  EXPECT_GT(held.at("stuck").size(), 300U);
}

TEST_F(DrainFixture, PowerSafeIsSaidOnlyAfterASyncThatCoversIt) {
  start({{"all", {"#"}}});
  Producer producer, late;
  open(producer, "t", "p");
  open(late, "t", "late");
  const auto lane_of = [this](const std::string& name) -> const Lane& {
    const auto& lanes = drain_->lanes();
    return lanes.at(0).producer == name ? lanes.at(0) : lanes.at(1);
  };
  ASSERT_EQ(put(producer, "1"), Status::kOk);
  Status answer = Status::kSystem;
  std::thread waiter([&] {
    answer = producer.flush_until(std::chrono::steady_clock::now() + std::chrono::seconds(20),
                                  Level::kPowerSafe);
  });
  // The interval is an hour: only the waiting flush asks for this sync.
  std::vector<Order> syncs;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (syncs.empty() && std::chrono::steady_clock::now() < give_up) {
    static_cast<void>(step());
    for (auto& order : drain_->take_orders()) {
      if (std::holds_alternative<core::SyncPlan>(order.work)) {
        syncs.push_back(order);
      } else {
        drain_->finish(order, order.run(), now());
      }
    }
  }
  EXPECT_EQ(syncs.size(), 1U);
  // This one reaches the stream while the sync is under way, so that sync does not cover it.
  EXPECT_EQ(put(late, "2"), Status::kOk);
  for (int i = 0; i < 10; ++i) static_cast<void>(step());
  EXPECT_EQ(lane_of("p").durable, 0U) << "said before the sync had returned";
  for (const auto& order : syncs) drain_->finish(order, order.run(), now());
  EXPECT_GT(lane_of("p").durable, 0U);
  EXPECT_GT(lane_of("late").reader->position(), 0U);
  EXPECT_EQ(lane_of("late").durable, 0U) << "said by a sync that was planned before";
  waiter.join();
  EXPECT_EQ(answer, Status::kOk);
}

TEST_F(DrainFixture, InMemoryPowerSafeIsSaidOnlyAfterTheMoveAndTheSync) {
  TestStream stream{"all", {"#"}};
  stream.sync_interval_ns = 0;  // in memory there is nothing to sync all the same
  stream.placement = core::Placement::kMemoryFirst;
  start({stream});
  Producer producer;
  open(producer, "t", "p");
  ASSERT_EQ(put(producer, "1"), Status::kOk);
  for (int i = 0; i < 10; ++i) static_cast<void>(step());
  for (const auto& order : drain_->take_orders()) {
    EXPECT_FALSE(std::holds_alternative<core::SyncPlan>(order.work)) << "nothing is to be synced";
    drain_->finish(order, order.run(), now());
  }
  EXPECT_EQ(drain_->lanes().at(0).durable, 0U);
  Status answer = Status::kSystem;
  std::thread waiter([&] {
    answer = producer.flush_until(std::chrono::steady_clock::now() + std::chrono::seconds(20),
                                  Level::kPowerSafe);
  });
  int moves = 0;
  int syncs = 0;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (drain_->lanes().at(0).durable == 0 && std::chrono::steady_clock::now() < give_up) {
    static_cast<void>(step());
    for (const auto& order : drain_->take_orders()) {
      const bool moves_it = std::holds_alternative<core::MoveOrder>(order.work);
      const bool syncs_it = std::holds_alternative<core::SyncPlan>(order.work);
      EXPECT_TRUE(!syncs_it || moves == 1) << "before it was moved";
      EXPECT_EQ(drain_->lanes().at(0).durable, 0U);
      moves += moves_it ? 1 : 0;
      syncs += syncs_it ? 1 : 0;
      drain_->finish(order, order.run(), now());
    }
  }
  EXPECT_EQ(moves, 1);
  EXPECT_GE(syncs, 1);
  waiter.join();
  EXPECT_EQ(answer, Status::kOk);
  EXPECT_EQ(streams_[0]->place(), core::PlaceInForce::kDisk);
}

TEST_F(DrainFixture, AfterAKillNothingIsLostOrDoubled) {
  DrainOptions options;
  options.lane_bytes_per_step = 1024;
  start({{"all", {"#"}}}, options);
  Producer producer;
  open(producer, "t", "p");
  int next = 0;
  for (int life = 0; life < 10; ++life) {
    for (int i = 0; i < 200; ++i) ASSERT_EQ(put(producer, std::to_string(next++)), Status::kOk);
    for (int steps = 0; steps < life; ++steps) static_cast<void>(step());
    stop();
    start({{"all", {"#"}}}, options);
  }
  settle();
  EXPECT_EQ(contents_of("all"), (Contents{{"p", numbers(0, next)}}));
  EXPECT_EQ(drain_->counters().rolled_back_lanes, 0U);
}

TEST_F(DrainFixture, ARolledBackSpillIsReportedAsALoss) {
  start({{"all", {"#"}}});
  Producer producer;
  open(producer, "t", "p");
  ASSERT_EQ(put(producer, "1"), Status::kOk);
  settle();
  stop();
  std::filesystem::remove_all(root_ + "/spill");
  start({{"all", {"#"}}});
  ASSERT_EQ(put(producer, "2"), Status::kOk);
  settle();
  EXPECT_EQ(drain_->counters().rolled_back_lanes, 1U);
  EXPECT_EQ(drain_->counters().rolled_back_bytes, 32U);
  EXPECT_EQ(contents_of("all"), (Contents{{"p", {"2"}}}));
}

TEST_F(DrainFixture, LanesBeyondAUsersLimitWaitForAPlace) {
  DrainOptions options;
  options.lanes_per_user_max = 1;
  start({{"all", {"#"}}}, options);
  Producer first, second;
  open(first, "t/1", "p1");
  static_cast<void>(step());
  open(second, "t/2", "p2");
  ASSERT_EQ(put(second, "late"), Status::kOk);
  settle();
  EXPECT_EQ(drain_->lanes().size(), 1U);
  EXPECT_EQ(drain_->ignored().size(), 1U);
  first.close();
  for (int i = 0; i < 4; ++i) settle();
  EXPECT_TRUE(drain_->ignored().empty());
  EXPECT_EQ(contents_of("all"), (Contents{{"p2", {"late"}}}));
}

}  // namespace
}  // namespace spillway::agent::testing
