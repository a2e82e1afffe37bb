// Records that were spilled before the gateway's clock was set get their true time at the far end: on
// the simulated machine, through stream, uplink session, consumer session and SQLite inbox.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

#include "core/spill_helpers.h"
#include "spillway/core/env/sim_env.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"
#include "uplink/consumer/relay/relay_inbox.h"
#include "uplink/session/foreign_sources.h"
#include "uplink/session/stream_source.h"
#include "uplink/session_pair.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using core::testing::value_of;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kYear2030 = 1'893'456'000 * kSecond;
constexpr const char* kDirectory = "/spill/test";

class ClockRepair : public ::testing::Test {
 protected:
  ClockRepair() {
    env_.set_volatile_root("/run");
    env_.set_utc_ns(5 * kSecond, false);  // 1970
    open_stream();
    value_of(env_.make_directories(std::string(kDirectory) + "/cursors"));
    open_inbox();
  }
  ~ClockRepair() override {
    inbox_.reset();
    std::filesystem::remove_all(folder_);
  }

  void open_stream() {
    stream_.reset();
    stream_ = value_of(core::Stream::open(env_, core::testing::small_options("")));
    for (std::uint64_t lane = 1; lane <= 2; ++lane) {
      auto identity = core::testing::make_identity(lane + 100 * boot_, "t" + std::to_string(lane));
      core::set_uuid(*identity.mutable_boot_id(), env_.boot_id());
      value_of(stream_->declare_lane(identity, 0, 0, false));
    }
  }
  void open_inbox() {
    inbox_.reset();
    inbox_ = value_of(consumer::open_sqlite_inbox(folder_ + "/inbox.db"));
  }
  void reboot() {
    value_of(core::testing::sync_now(*stream_));
    stream_.reset();
    env_.restart_after_power_cut();
    env_.set_utc_ns(5 * kSecond, false);
    ++boot_;
    open_stream();
  }

  /// Records of both lanes, one a second; each remembers the true time, which no clock here knows.
  void produce(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      pass(kSecond);
      for (std::uint64_t lane = 1; lane <= 2; ++lane) {
        std::vector<std::byte> frames;
        // Claimed 1 ms before it was drained; the counter runs at 1 GHz.
        core::testing::add_frame(frames, "r", env_.boottime_ns() - 1'000'000);
        const core::FrameRun run{lane + 100 * boot_, ++lane_end_, frames, env_.boottime_ns(),
                                 env_.boottime_ns()};
        value_of(stream_->append(run));
        truth_.push_back(true_ns_ - 1'000'000);
      }
    }
  }
  void pass(std::uint64_t ns) {
    env_.advance_ns(ns);
    true_ns_ += ns;
  }
  /// As the agent does after a step of the wall clock.
  void set_clock(std::int64_t off_ns = 0) {
    env_.set_utc_ns(true_ns_ + static_cast<std::uint64_t>(off_ns), true);
    value_of(stream_->append_clock());
  }
  /// One session (by a relay, one on each side of it); all there is.
  void ship() {
    auto source = value_of(StreamSource::open(env_, "/spill", "test", "cloud"));
    BlockSource* sources[] = {source.get()};
    consumer::ConsumerSessionOptions options;
    options.keeps_blocks = relay_ != nullptr;
    SessionPair pair({uuid_number(1), "g", "cloud", 4U << 20}, sources, relay_ ? *relay_ : *inbox_,
                     options);
    ASSERT_TRUE(pair.run()) << pair.error();
    if (relay_) pass_on();
  }
  void pass_on() {
    std::vector<std::unique_ptr<StreamSource>> foreign;
    value_of(open_new_foreign(relay_env_, "/relay", "cloud", foreign));
    ASSERT_EQ(foreign.size(), 1U);
    BlockSource* sources[] = {foreign[0].get()};
    consumer::ConsumerSessionOptions options;
    options.relays = {"relay"};
    SessionPair pair({uuid_number(9), "relay", "cloud", 4U << 20}, sources, *inbox_, options);
    ASSERT_TRUE(pair.run()) << pair.error();
  }
  void put_relay_between() {
    consumer::RelayOptions options;
    options.directory = "/relay";
    relay_ = value_of(consumer::RelayInbox::open(relay_env_, options));
  }
  std::vector<std::string> ask(const std::string& sql) {
    sqlite3* database = nullptr;
    sqlite3_open_v2((folder_ + "/inbox.db").c_str(), &database, SQLITE_OPEN_READONLY, nullptr);
    std::vector<std::string> rows;
    sqlite3_exec(
        database, sql.c_str(),
        [](void* into, int, char** values, char**) {
          static_cast<std::vector<std::string>*>(into)->emplace_back(values[0] ? values[0]
                                                                               : "NULL");
          return 0;
        },
        &rows, nullptr);
    sqlite3_close(database);
    return rows;
  }
  std::vector<std::string> times() {
    return ask("SELECT produced_at_ns FROM record ORDER BY record_offset");
  }
  void expect_times(std::size_t first, std::size_t next, bool known) {
    const auto found = times();
    ASSERT_GE(found.size(), next);
    for (std::size_t i = first; i < next; ++i) {
      EXPECT_EQ(found[i], known ? std::to_string(truth_[i]) : "NULL") << "offset " << i;
    }
  }
  void expect_no_lane_runs_backwards() {
    EXPECT_EQ(ask("SELECT count(*) FROM (SELECT produced_at_ns AS t, lag(produced_at_ns) OVER "
                  "(PARTITION BY topic ORDER BY record_offset) AS before FROM record) "
                  "WHERE t < before"),
              std::vector<std::string>{"0"});
  }

  std::string folder_ = [] {
    std::string pattern = ::testing::TempDir() + "clock-repair-XXXXXX";
    return std::string(::mkdtemp(pattern.data()));
  }();
  core::env::SimEnv env_{1};
  core::env::SimEnv relay_env_{2};
  std::unique_ptr<consumer::Inbox> relay_;
  std::unique_ptr<core::Stream> stream_;
  std::unique_ptr<consumer::Inbox> inbox_;
  std::vector<std::uint64_t> truth_;  // by offset
  std::uint64_t true_ns_ = kYear2030;
  std::uint64_t lane_end_ = 0;
  std::uint64_t boot_ = 0;
};

/// What must hold with a relay on the way, too.
class ClockRepairOnTheWay : public ClockRepair, public ::testing::WithParamInterface<bool> {
 protected:
  ClockRepairOnTheWay() {
    if (GetParam()) put_relay_between();
  }
};

TEST_P(ClockRepairOnTheWay, WhatWasShippedAfterTheClockWasSetHasItsTrueTime) {
  produce(20);
  set_clock();
  produce(5);
  ship();
  expect_times(0, 50, true);
  EXPECT_EQ(ask("SELECT count(*) FROM record WHERE boot_id IS NOT NULL OR boottime_ns IS NOT NULL"),
            std::vector<std::string>{"0"});
}

TEST_P(ClockRepairOnTheWay, WhatWasShippedBeforeIsCorrectedWhenTheReadingComes) {
  produce(20);
  ship();
  expect_times(0, 40, false);
  pass(100 * kSecond);
  set_clock();
  ship();  // nothing but the reading
  expect_times(0, 40, true);
  produce(5);
  ship();
  expect_times(0, 50, true);
  expect_no_lane_runs_backwards();
}

TEST_F(ClockRepair, InTheSameSessionToo) {
  auto source = value_of(StreamSource::open(env_, "/spill", "test", "cloud"));
  BlockSource* sources[] = {source.get()};
  SessionPair pair({uuid_number(1), "g", "cloud", 4U << 20}, sources, *inbox_);
  produce(3);
  ASSERT_TRUE(pair.run()) << pair.error();
  expect_times(0, 6, false);
  set_clock();
  ASSERT_TRUE(pair.run()) << pair.error();
  expect_times(0, 6, true);
  produce(3);
  ASSERT_TRUE(pair.run()) << pair.error();
  expect_times(0, 12, true);
}

TEST_P(ClockRepairOnTheWay, TheConsumersRestartInBetweenChangesNothing) {
  produce(10);
  ship();
  open_inbox();
  set_clock();
  open_inbox();
  ship();
  expect_times(0, 20, true);
}

TEST_P(ClockRepairOnTheWay, ABootWhoseClockWasNeverSetStaysWithoutATime) {
  produce(10);
  ship();
  reboot();
  produce(10);
  ship();
  set_clock();
  ship();
  expect_times(0, 20, false);
  expect_times(20, 40, true);
  EXPECT_EQ(ask("SELECT count(DISTINCT boot_id) FROM record WHERE produced_at_ns IS NULL"),
            std::vector<std::string>{"1"});
}

TEST_P(ClockRepairOnTheWay, AClockThatIsSetBackMakesNoLaneRunBackwards) {
  produce(10);
  ship();
  set_clock(30 * static_cast<std::int64_t>(kSecond));  // half a minute ahead of the truth
  ship();
  set_clock();
  produce(10);
  ship();  // another session, which knows of the first only through the inbox
  expect_no_lane_runs_backwards();
  EXPECT_EQ(ask("SELECT count(*) FROM record WHERE produced_at_ns IS NULL"),
            std::vector<std::string>{"0"});
  produce(60);
  ship();
  expect_times(120, 160, true);
}

TEST_F(ClockRepair, AnotherGatewaysReadingCorrectsNothing) {
  produce(5);
  ship();
  set_clock();
  auto source = value_of(StreamSource::open(env_, "/spill", "test", "other"));
  BlockSource* sources[] = {source.get()};
  SessionPair pair({uuid_number(2), "h", "other", 4U << 20}, sources, *inbox_);
  ASSERT_TRUE(pair.run()) << pair.error();
  EXPECT_EQ(ask("SELECT DISTINCT gateway FROM record WHERE produced_at_ns IS NULL"),
            std::vector<std::string>{uuid_number(1).text()});
  EXPECT_EQ(ask("SELECT count(*) FROM record WHERE produced_at_ns IS NULL"),
            std::vector<std::string>{"10"});
}

INSTANTIATE_TEST_SUITE_P(, ClockRepairOnTheWay, ::testing::Bool(),
                         [](const auto& way) { return way.param ? "ByARelay" : "Directly"; });

}  // namespace
}  // namespace spillway::uplink::test
