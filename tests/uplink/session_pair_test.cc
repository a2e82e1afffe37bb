// Both sessions against each other, without I/O: what arrives is what was spilled, once, in order,
// whatever is cut.
#include "uplink/session_pair.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

#include "uplink/consumer/inbox/sqlite_inbox.h"
#include "uplink/memory_inbox.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

const core::Uuid kGateway = uuid_number(7);

UplinkSessionOptions options(std::uint64_t window = 4ULL << 20) {
  return {kGateway, "site/pump", "cloud", window};
}

/// Every record of [first, next) stands in the inbox under this journal, unaltered, and nothing
/// else.
void expect_exactly(const MemoryInbox::Contents& contents, const std::string& stream,
                    std::uint64_t first, std::uint64_t next) {
  ASSERT_EQ(contents.rows.size(), next - first);
  std::uint64_t offset = first;
  for (const auto& [at, row] : contents.rows) {
    ASSERT_EQ(at, offset);
    ASSERT_EQ(row.payload, record_text(stream, offset));
    ++offset;
  }
  EXPECT_EQ(contents.next_offset, next);
}

TEST(SessionPair, DeliversEveryRecordOfEveryStreamOnce) {
  FakeSpill one("one", 1);
  FakeSpill two("two", 2);
  for (int i = 0; i < 50; ++i) {
    one.append(20);
    two.append(7);
    if (i % 10 == 9) one.roll();
  }
  MemoryInbox inbox;
  BlockSource* sources[] = {&one, &two};
  SessionPair pair(options(), sources, inbox);
  ASSERT_TRUE(pair.run()) << pair.error();
  expect_exactly(inbox.of(kGateway, one.newest_journal(), "one"), "one", 0, 1000);
  expect_exactly(inbox.of(kGateway, two.newest_journal(), "two"), "two", 0, 350);
  EXPECT_EQ(one.cursor()->next_offset, 1000U);
  EXPECT_EQ(two.cursor()->next_offset, 350U);
  EXPECT_EQ(pair.uplink().in_flight_bytes(), 0U);
}

TEST(SessionPair, GoesOnWithNewRecordsInTheSameSession) {
  FakeSpill spill("one");
  spill.append(5);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  SessionPair pair(options(), sources, inbox);
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(pair.run()) << pair.error();
    spill.append(3);
    if (round % 5 == 0) spill.roll();
  }
  ASSERT_TRUE(pair.run()) << pair.error();
  expect_exactly(inbox.of(kGateway, spill.newest_journal(), "one"), "one", 0, 65);
}

TEST(SessionPair, RecordsCarryTopicAndTime) {
  FakeSpill spill("one");
  spill.append(4);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  SessionPair pair(options(), sources, inbox);
  ASSERT_TRUE(pair.run());
  const auto& rows = inbox.of(kGateway, spill.newest_journal(), "one").rows;
  EXPECT_EQ(rows.at(2).topic, "test/one/1");
  // Anchors say that tick 0 was at BOOTTIME 500 ns; record 2 was claimed at tick 2000 of a 1 GHz clock.
  EXPECT_EQ(rows.at(2).produced_at_ns, kBootUtcNs + 500 + 2000);
}

TEST(SessionPair, ALargeBlockGoesInPartsThroughASmallWindow) {
  FakeSpill spill("one");
  spill.append(1000);
  spill.append(3);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  UplinkSessionOptions plain = options(2048);
  plain.offers_short_form = false;
  SessionPair pair(plain, sources, inbox);
  ASSERT_TRUE(pair.run()) << pair.error();
  for (const Bytes& message : pair.sent()) EXPECT_LT(message.size(), 2048U);
  EXPECT_EQ(inbox.doubled(), 0U);
  expect_exactly(inbox.of(kGateway, spill.newest_journal(), "one"), "one", 0, 1003);
}

TEST(SessionPair, APartOfABlockIsNotSentAgainNorLostWhereverTheConnectionIsCut) {
  for (std::uint64_t cut = 3; cut < 40; ++cut) {
    FakeSpill spill("one");
    spill.append(400);
    MemoryInbox inbox;
    BlockSource* sources[] = {&spill};
    for (int session = 0; session < 4; ++session) {
      SessionPair pair(options(2048), sources, inbox);
      pair.hold_commits(static_cast<std::size_t>(session) % 2);
      for (std::uint64_t i = 0; i < cut && pair.step(); ++i) {
      }
    }
    SessionPair last(options(), sources, inbox);
    ASSERT_TRUE(last.run()) << last.error();
    ASSERT_EQ(inbox.doubled(), 0U);
    expect_exactly(inbox.of(kGateway, spill.newest_journal(), "one"), "one", 0, 400);
  }
}

/// Cuts the connection after every possible number of steps, with commits prompt or held back, and
/// goes on with new ones.
template <typename MakeInbox, typename Check>
void cut_everywhere(std::uint64_t stride, MakeInbox make_inbox, Check check) {
  for (const std::size_t held : {0U, 1U, 3U}) {
    for (std::uint64_t cut = 0; cut < 60; cut += stride) {
      auto inbox = make_inbox();
      FakeSpill spill("one");
      BlockSource* sources[] = {&spill};
      for (int session = 0; session < 6; ++session) {
        for (int i = 0; i < 4; ++i) spill.append(3);
        if (session == 2) spill.roll();
        SessionPair pair(options(2048), sources, *inbox);
        pair.hold_commits(held);
        // Batches that wait are lost with the connection, as a killed consumer loses them.
        for (std::uint64_t i = 0; i < cut && pair.step(); ++i) {
        }
      }
      SessionPair last(options(), sources, *inbox);
      ASSERT_TRUE(last.run()) << last.error();
      ASSERT_FALSE(spill.cursor_went_back());
      check(*inbox, spill);
    }
  }
}

TEST(SessionPair, NothingIsLostOrDoubledWhereverTheConnectionIsCut) {
  cut_everywhere(
      1, [] { return std::make_unique<MemoryInbox>(); },
      [](MemoryInbox& inbox, FakeSpill& spill) {
        ASSERT_EQ(inbox.doubled(), 0U);
        expect_exactly(inbox.of(kGateway, spill.newest_journal(), "one"), "one", 0, 72);
      });
}

TEST(SessionPair, NothingIsLostOrDoubledInSqliteEither) {
  const std::string path = ::testing::TempDir() + "/pair-" + std::to_string(::getpid()) + ".db";
  const auto remove = [&] {
    for (const char* tail : {"", "-wal", "-shm"}) std::filesystem::remove(path + tail);
  };
  cut_everywhere(
      5,
      [&] {
        remove();
        auto inbox = consumer::open_sqlite_inbox(path);
        EXPECT_TRUE(inbox);
        return std::move(*inbox);
      },
      [&](consumer::Inbox&, FakeSpill&) {
        sqlite3* database = nullptr;
        ASSERT_EQ(sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READONLY, nullptr),
                  SQLITE_OK);
        sqlite3_stmt* statement = nullptr;
        sqlite3_prepare_v2(database,
                           "SELECT record_offset, payload FROM record ORDER BY record_offset", -1,
                           &statement, nullptr);
        std::int64_t offset = 0;
        for (; sqlite3_step(statement) == SQLITE_ROW; ++offset) {
          ASSERT_EQ(sqlite3_column_int64(statement, 0), offset);
          const std::string payload(static_cast<const char*>(sqlite3_column_blob(statement, 1)),
                                    static_cast<std::size_t>(sqlite3_column_bytes(statement, 1)));
          ASSERT_EQ(payload, record_text("one", static_cast<std::uint64_t>(offset)));
        }
        sqlite3_finalize(statement);
        sqlite3_close(database);
        ASSERT_EQ(offset, 72);
      });
  remove();
}

TEST(SessionPair, AFailedCommitEndsTheSessionWithoutAnAckAndTheNextOneRepairs) {
  FakeSpill spill("one");
  for (int i = 0; i < 100; ++i) spill.append(100);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  inbox.fail_next(1);
  SessionPair failing(options(), sources, inbox);
  failing.hold_commits(2);
  EXPECT_FALSE(failing.run());
  // The batches behind the failed one do not fit any more: nothing of them may be applied.
  EXPECT_TRUE(inbox.of(kGateway, spill.newest_journal(), "one").rows.empty());
  EXPECT_EQ(spill.cursor()->next_offset, 0U);
  EXPECT_EQ(failing.uplink().pause(), Pause::kBackoff);
  MemoryInbox fresh;
  SessionPair next(options(), sources, fresh);
  ASSERT_TRUE(next.run()) << next.error();
  expect_exactly(fresh.of(kGateway, spill.newest_journal(), "one"), "one", 0, 10'000);
}

TEST(SessionPair, AGapIsReportedWithItsReasonAndTheRestArrives) {
  FakeSpill spill("one");
  for (int i = 0; i < 10; ++i) spill.append(10);
  spill.punch(30, 50, format::GapReason::quota);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  SessionPair pair(options(), sources, inbox);
  ASSERT_TRUE(pair.run()) << pair.error();
  const auto& contents = inbox.of(kGateway, spill.newest_journal(), "one");
  EXPECT_EQ(contents.next_offset, 100U);
  EXPECT_EQ(contents.rows.size(), 80U);
  std::uint64_t missing = 0;
  for (const auto& gap : contents.gaps) {
    EXPECT_EQ(gap.reason, static_cast<std::uint8_t>(format::GapReason::quota));
    missing += gap.next_offset - gap.first_offset;
  }
  EXPECT_EQ(missing, 20U);
}

TEST(SessionPair, WhatWasFreedBeforeTheFirstContactBecomesAGap) {
  FakeSpill spill("one");
  spill.append(10);
  spill.roll();
  spill.append(10);
  spill.free_below(10);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  SessionPair pair(options(), sources, inbox);
  ASSERT_TRUE(pair.run()) << pair.error();
  const auto& contents = inbox.of(kGateway, spill.newest_journal(), "one");
  ASSERT_EQ(contents.gaps.size(), 1U);
  EXPECT_EQ(contents.gaps[0].first_offset, 0U);
  EXPECT_EQ(contents.gaps[0].next_offset, 10U);
  EXPECT_EQ(contents.rows.size(), 10U);
  EXPECT_EQ(contents.rows.begin()->first, 10U);
}

TEST(SessionPair, ANewJournalUnderOldOffsetsIsNeverTakenForDoubles) {
  FakeSpill spill("one");
  spill.append(100);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  {
    SessionPair pair(options(), sources, inbox);
    ASSERT_TRUE(pair.run());
  }
  const core::Uuid old_journal = spill.newest_journal();
  // The last block was process-safe and shipped, then the power failed. (The whole block goes: 0
  // records are left.)
  spill.new_journal_at(0);
  spill.append(60);
  SessionPair pair(options(), sources, inbox);
  ASSERT_TRUE(pair.run()) << pair.error();
  expect_exactly(inbox.of(kGateway, old_journal, "one"), "one", 0, 100);
  expect_exactly(inbox.of(kGateway, spill.newest_journal(), "one"), "one", 0, 60);
  EXPECT_EQ(spill.cursor()->journal, spill.newest_journal());
}

TEST(SessionPair, TwoJournalsOfOneBacklogGoInOneSession) {
  FakeSpill spill("one");
  spill.append(40);
  spill.new_journal_at(40);
  spill.append(40);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  const auto first = spill.journals()->front().journal;
  SessionPair pair(options(), sources, inbox);
  ASSERT_TRUE(pair.run()) << pair.error();
  expect_exactly(inbox.of(kGateway, first, "one"), "one", 0, 40);
  expect_exactly(inbox.of(kGateway, spill.newest_journal(), "one"), "one", 40, 80);
}

TEST(SessionPair, AnAckOfAnOlderJournalLeavesTheNewerOnesMessagesOnTheirWay) {
  FakeSpill spill("one");
  spill.append(40);
  spill.new_journal_at(40);
  for (int i = 0; i < 100; ++i) spill.append(200);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  SessionPair pair(options(), sources, inbox);
  pair.hold_commits(1000);  // all are on their way before the first is acknowledged
  ASSERT_TRUE(pair.run()) << pair.error();
  EXPECT_EQ(spill.cursor()->next_offset, 20'040U);
  EXPECT_EQ(pair.uplink().in_flight_bytes(), 0U);
}

TEST(SessionPair, AJournalThatBeginsDuringASessionStartsANewOneAtOnce) {
  FakeSpill spill("one");
  spill.append(40);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  SessionPair pair(options(), sources, inbox);
  ASSERT_TRUE(pair.run());
  spill.new_journal_at(40);
  spill.append(10);
  EXPECT_FALSE(pair.run());
  EXPECT_EQ(pair.uplink().pause(), Pause::kNone);
  SessionPair next(options(), sources, inbox);
  ASSERT_TRUE(next.run()) << next.error();
  expect_exactly(inbox.of(kGateway, spill.newest_journal(), "one"), "one", 40, 50);
}

TEST(SessionPair, TheWindowIsRespectedAndFilled) {
  FakeSpill spill("one");
  for (int i = 0; i < 300; ++i) spill.append(200);
  MemoryInbox inbox;
  BlockSource* sources[] = {&spill};
  constexpr std::uint64_t kWindow = 1 << 20;
  SessionPair pair(options(8ULL << 20), sources, inbox, kWindow);
  pair.hold_commits(1000);
  ASSERT_TRUE(pair.run()) << pair.error();
  EXPECT_LE(pair.in_flight_max(), kWindow);
  EXPECT_GT(pair.in_flight_max(), kWindow / 2);  // pipelined, not one by one
  expect_exactly(inbox.of(kGateway, spill.newest_journal(), "one"), "one", 0, 60'000);
}

TEST(SessionPair, ABacklogInOneStreamDoesNotStarveAnother) {
  FakeSpill backlog("backlog", 1);
  FakeSpill live("live", 2);
  for (int i = 0; i < 300; ++i) backlog.append(200);
  live.append(1);
  MemoryInbox inbox;
  BlockSource* sources[] = {&backlog, &live};
  SessionPair pair(options(), sources, inbox);
  // Steps: Hello, Welcome, then at most one message of the backlog before the live one, each with
  // its delivery.
  for (int i = 0; i < 12; ++i) pair.step();
  EXPECT_EQ(inbox.of(kGateway, live.newest_journal(), "live").rows.size(), 1U);
}

}  // namespace
}  // namespace spillway::uplink::test
