// Dead records in the SQLite inbox, and what a person does with them while a consumer runs.
#include "uplink/consumer/inbox/dead_rows.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "uplink/consumer/inbox/retention.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"
#include "uplink/consumer/inbox/sqlite_schema.h"
#include "uplink/consumer/inbox/waiting_inbox.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::DeadFilter;
using consumer::DeadRows;
using consumer::InboxBatch;
using consumer::RecordName;

class DeadRowsTest : public ::testing::Test {
 protected:
  DeadRowsTest() : directory_(::testing::TempDir() + "/dead-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    path_ = directory_ + "/inbox.db";
    auto opened = consumer::open_sqlite_inbox(path_);
    EXPECT_TRUE(opened) << opened.error().message;
    inbox_ = std::move(*opened);
  }
  ~DeadRowsTest() override { std::filesystem::remove_all(directory_); }

  /// Ten records [from, from + 10) of a gateway, of which 3 and 4 are dead, 4 was cut.
  core::Result<void> commit(std::uint64_t gateway, std::uint64_t from,
                            std::uint64_t received_at_ns = 1) {
    InboxBatch batch;
    batch.key = {uuid_number(gateway), uuid_number(2), "one"};
    batch.begins = from == 0;
    batch.from = from;
    batch.next = from + 10;
    batch.runs.push_back({lane_, from, 10});
    for (int i = 0; i < 10; ++i)
      batch.records.push_back({1000, std::as_bytes(std::span(payload_))});
    batch.dead.push_back({3, from + 3, payload_.size(), "does not verify"});
    batch.dead.push_back({4, from + 4, 100, "too large"});
    batch.lanes.push_back({lane_, (from + 10) * 64, 0, false, 10});
    batch.received_at_ns = received_at_ns;
    std::vector<core::Result<void>> outcomes;
    inbox_->commit({&batch, 1}, outcomes);
    return outcomes[0];
  }
  std::size_t dead(const DeadFilter& filter = {}) { return rows_->list(filter, 1000)->size(); }

  std::string directory_;
  std::string path_;
  std::string payload_ = "payload";
  std::unique_ptr<consumer::Inbox> inbox_;
  std::optional<DeadRows> rows_;
  std::shared_ptr<const consumer::LaneLabel> lane_ = std::make_shared<const consumer::LaneLabel>(
      consumer::LaneLabel{0xAB, "sensor/boiler/temperature", "maker", uuid_number(3)});
};

TEST_F(DeadRowsTest, TheyAreListedShownRequeuedAndDroppedAndNoPositionMoves) {
  ASSERT_TRUE(commit(1, 0));
  ASSERT_TRUE(commit(5, 0));
  rows_.emplace(std::move(*DeadRows::open(path_)));
  const auto all = *rows_->list({}, 1000);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].reason, "does not verify");
  EXPECT_EQ(all[0].topic, "sensor/boiler/temperature");
  EXPECT_EQ(all[0].record_bytes, payload_.size());
  EXPECT_EQ(all[1].record_bytes, 100U);
  EXPECT_EQ(all[1].kept_bytes, payload_.size());
  EXPECT_EQ(RecordName::parse(all[1].name.text())->offset, all[1].name.offset);
  EXPECT_EQ(rows_->payload(all[0].name)->size(), payload_.size());
  EXPECT_EQ(dead({uuid_number(5).text(), "", "", {}}), 2U);
  EXPECT_EQ(dead({"", "other", "", {}}), 0U);
  EXPECT_EQ(dead({"", "", "sensor/+/temperature", {}}), 4U);
  EXPECT_EQ(dead({"", "", "sensor/+/pressure", {}}), 0U);

  // What was cut stays.
  EXPECT_EQ(*rows_->requeue({uuid_number(1).text(), "", "", {}}), 1U);
  EXPECT_EQ(dead(), 3U);
  EXPECT_EQ(*rows_->drop({"", "", "", all[1].name}), 1U);
  EXPECT_EQ(*rows_->drop({"", "", "", all[1].name}), 0U);
  EXPECT_EQ(dead(), 2U);
  EXPECT_FALSE(rows_->payload(all[1].name));
  // The consumer goes on where it stood.
  EXPECT_EQ(*inbox_->position({uuid_number(1), uuid_number(2), "one"}), 10U);
  ASSERT_TRUE(commit(1, 10));
  EXPECT_EQ(dead(), 4U);
}

TEST_F(DeadRowsTest, ARequeuedRecordIsAsIfItHadJustCome) {
  ASSERT_TRUE(commit(1, 0));
  rows_.emplace(std::move(*DeadRows::open(path_)));
  EXPECT_EQ(*rows_->requeue({}), 1U);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open_v2(path_.c_str(), &database, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
  sqlite3_stmt* select = nullptr;
  sqlite3_prepare_v2(database,
                     "SELECT count(*) FROM record WHERE state = 'received' AND reason IS NULL AND "
                     "record_bytes IS NULL",
                     -1, &select, nullptr);
  EXPECT_EQ(sqlite3_step(select), SQLITE_ROW);
  EXPECT_EQ(sqlite3_column_int64(select, 0), 9);
  sqlite3_finalize(select);
  sqlite3_close(database);
}

TEST_F(DeadRowsTest, NamesThatAreNoneAreRefused) {
  for (const char* text : {"", "a/b/c/1", "x", "//one/1"}) EXPECT_FALSE(RecordName::parse(text));
  const std::string ids = uuid_number(1).text() + "/" + uuid_number(2).text();
  EXPECT_FALSE(RecordName::parse(ids + "/one/"));
  EXPECT_FALSE(RecordName::parse(ids + "/one/-1"));
  EXPECT_FALSE(RecordName::parse(ids + "/one/1x"));
  EXPECT_FALSE(RecordName::parse(ids + "//1"));
  EXPECT_TRUE(RecordName::parse(ids + "/one/1"));
}

TEST_F(DeadRowsTest, OldRecordsGoAndWhatDecidesOnceOnlyStays) {
  for (std::uint64_t at = 0; at < 3; ++at) {
    ASSERT_TRUE(commit(1, at * 10, 1000 * (at + 1)));
    ASSERT_TRUE(commit(5, at * 10, 1000 * (at + 1) + 500));
  }
  consumer::Retention retention(std::move(*consumer::open_existing_inbox_database(path_)),
                                {2000, 0});
  // Received before 2200: the first ten of one, the first ten of the other, ten more of the one.
  std::uint64_t pruned = 0;
  while (const auto some = *retention.prune_some(4200)) pruned += some;
  EXPECT_EQ(pruned, 30U);
  rows_.emplace(std::move(*DeadRows::open(path_)));
  const auto left = *rows_->list({}, 100);
  ASSERT_EQ(left.size(), 6U);
  EXPECT_EQ(left[0].name.offset, 23U);
  EXPECT_EQ(left[2].name.offset, 13U);
  EXPECT_EQ(*retention.prune_some(4200), 0U);
  EXPECT_EQ(*inbox_->position({uuid_number(1), uuid_number(2), "one"}), 30U);
  ASSERT_TRUE(commit(1, 30, 9000));
}

TEST_F(DeadRowsTest, OverItsSizeTheOldestGo) {
  payload_.assign(20'000, 'x');
  for (std::uint64_t at = 0; at < 20; ++at) ASSERT_TRUE(commit(1, at * 10, 1000 + at));
  constexpr std::uint64_t kBound = 2U << 20;
  consumer::Retention retention(std::move(*consumer::open_existing_inbox_database(path_)),
                                {0, kBound});
  EXPECT_GT(*retention.used_bytes(), kBound);
  for (int round = 0; *retention.used_bytes() > kBound; ++round) {
    ASSERT_LT(round, 1000);
    ASSERT_GT(*retention.prune_some(1), 0U);
  }
  EXPECT_EQ(*retention.prune_some(1), 0U);
}

TEST_F(DeadRowsTest, NothingIsMadeWhereNoInboxIs) {
  EXPECT_FALSE(DeadRows::open(directory_ + "/none.db"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/none.db"));
}

TEST_F(DeadRowsTest, AnInboxThatCannotBeOpenedYetIsTriedAgainAndThenIsIt) {
  int tries = 0;
  consumer::WaitingInbox waiting(
      [&]() -> core::Result<std::unique_ptr<consumer::Inbox>> {
        if (++tries < 3) return core::fail(core::ErrorCode::kFull, "the disk is full");
        return consumer::open_sqlite_inbox(path_);
      },
      {core::ErrorCode::kFull, "the disk is full"});
  const consumer::InboxKey key{uuid_number(9), uuid_number(2), "one"};
  EXPECT_EQ(waiting.position(key).error().code, core::ErrorCode::kFull);
  EXPECT_EQ(tries, 0);  // it has just been tried
  std::vector<core::Result<void>> outcomes;
  waiting.commit(std::vector<InboxBatch>(2), outcomes);
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[1].error().code, core::ErrorCode::kFull);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!waiting.position(key) && std::chrono::steady_clock::now() < end) {
  }
  EXPECT_TRUE(waiting.position(key));
  EXPECT_EQ(tries, 3);
}

}  // namespace
}  // namespace spillway::uplink::test
