#include "uplink/consumer/inbox/sqlite_schema.h"

#include "uplink/consumer/inbox/sqlite_inbox.h"

namespace spillway::consumer {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

constexpr int kBusyTimeoutMs = 2000;
/// A command that a person waits for, beside a consumer that writes all the time.
constexpr int kToolBusyTimeoutMs = 20'000;

constexpr const char* kVersion1Sql = R"(
CREATE TABLE record(
  gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL, record_offset INTEGER NOT NULL,
  topic TEXT NOT NULL, produced_at_ns INTEGER, received_at_ns INTEGER NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY(gateway, journal, stream, record_offset)) WITHOUT ROWID;
CREATE TABLE position(
  gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL, next_offset INTEGER NOT NULL,
  PRIMARY KEY(gateway, journal, stream)) WITHOUT ROWID;
CREATE TABLE gap(
  gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL, first_offset INTEGER NOT NULL,
  next_offset INTEGER NOT NULL, reason TEXT NOT NULL, reported_at_ns INTEGER NOT NULL,
  PRIMARY KEY(gateway, journal, stream, first_offset)) WITHOUT ROWID;
CREATE TABLE lane(
  gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL, lane_id TEXT NOT NULL,
  topic TEXT NOT NULL, producer TEXT NOT NULL, boot_id TEXT NOT NULL, lane_end INTEGER NOT NULL,
  rejected INTEGER NOT NULL, closed INTEGER NOT NULL, records INTEGER NOT NULL,
  PRIMARY KEY(gateway, journal, stream, lane_id)) WITHOUT ROWID;
PRAGMA user_version = 1;
)";

/// From version 1, which is how a new file begins, too: so both go the same way.
constexpr const char* kVersion2Sql = R"(
CREATE TABLE schema(fingerprint TEXT PRIMARY KEY NOT NULL, bfbs BLOB NOT NULL) WITHOUT ROWID;
ALTER TABLE record ADD COLUMN schema_fingerprint TEXT;
ALTER TABLE lane ADD COLUMN schema_fingerprint TEXT;
PRAGMA user_version = 2;
)";

/// The partial indexes hold what has no time yet, and cost the rest nothing.
constexpr const char* kVersion3Sql = R"(
ALTER TABLE record ADD COLUMN boot_id TEXT;
ALTER TABLE record ADD COLUMN boottime_ns INTEGER;
CREATE INDEX record_without_time ON record(gateway, boot_id) WHERE boot_id IS NOT NULL;
ALTER TABLE lane ADD COLUMN produced_at_ns INTEGER;
ALTER TABLE lane ADD COLUMN boottime_ns INTEGER;
CREATE INDEX lane_without_time ON lane(gateway, boot_id) WHERE boottime_ns IS NOT NULL;
PRAGMA user_version = 3;
)";

/// What finds a gateway that was set back to an older state; 0: not known yet.
constexpr const char* kVersion4Sql = R"(
ALTER TABLE position ADD COLUMN last_record INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 4;
)";

/// What could not be applied, and who sends. The partial index holds the dead alone, and costs the
/// rest nothing.
constexpr const char* kVersion5Sql = R"(
ALTER TABLE record ADD COLUMN state TEXT NOT NULL DEFAULT 'received';
ALTER TABLE record ADD COLUMN reason TEXT;
ALTER TABLE record ADD COLUMN record_bytes INTEGER;
CREATE INDEX record_dead ON record(gateway, stream) WHERE state = 'dead';
CREATE TABLE gateway(
  gateway TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL, name TEXT NOT NULL DEFAULT '', given_name TEXT,
  first_seen_ns INTEGER, last_seen_ns INTEGER, address TEXT NOT NULL DEFAULT '',
  certificate TEXT NOT NULL DEFAULT '', uplinks TEXT NOT NULL DEFAULT '',
  sessions INTEGER NOT NULL DEFAULT 0, connected INTEGER NOT NULL DEFAULT 0,
  conflicts INTEGER NOT NULL DEFAULT 0, turned_away INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE gateway_change(id INTEGER PRIMARY KEY CHECK(id = 1), generation INTEGER NOT NULL);
INSERT INTO gateway_change VALUES(1, 0);
PRAGMA user_version = 5;
)";

/// What storing out of order needs: the end of what is stored above next_offset, when each boot was, and
/// how far each source has read.
constexpr const char* kVersion6Sql = R"(
ALTER TABLE position ADD COLUMN beyond INTEGER NOT NULL DEFAULT 0;
CREATE TABLE boot(
  gateway TEXT NOT NULL, boot_id TEXT NOT NULL, boottime_ns INTEGER NOT NULL, utc_ns INTEGER NOT NULL,
  PRIMARY KEY(gateway, boot_id)) WITHOUT ROWID;
CREATE TABLE source_position(
  source TEXT NOT NULL, partition TEXT NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY(source, partition)) WITHOUT ROWID;
PRAGMA user_version = 6;
)";

Result<std::uint64_t> read_number(sqlite3* database, const char* sql) {
  SPILLWAY_TRY(statement, Statement::prepare(database, sql));
  SPILLWAY_TRY(found, statement.step());
  return found ? statement.column(0) : 0;
}

Result<void> check_schema(sqlite3* database, const std::string& path) {
  SPILLWAY_TRY(version, read_number(database, "PRAGMA user_version"));
  if (version > kInboxVersion) {
    return fail(ErrorCode::kNewerVersion,
                "inbox " + path + " has schema version " + std::to_string(version) +
                    ", this consumer knows up to " + std::to_string(kInboxVersion) +
                    ": update the consumer; nothing was changed");
  }
  if (version > 0) return {};
  SPILLWAY_TRY(tables, read_number(database, "SELECT count(*) FROM sqlite_master"));
  if (tables != 0) {
    return fail(ErrorCode::kInvalidArgument, "inbox " + path +
                                                 " is a database of something else: name another "
                                                 "file in [consumer] inbox; nothing was changed");
  }
  return {};
}

Result<void> make_tables(sqlite3* database, const std::string& path) {
  const std::string what = "cannot make the tables of inbox " + path;
  SPILLWAY_CHECKED(execute(database, "BEGIN IMMEDIATE", what));
  // Another consumer may have been first: the version that counts is the one under the lock.
  SPILLWAY_TRY(version, read_number(database, "PRAGMA user_version"));
  if (version < 1) SPILLWAY_CHECKED(execute(database, kVersion1Sql, what));
  if (version < 2) SPILLWAY_CHECKED(execute(database, kVersion2Sql, what));
  if (version < 3) SPILLWAY_CHECKED(execute(database, kVersion3Sql, what));
  if (version < 4) SPILLWAY_CHECKED(execute(database, kVersion4Sql, what));
  if (version < 5) SPILLWAY_CHECKED(execute(database, kVersion5Sql, what));
  if (version < 6) SPILLWAY_CHECKED(execute(database, kVersion6Sql, what));
  return execute(database, "COMMIT", what);
}

Result<void> bring_up_to_date(sqlite3* database, const std::string& path) {
  SPILLWAY_TRY(version, read_number(database, "PRAGMA user_version"));
  if (version == kInboxVersion) return {};
  auto made = make_tables(database, path);
  if (!made) sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
  return made;
}

}  // namespace

Result<Database> open_existing_inbox_database(const std::string& path) {
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Database database(raw);
  if (opened != SQLITE_OK) {
    auto error = sqlite_error(raw, "cannot open inbox " + path);
    error.message += "; the consumer makes it at its first start";
    return tl::unexpected(std::move(error));
  }
  sqlite3_busy_timeout(raw, kToolBusyTimeoutMs);
  SPILLWAY_CHECKED(check_schema(raw, path));
  SPILLWAY_TRY(version, read_number(raw, "PRAGMA user_version"));
  if (version != kInboxVersion) {
    return fail(ErrorCode::kInvalidArgument,
                "inbox " + path + " has schema version " + std::to_string(version) + ", not " +
                    std::to_string(kInboxVersion) + ": start the consumer of this version once");
  }
  SPILLWAY_CHECKED(
      execute(raw, "PRAGMA synchronous = FULL", "cannot set synchronous on inbox " + path));
  return database;
}

Result<Database> open_inbox_database(const std::string& path) {
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Database database(raw);
  if (opened != SQLITE_OK) {
    auto error = sqlite_error(raw, "cannot open inbox " + path);
    error.message += "; check that its directory exists and may be written";
    return tl::unexpected(std::move(error));
  }
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  // Looked at before anything is set: a pragma that writes would already change a newer file.
  SPILLWAY_CHECKED(check_schema(raw, path));
  SPILLWAY_CHECKED(execute(raw, "PRAGMA journal_mode = WAL", "cannot set WAL on inbox " + path));
  // What a large statement puts aside would be a file in /tmp, where the consumer's sandbox lets it write none.
  SPILLWAY_CHECKED(
      execute(raw, "PRAGMA temp_store = MEMORY", "cannot set temp_store on inbox " + path));
  SPILLWAY_CHECKED(
      execute(raw, "PRAGMA synchronous = FULL", "cannot set synchronous on inbox " + path));
  SPILLWAY_CHECKED(execute(raw, "PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16000",
                           "cannot set up inbox " + path));
  SPILLWAY_CHECKED(bring_up_to_date(raw, path));
  return database;
}

}  // namespace spillway::consumer
