// Storing out of order, in SQLite: what decides once-only when an engine brings records in any order.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "uplink/consumer/inbox/dead_rows.h"
#include "uplink/consumer/inbox/loose_offsets.h"
#include "uplink/consumer/inbox/retention.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"
#include "uplink/consumer/inbox/sqlite_schema.h"
#include "uplink/loose_storm.h"
#include "uplink/memory_inbox.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::InboxBatch;
using consumer::InboxKey;
using consumer::OffsetRange;
using consumer::Statement;

class SqliteLoose final : public LooseDatabase {
 public:
  explicit SqliteLoose(std::string path) : path_(std::move(path)) {}

  std::unique_ptr<consumer::Inbox> open() override {
    auto inbox = consumer::open_sqlite_inbox(path_);
    EXPECT_TRUE(inbox) << inbox.error().message;
    return std::move(*inbox);
  }
  Stored read(const InboxKey& key) override {
    auto database = consumer::open_existing_inbox_database(path_);
    const std::string gateway = key.gateway.text();
    Stored stored;
    auto rows = Statement::prepare(database->get(),
                                   "SELECT record_offset, payload FROM record WHERE gateway = ?1");
    rows->bind(1, std::string_view(gateway));
    while (*rows->step()) {
      const auto blob = rows->blob(1);
      stored.rows[rows->column(0)] =
          std::string(reinterpret_cast<const char*>(blob.data()), blob.size());
    }
    auto position = Statement::prepare(
        database->get(),
        "SELECT next_offset, (SELECT sum(records) FROM lane WHERE gateway = ?1) FROM position "
        "WHERE gateway = ?1");
    position->bind(1, std::string_view(gateway));
    if (*position->step()) {
      stored.next_offset = position->column(0);
      stored.lane_records = position->column(1);
    }
    return stored;
  }

 private:
  std::string path_;
};

class LooseTest : public ::testing::Test {
 protected:
  LooseTest() : directory_(::testing::TempDir() + "/loose-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    path_ = directory_ + "/inbox.db";
    database_ = std::make_unique<SqliteLoose>(path_);
    inbox_ = database_->open();
  }
  ~LooseTest() override { std::filesystem::remove_all(directory_); }

  InboxBatch batch(std::vector<std::uint64_t> offsets) {
    InboxBatch made;
    made.key = key_;
    made.loose = true;
    for (const std::uint64_t offset : offsets) {
      made.runs.push_back({lane_, offset, 1});
      made.records.push_back({1000 + offset, std::as_bytes(std::span(payload_))});
    }
    made.lanes.push_back({lane_, 0, 0, false, 0});
    made.received_at_ns = 5;
    return made;
  }
  void commit(const InboxBatch& one) {
    std::vector<core::Result<void>> outcomes;
    inbox_->commit({&one, 1}, outcomes);
    EXPECT_TRUE(outcomes[0]) << outcomes[0].error().message;
  }
  std::uint64_t next() { return (*inbox_->position(key_))->next_offset; }
  std::string ask(const char* sql) {
    auto database = consumer::open_existing_inbox_database(path_);
    auto statement = Statement::prepare(database->get(), sql);
    std::string answer;
    while (*statement->step()) {
      answer += (statement->is_null(0) ? "NULL" : statement->text(0)) + "\n";
    }
    return answer;
  }

  std::string directory_;
  std::string path_;
  std::string payload_ = "payload";
  InboxKey key_{uuid_number(1), uuid_number(2), "one", 0, 100};
  std::shared_ptr<const consumer::LaneLabel> lane_ = std::make_shared<const consumer::LaneLabel>(
      consumer::LaneLabel{0xAB, "a/b", "maker", uuid_number(3)});
  std::unique_ptr<SqliteLoose> database_;
  std::unique_ptr<consumer::Inbox> inbox_;
};

TEST_F(LooseTest, AnyOrderDoublesHolesTwoConsumersAndTheNativeLinkStoreEachRecordOnce) {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) run_loose_storm(*database_, seed, 250);
}

TEST_F(LooseTest, AJournalBeginsAtItsFirstOffsetAndNextWaitsForAHole) {
  commit(batch({101, 103}));
  EXPECT_EQ(next(), 100U);
  commit(batch({100}));
  EXPECT_EQ(next(), 102U);
  commit(batch({102}));
  EXPECT_EQ(next(), 104U);
  EXPECT_EQ(ask("SELECT count(*) FROM record"), "4\n");
}

TEST_F(LooseTest, AGapAheadIsKeptAndPassedWhenWhatLiesBeforeItHasCome) {
  InboxBatch gap = batch({});
  gap.gaps.push_back({101, 110, 1});
  commit(gap);
  EXPECT_EQ(next(), 100U);
  gap.gaps[0].next_offset = 112;
  commit(gap);
  EXPECT_EQ(ask("SELECT next_offset FROM gap"), "112\n");
  commit(batch({100}));
  EXPECT_EQ(next(), 112U);
  // Told once more, it is old news.
  commit(gap);
  EXPECT_EQ(ask("SELECT count(*) FROM gap"), "1\n");
}

TEST_F(LooseTest, TotalsAndSchemasOfAJournalThatHasNotBegunMoveNothing) {
  commit(batch({}));
  EXPECT_FALSE(*inbox_->position(key_));
  EXPECT_EQ(ask("SELECT records FROM lane"), "0\n");
}

TEST_F(LooseTest, AHoleThatStaysOpenCostsOneLookAndNotItsIslands) {
  std::uint64_t rows_read = 0;
  std::uint64_t gaps_read = 0;
  const auto look = [&](std::uint64_t first_row) {
    rows_read = gaps_read = 0;
    auto next = consumer::walk(
        10,
        [&, row = first_row]() mutable -> core::Result<std::optional<std::uint64_t>> {
          ++rows_read;
          return std::optional(row++);
        },
        [&, gap = std::uint64_t{50}]() mutable -> core::Result<std::optional<OffsetRange>> {
          ++gaps_read;
          gap += 1'000;
          return std::optional(OffsetRange{gap, gap + 5});
        });
    return *next;
  };
  EXPECT_EQ(look(11), 10U);
  EXPECT_LE(rows_read, 1U);
  EXPECT_LE(gaps_read, 1U);
  // And an island without end is walked over in steps with a bound.
  EXPECT_EQ(look(10) >= 10 + consumer::kWalkRowsMax, true);
  EXPECT_LE(rows_read, consumer::kWalkRowsMax);
}

TEST_F(LooseTest, AnIslandLongerThanAWalkIsPassedInSteps) {
  std::vector<std::uint64_t> offsets;
  const std::uint64_t end = 101 + consumer::kWalkRowsMax + 50;
  for (std::uint64_t offset = 101; offset < end; ++offset) offsets.push_back(offset);
  commit(batch(offsets));
  commit(batch({100}));
  EXPECT_LT(next(), end);
  // Whatever comes next, a double included, goes on from there.
  commit(batch({100}));
  EXPECT_EQ(next(), end);
}

TEST_F(LooseTest, WhatARetentionTakesOutNeverComesBack) {
  commit(batch({100, 101, 102, 110, 111}));
  consumer::Retention retention(std::move(*consumer::open_existing_inbox_database(path_)),
                                {.retain_ns = 1, .max_bytes = 0});
  EXPECT_EQ(*retention.prune_some(1'000'000), 3U);
  EXPECT_EQ(*retention.prune_some(1'000'000), 0U);
  commit(batch({100, 101, 110, 111}));
  EXPECT_EQ(ask("SELECT record_offset FROM record"), "110\n111\n");
  // Once the hole is closed they go as all others.
  commit(batch({103, 104, 105, 106, 107, 108, 109}));
  EXPECT_EQ(next(), 112U);
  EXPECT_EQ(*retention.prune_some(1'000'000), 9U);
}

TEST_F(LooseTest, ADeadRecordThatDecidesOnceOnlyIsNotDroppedAndARequeuedOneStaysRequeued) {
  InboxBatch made = batch({100, 105});
  made.dead.push_back({0, 100, payload_.size(), "too sad"});
  made.dead.push_back({1, 105, payload_.size(), "too sad"});
  commit(made);
  auto rows = consumer::DeadRows::open(path_);
  EXPECT_EQ(*rows->drop({}), 1U);
  EXPECT_EQ(*rows->requeue({}), 1U);
  commit(made);
  EXPECT_EQ(ask("SELECT record_offset || state FROM record"), "105received\n");
}

TEST_F(LooseTest, ARecordThatComesAfterItsBootsClockHasItsTime) {
  InboxBatch clock = batch({});
  clock.clocks.push_back({uuid_number(3), 1'000, 1'700'000'000'000'000'000});
  commit(clock);
  InboxBatch late = batch({100});
  late.records[0].produced_at_ns.reset();
  late.records[0].boottime_ns = 400;
  commit(late);
  EXPECT_EQ(ask("SELECT produced_at_ns FROM record"), "1699999999999999400\n");
  EXPECT_EQ(ask("SELECT produced_at_ns FROM lane"), "1699999999999999400\n");
}

TEST_F(LooseTest, MarksStandInTheTransactionOfTheirBatchAndNeedNoKey) {
  InboxBatch made = batch({100});
  made.marks = {{"kafka", "0", 7}, {"kafka", "1", 9}};
  commit(made);
  InboxBatch alone;
  alone.loose = true;
  alone.marks = {{"kafka", "1", 12}, {"other", "", 1}};
  commit(alone);
  inbox_ = database_->open();
  const std::vector<consumer::InboxMark> kept{{"kafka", "0", 7}, {"kafka", "1", 12}};
  EXPECT_EQ(*inbox_->marks("kafka"), kept);
  EXPECT_EQ(inbox_->marks("none")->size(), 0U);
  EXPECT_EQ(ask("SELECT count(*) FROM position"), "1\n");
}

}  // namespace
}  // namespace spillway::uplink::test
