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

TEST_F(InboxTest, ThePositionComesBackWithTheChecksumOfItsLastRecord) {
  auto inbox = consumer::open_sqlite_inbox(path_);
  ASSERT_TRUE(inbox);
  InboxBatch first = batch(0, 5, true);
  first.last_record = (1ULL << 63) - 1;
  ASSERT_TRUE(commit(**inbox, first));
  const consumer::InboxKey key{uuid_number(1), uuid_number(2), "one"};
  EXPECT_EQ(**(*inbox)->position(key), consumer::StoredPosition(5, (1ULL << 63) - 1));
  InboxBatch second = batch(5, 7, false);
  second.last_record = 9;
  ASSERT_TRUE(commit(**inbox, second));
  inbox = consumer::open_sqlite_inbox(path_);
  EXPECT_EQ(**(*inbox)->position(key), consumer::StoredPosition(7, 9));
}

TEST_F(InboxTest, KeepsSchemasOnceAndRecordsNameTheirs) {
  auto inbox = consumer::open_sqlite_inbox(path_);
  ASSERT_TRUE(inbox) << inbox.error().message;
  ASSERT_TRUE(commit(**inbox, batch(0, 2, true)));
  lane_ = std::make_shared<const consumer::LaneLabel>(
      consumer::LaneLabel{0xAC, "a/b", "maker", uuid_number(3), 0x4D});
  for (std::uint64_t from : {2U, 4U}) {
    InboxBatch made = batch(from, from + 2, false);
    made.schemas.push_back({0x4D, std::as_bytes(std::span(payload_))});
    ASSERT_TRUE(commit(**inbox, made));
  }
  EXPECT_EQ(ask("SELECT fingerprint, bfbs FROM schema"), "000000000000004d|payload\n");
  EXPECT_EQ(ask("SELECT record_offset, bfbs FROM record LEFT JOIN schema "
                "ON fingerprint = schema_fingerprint ORDER BY 1"),
            "0|NULL\n1|NULL\n2|payload\n3|payload\n4|payload\n5|payload\n");
  EXPECT_EQ(ask("SELECT lane_id, schema_fingerprint FROM lane ORDER BY 1"),
            "00000000000000ab|NULL\n00000000000000ac|000000000000004d\n");
}

TEST_F(InboxTest, TheTableOfSchemasHasABound) {
  auto inbox = consumer::open_sqlite_inbox(path_);
  InboxBatch made = batch(0, 1, true);
  for (std::uint64_t number = 1; number <= consumer::kSchemasMax + 5U; ++number) {
    made.schemas.push_back({number, std::as_bytes(std::span(payload_))});
  }
  ASSERT_TRUE(commit(**inbox, made));
  EXPECT_EQ(ask("SELECT count(*) FROM schema"), std::to_string(consumer::kSchemasMax) + "\n");
}

/// The tables as version 1 made them.
constexpr const char* kVersion1 = R"(
CREATE TABLE record(gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL,
  record_offset INTEGER NOT NULL, topic TEXT NOT NULL, produced_at_ns INTEGER,
  received_at_ns INTEGER NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY(gateway, journal, stream, record_offset)) WITHOUT ROWID;
CREATE TABLE position(gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL,
  next_offset INTEGER NOT NULL, PRIMARY KEY(gateway, journal, stream)) WITHOUT ROWID;
CREATE TABLE gap(gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL,
  first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL, reason TEXT NOT NULL,
  reported_at_ns INTEGER NOT NULL, PRIMARY KEY(gateway, journal, stream, first_offset)) WITHOUT ROWID;
CREATE TABLE lane(gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL,
  lane_id TEXT NOT NULL, topic TEXT NOT NULL, producer TEXT NOT NULL, boot_id TEXT NOT NULL,
  lane_end INTEGER NOT NULL, rejected INTEGER NOT NULL, closed INTEGER NOT NULL,
  records INTEGER NOT NULL, PRIMARY KEY(gateway, journal, stream, lane_id)) WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO record VALUES('g', 'j', 's', 7, 't', 1, 2, 'p');
INSERT INTO lane VALUES('g', 'j', 's', 'l', 't', 'p', 'b', 1, 2, 0, 4);
)";

TEST_F(InboxTest, AnInboxOfVersion1IsBroughtUpToDateWithAllItHolds) {
  sqlite3* old = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &old), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(old, kVersion1, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(old);
  for (int opening = 0; opening < 2; ++opening) {
    auto inbox = consumer::open_sqlite_inbox(path_);
    ASSERT_TRUE(inbox) << inbox.error().message;
    ASSERT_TRUE(commit(**inbox, batch(opening * 3U, opening * 3U + 3, opening == 0)));
  }
  EXPECT_EQ(ask("PRAGMA user_version"), std::to_string(consumer::kInboxVersion) + "\n");
  EXPECT_EQ(ask("SELECT state FROM record WHERE stream = 's'"), "received\n");
  EXPECT_EQ(ask("SELECT gateway, record_offset, payload, schema_fingerprint FROM record "
                "WHERE stream = 's'"),
            "g|7|p|NULL\n");
  EXPECT_EQ(ask("SELECT count(*) FROM record"), "7\n");
  EXPECT_EQ(ask("SELECT records FROM lane WHERE lane_id = 'l'"), "4\n");
}

TEST_F(InboxTest, OneOfANewerVersionIsRefusedUntouched) {
  ASSERT_TRUE(consumer::open_sqlite_inbox(path_));
  sqlite3* newer = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &newer), SQLITE_OK);
  const std::string version = std::to_string(consumer::kInboxVersion + 1);
  sqlite3_exec(newer, ("PRAGMA user_version = " + version).c_str(), nullptr, nullptr, nullptr);
  sqlite3_close(newer);
  const auto inbox = consumer::open_sqlite_inbox(path_);
  ASSERT_FALSE(inbox);
  EXPECT_EQ(inbox.error().code, core::ErrorCode::kNewerVersion);
  EXPECT_EQ(ask("PRAGMA user_version"), version + "\n");
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
