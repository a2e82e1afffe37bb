// The SQLite inbox: once only, all or nothing, and what it refuses to open.
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "uplink/consumer/inbox/sqlite_inbox.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::InboxBatch;

class InboxTest : public ::testing::Test {
 protected:
  InboxTest() : directory_(::testing::TempDir() + "/inbox-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    path_ = directory_ + "/inbox.db";
  }
  ~InboxTest() override { std::filesystem::remove_all(directory_); }

  InboxBatch batch(std::uint64_t from, std::uint64_t next, bool begins) {
    InboxBatch made;
    made.key = {uuid_number(1), uuid_number(2), "one"};
    made.begins = begins;
    made.from = from;
    made.next = next;
    made.runs.push_back({lane_, from, static_cast<std::uint32_t>(next - from)});
    for (std::uint64_t i = from; i < next; ++i)
      made.records.push_back({1000 + i, std::as_bytes(std::span(payload_))});
    made.lanes.push_back({lane_, next * 64, 0, false, next - from});
    return made;
  }
  core::Result<void> commit(consumer::Inbox& inbox, const InboxBatch& one) {
    std::vector<core::Result<void>> outcomes;
    inbox.commit({&one, 1}, outcomes);
    return outcomes[0];
  }
  std::string ask(const std::string& sql) {
    sqlite3* database = nullptr;
    sqlite3_open_v2(path_.c_str(), &database, SQLITE_OPEN_READONLY, nullptr);
    std::string answer;
    sqlite3_exec(
        database, sql.c_str(),
        [](void* into, int columns, char** values, char**) {
          auto& text = *static_cast<std::string*>(into);
          for (int i = 0; i < columns; ++i)
            text += (i == 0 ? "" : "|") + std::string(values[i] ? values[i] : "NULL");
          text += "\n";
          return 0;
        },
        &answer, nullptr);
    sqlite3_close(database);
    return answer;
  }

  std::string directory_;
  std::string path_;
  std::string payload_ = "payload";
  std::shared_ptr<const consumer::LaneLabel> lane_ = std::make_shared<const consumer::LaneLabel>(
      consumer::LaneLabel{0xAB, "a/b", "maker", uuid_number(3)});
};

TEST_F(InboxTest, KeepsRecordsPositionAndLaneTotals) {
  auto inbox = consumer::open_sqlite_inbox(path_);
  ASSERT_TRUE(inbox) << inbox.error().message;
  ASSERT_TRUE(commit(**inbox, batch(0, 3, true)));
  ASSERT_TRUE(commit(**inbox, batch(3, 5, false)));
  EXPECT_EQ(ask("SELECT count(*), min(record_offset), max(record_offset), min(topic) FROM record"),
            "5|0|4|a/b\n");
  EXPECT_EQ(ask("SELECT next_offset FROM position"), "5\n");
  EXPECT_EQ(ask("SELECT lane_id, topic, producer, lane_end, records FROM lane"),
            "00000000000000ab|a/b|maker|320|5\n");
  EXPECT_EQ(*(*inbox)->position({uuid_number(1), uuid_number(2), "one"}), 5U);
  EXPECT_FALSE(*(*inbox)->position({uuid_number(1), uuid_number(2), "two"}));
}

TEST_F(InboxTest, ABatchThatDoesNotContinueTheStoredPositionIsNotApplied) {
  auto inbox = consumer::open_sqlite_inbox(path_);
  ASSERT_TRUE(commit(**inbox, batch(0, 3, true)));
  EXPECT_FALSE(commit(**inbox, batch(0, 3, true)));
  EXPECT_FALSE(commit(**inbox, batch(4, 6, false)));
  EXPECT_FALSE(commit(**inbox, batch(2, 4, false)));
  EXPECT_EQ(ask("SELECT count(*) FROM record"), "3\n");
  EXPECT_EQ(ask("SELECT next_offset FROM position"), "3\n");
}

TEST_F(InboxTest, OneBadBatchDoesNotHoldUpTheOthers) {
  auto inbox = consumer::open_sqlite_inbox(path_);
  const InboxBatch batches[] = {batch(0, 3, true), batch(9, 12, false), batch(3, 6, false)};
  std::vector<core::Result<void>> outcomes;
  (*inbox)->commit(batches, outcomes);
  EXPECT_TRUE(outcomes[0]);
  EXPECT_FALSE(outcomes[1]);
  EXPECT_TRUE(outcomes[2]);
  EXPECT_EQ(ask("SELECT count(*) FROM record"), "6\n");
}

TEST_F(InboxTest, AFullDiskIsToldAndHealsByItself) {
  auto inbox = consumer::open_sqlite_inbox(path_);
  ASSERT_TRUE(commit(**inbox, batch(0, 3, true)));
  payload_.assign(100'000, 'x');
  // Every page of the next batch is beyond what the file may have.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{64 * 1024, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const auto outcome = commit(**inbox, batch(3, 43, false));
  ::setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(ask("SELECT count(*) FROM record"), "3\n");
  EXPECT_TRUE(commit(**inbox, batch(3, 43, false)));
  EXPECT_EQ(ask("SELECT count(*) FROM record"), "43\n");
}

TEST_F(InboxTest, ALockedInboxIsAnErrorAndNotACrash) {
  auto inbox = consumer::open_sqlite_inbox(path_);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto outcome = commit(**inbox, batch(0, 3, true));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, core::ErrorCode::kBusy);
  sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  EXPECT_TRUE(commit(**inbox, batch(0, 3, true)));
}

TEST_F(InboxTest, SomebodyElsesDatabaseIsRefusedUntouched) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  sqlite3_exec(other, "CREATE TABLE theirs(x)", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  const auto inbox = consumer::open_sqlite_inbox(path_);
  ASSERT_FALSE(inbox);
  EXPECT_EQ(inbox.error().code, core::ErrorCode::kInvalidArgument);
  EXPECT_EQ(ask("SELECT count(*) FROM sqlite_master"), "1\n");
}

TEST_F(InboxTest, AFileOfRubbishAndAMissingDirectoryAreClearErrors) {
  std::ofstream(path_) << std::string(5000, 'x');
  const auto rubbish = consumer::open_sqlite_inbox(path_);
  ASSERT_FALSE(rubbish);
  EXPECT_EQ(rubbish.error().code, core::ErrorCode::kCorrupt);
  const auto nowhere = consumer::open_sqlite_inbox(directory_ + "/no/inbox.db");
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("directory"), std::string::npos);
}

}  // namespace
}  // namespace spillway::uplink::test
