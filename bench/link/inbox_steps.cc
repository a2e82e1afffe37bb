// The consumer's side: SQLite's own rate, and when a row is there.
#include <sqlite3.h>
#include <time.h>

#include <array>
#include <cstring>
#include <string_view>

#include "bench/harness/cores.h"
#include "bench/harness/histogram.h"
#include "bench/harness/json_line.h"
#include "bench/link/steps.h"
#include "spillway/core/uuid.h"
#include "uplink/consumer/inbox/sqlite_schema.h"

namespace spillway::bench {

namespace {

constexpr std::uint64_t kFirstTimeNs = 1'700'000'000'000'000'000;
constexpr long kLookPauseNs = 100'000;

void check(sqlite3* database, int code, int wanted) {
  if (code != wanted) die(std::string("sqlite: ") + sqlite3_errmsg(database));
}

void run(sqlite3* database, const char* sql) {
  check(database, sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK);
}

sqlite3_stmt* prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  check(database,
        sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr),
        SQLITE_OK);
  return statement;
}

void bind_text(sqlite3_stmt* statement, int index, std::string_view text) {
  sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

void rest() {
  const timespec time{0, kLookPauseNs};
  ::nanosleep(&time, nullptr);
}

}  // namespace

void insert_bare(const LinkStep& step) {
  auto opened = consumer::open_inbox_database(step.database);
  if (!opened) die(opened.error().message);
  sqlite3* database = opened->get();
  sqlite3_stmt* row = prepare(database, consumer::kInsertRecordSql);
  const std::string gateway = core::Uuid::from_random(1, 2).text();
  const std::string journal = core::Uuid::from_random(3, 4).text();
  bind_text(row, 1, gateway);
  bind_text(row, 2, journal);
  bind_text(row, 3, "bench");
  bind_text(row, 5, "bench/lane");
  std::array<std::byte, kLinkRecordBytes> record{};
  const std::uint64_t began = boottime_ns();
  for (std::uint64_t i = 0; i < step.records; ++i) {
    if (i % step.batch == 0) {
      if (i != 0) run(database, "COMMIT");
      run(database, "BEGIN IMMEDIATE");
      sqlite3_bind_int64(row, 7, static_cast<sqlite3_int64>(kFirstTimeNs + i));
    }
    make_link_record(i, record.data());
    sqlite3_bind_int64(row, 4, static_cast<sqlite3_int64>(i));
    sqlite3_bind_int64(row, 6, static_cast<sqlite3_int64>(kFirstTimeNs + i * 300));
    sqlite3_bind_blob(row, 8, record.data(), static_cast<int>(record.size()), SQLITE_STATIC);
    check(database, sqlite3_step(row), SQLITE_DONE);
    sqlite3_reset(row);
  }
  run(database, "COMMIT");
  const double seconds = static_cast<double>(boottime_ns() - began) / 1e9;
  sqlite3_finalize(row);
  JsonLine json;
  json.add("seconds", seconds);
  json.add("records_per_second", static_cast<double>(step.records) / seconds);
  json.print();
}

void watch_inbox(const LinkStep& step) {
  sqlite3* database = nullptr;
  check(nullptr, sqlite3_open_v2(step.database.c_str(), &database, SQLITE_OPEN_READONLY, nullptr),
        SQLITE_OK);
  sqlite3_busy_timeout(database, 2000);
  sqlite3_stmt* version = prepare(database, "PRAGMA data_version");
  sqlite3_stmt* rows = prepare(
      database, "SELECT record_offset, payload FROM record WHERE record_offset > ?1 LIMIT 10000");
  Histogram delays;
  std::int64_t last = -1;
  std::int64_t seen = -1;
  while (delays.total() < step.records) {
    check(database, sqlite3_step(version), SQLITE_ROW);
    const std::int64_t now_seen = sqlite3_column_int64(version, 0);
    sqlite3_reset(version);
    if (now_seen == seen) {
      rest();
      continue;
    }
    seen = now_seen;
    const std::uint64_t now = boottime_ns();
    sqlite3_bind_int64(rows, 1, last);
    while (sqlite3_step(rows) == SQLITE_ROW) {
      last = sqlite3_column_int64(rows, 0);
      std::uint64_t enqueued = 0;
      std::memcpy(&enqueued, sqlite3_column_blob(rows, 1), sizeof enqueued);
      delays.record(now - enqueued);
    }
    sqlite3_reset(rows);
  }
  sqlite3_finalize(version);
  sqlite3_finalize(rows);
  sqlite3_close(database);
  JsonLine json;
  json.add("delay_ns", delays, 1.0);
  json.print();
}

}  // namespace spillway::bench
