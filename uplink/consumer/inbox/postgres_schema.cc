#include "uplink/consumer/inbox/postgres_schema.h"

#include "uplink/consumer/inbox/sqlite_inbox.h"

namespace spillway::consumer {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

/// Whoever makes or changes the tables holds it, so that two consumers do not do so at once.
constexpr const char* kLockSql = "SELECT pg_advisory_xact_lock(7236833700158)";

/// The same tables as in SQLite (sqlite_inbox.h), whose version 6 this is. The partial indexes hold
/// what has no time yet, and the dead, and cost the rest nothing.
constexpr const char* kVersion6Sql = R"(
CREATE TABLE spillway_inbox(version BIGINT NOT NULL);
CREATE TABLE record(
  gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL, record_offset BIGINT NOT NULL,
  topic TEXT NOT NULL, produced_at_ns BIGINT, received_at_ns BIGINT NOT NULL, payload BYTEA NOT NULL,
  schema_fingerprint TEXT, boot_id TEXT, boottime_ns BIGINT, state TEXT NOT NULL DEFAULT 'received',
  reason TEXT, record_bytes BIGINT, PRIMARY KEY(gateway, journal, stream, record_offset));
CREATE INDEX record_without_time ON record(gateway, boot_id) WHERE boot_id IS NOT NULL;
CREATE INDEX record_dead ON record(gateway, stream) WHERE state = 'dead';
CREATE TABLE position(
  gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL, next_offset BIGINT NOT NULL,
  last_record BIGINT NOT NULL DEFAULT 0, beyond BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY(gateway, journal, stream)) WITH (fillfactor = 50);
CREATE TABLE gap(
  gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL, first_offset BIGINT NOT NULL,
  next_offset BIGINT NOT NULL, reason TEXT NOT NULL, reported_at_ns BIGINT NOT NULL,
  PRIMARY KEY(gateway, journal, stream, first_offset));
CREATE TABLE lane(
  gateway TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL, lane_id TEXT NOT NULL,
  topic TEXT NOT NULL, producer TEXT NOT NULL, boot_id TEXT NOT NULL, lane_end BIGINT NOT NULL,
  rejected BIGINT NOT NULL, closed BIGINT NOT NULL, records BIGINT NOT NULL, schema_fingerprint TEXT,
  produced_at_ns BIGINT, boottime_ns BIGINT,
  PRIMARY KEY(gateway, journal, stream, lane_id)) WITH (fillfactor = 50);
CREATE INDEX lane_without_time ON lane(gateway, boot_id) WHERE boottime_ns IS NOT NULL;
CREATE TABLE schema(fingerprint TEXT PRIMARY KEY NOT NULL, bfbs BYTEA NOT NULL);
CREATE TABLE boot(
  gateway TEXT NOT NULL, boot_id TEXT NOT NULL, boottime_ns BIGINT NOT NULL, utc_ns BIGINT NOT NULL,
  PRIMARY KEY(gateway, boot_id));
CREATE TABLE source_position(
  source TEXT NOT NULL, partition TEXT NOT NULL, position BIGINT NOT NULL,
  PRIMARY KEY(source, partition));
CREATE TABLE gateway(
  gateway TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL, name TEXT NOT NULL DEFAULT '', given_name TEXT,
  first_seen_ns BIGINT, last_seen_ns BIGINT, address TEXT NOT NULL DEFAULT '',
  certificate TEXT NOT NULL DEFAULT '', uplinks TEXT NOT NULL DEFAULT '',
  sessions BIGINT NOT NULL DEFAULT 0, connected BIGINT NOT NULL DEFAULT 0,
  conflicts BIGINT NOT NULL DEFAULT 0, turned_away BIGINT NOT NULL DEFAULT 0);
CREATE TABLE gateway_change(id BIGINT PRIMARY KEY CHECK(id = 1), generation BIGINT NOT NULL);
INSERT INTO gateway_change VALUES(1, 0);
INSERT INTO spillway_inbox VALUES(6);
)";

// Locked in one order, so that two consumers never wait for each other in a ring.
constexpr const char* kPositionsSql =
    "SELECT p.gateway, p.journal, p.stream, p.next_offset, p.last_record, p.beyond "
    "FROM position p JOIN unnest($1::text[], $2::text[], $3::text[]) AS k(gateway, journal, "
    "stream) "
    "USING (gateway, journal, stream) ORDER BY 1, 2, 3 FOR UPDATE OF p";
// What another consumer began meanwhile is not among the answers.
constexpr const char* kBeginPositionsSql =
    "INSERT INTO position(gateway, journal, stream, next_offset) "
    "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) ORDER BY 1, 2, 3 "
    "ON CONFLICT DO NOTHING RETURNING gateway, journal, stream";
constexpr const char* kLaneTimesSql =
    "SELECT l.gateway, l.journal, l.stream, l.lane_id, l.produced_at_ns FROM lane l "
    "JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) "
    "AS k(gateway, journal, stream, lane_id) USING (gateway, journal, stream, lane_id) "
    "WHERE l.produced_at_ns IS NOT NULL";
constexpr const char* kBootsSql =
    "SELECT b.gateway, b.boot_id, b.boottime_ns, b.utc_ns FROM boot b "
    "JOIN unnest($1::text[], $2::text[]) AS k(gateway, boot_id) USING (gateway, boot_id)";
// Topic, schema and boot by the index of the record's lane. Which rows are new is told only where not all
// are.
constexpr const char* kInsertSql =
    "WITH fresh AS (INSERT INTO record(gateway, journal, stream, record_offset, topic, "
    "produced_at_ns, received_at_ns, payload, schema_fingerprint, boot_id, boottime_ns) "
    "SELECT $1::text, $2::text, $3::text, r.record_offset, ($4::text[])[r.lane], r.produced_at_ns, "
    "$5::bigint, "
    "r.payload, ($6::text[])[r.lane], "
    "CASE WHEN r.produced_at_ns IS NULL THEN ($7::text[])[r.lane] END, r.boottime_ns "
    "FROM unnest($8::bigint[], $9::int[], $10::bigint[], $11::bigint[], $12::bytea[]) "
    "AS r(record_offset, lane, produced_at_ns, boottime_ns, payload) "
    "ON CONFLICT DO NOTHING RETURNING record_offset) "
    "SELECT count(*), CASE WHEN count(*) < $13::bigint THEN string_agg(record_offset::text, ',') "
    "END "
    "FROM fresh";
constexpr const char* kMarkDeadSql =
    "UPDATE record r SET state = 'dead', reason = d.reason, record_bytes = d.record_bytes "
    "FROM unnest($4::bigint[], $5::text[], $6::bigint[]) "
    "AS d(record_offset, reason, record_bytes) WHERE r.gateway = $1 AND r.journal = $2 "
    "AND r.stream = $3 AND r.record_offset = d.record_offset";
constexpr const char* kKeepGapSql =
    "INSERT INTO gap AS g(gateway, journal, stream, first_offset, next_offset, reason, "
    "reported_at_ns) "
    "VALUES($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (gateway, journal, stream, first_offset) "
    "DO UPDATE SET next_offset = greatest(g.next_offset, excluded.next_offset)";
constexpr const char* kUpsertLaneSql =
    "INSERT INTO lane AS l(gateway, journal, stream, lane_id, topic, producer, boot_id, lane_end, "
    "rejected, closed, records, schema_fingerprint, produced_at_ns, boottime_ns) "
    "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
    "ON CONFLICT (gateway, journal, stream, lane_id) DO UPDATE SET "
    "lane_end = greatest(l.lane_end, excluded.lane_end), "
    "rejected = greatest(l.rejected, excluded.rejected), "
    "closed = greatest(l.closed, excluded.closed), records = l.records + excluded.records, "
    "schema_fingerprint = excluded.schema_fingerprint, "
    "produced_at_ns = greatest(l.produced_at_ns, excluded.produced_at_ns), "
    "boottime_ns = greatest(l.boottime_ns, excluded.boottime_ns)";
constexpr const char* kInsertBootSql =
    "INSERT INTO boot(gateway, boot_id, boottime_ns, utc_ns) SELECT $1, $2, $3::bigint, $4::bigint "
    "WHERE (SELECT count(*) FROM boot WHERE gateway = $1) < $5::bigint ON CONFLICT DO NOTHING";
constexpr const char* kCorrectRecordsSql =
    "UPDATE record SET produced_at_ns = greatest(0, $4::bigint + boottime_ns - $3::bigint), "
    "boot_id = NULL, boottime_ns = NULL WHERE gateway = $1 AND boot_id = $2";
constexpr const char* kCorrectLanesSql =
    "UPDATE lane SET produced_at_ns = greatest(produced_at_ns, $4::bigint + boottime_ns - "
    "$3::bigint), "
    "boottime_ns = NULL WHERE gateway = $1 AND boot_id = $2 AND boottime_ns IS NOT NULL";
constexpr const char* kInsertSchemaSql =
    "INSERT INTO schema(fingerprint, bfbs) SELECT $1, $2::bytea "
    "WHERE (SELECT count(*) FROM schema) < $3::bigint ON CONFLICT DO NOTHING";
constexpr const char* kSetPositionSql =
    "UPDATE position SET next_offset = $4, last_record = $5, beyond = $6 "
    "WHERE gateway = $1 AND journal = $2 AND stream = $3";
constexpr const char* kSetMarkSql =
    "INSERT INTO source_position(source, partition, position) VALUES($1, $2, $3) "
    "ON CONFLICT (source, partition) DO UPDATE SET position = excluded.position";

struct Named {
  const char* name;
  const char* sql;
};
constexpr Named kStatements[] = {
    {"begin", "BEGIN"},
    {"commit", "COMMIT"},
    {"positions", kPositionsSql},
    {"begin_positions", kBeginPositionsSql},
    {"lane_times", kLaneTimesSql},
    {"boots", kBootsSql},
    {"insert", kInsertSql},
    {"mark_dead", kMarkDeadSql},
    {"keep_gap", kKeepGapSql},
    {"upsert_lane", kUpsertLaneSql},
    {"insert_boot", kInsertBootSql},
    {"correct_records", kCorrectRecordsSql},
    {"correct_lanes", kCorrectLanesSql},
    {"insert_schema", kInsertSchemaSql},
    {"set_position", kSetPositionSql},
    {"set_mark", kSetMarkSql},
};

Result<std::uint64_t> read_version(PgConnection& connection) {
  SPILLWAY_TRY(there, connection.query("SELECT to_regclass('spillway_inbox') IS NOT NULL"));
  if (there.text(0, 0) != "t") return std::uint64_t{0};
  SPILLWAY_TRY(version, connection.query("SELECT max(version) FROM spillway_inbox"));
  return version.number(0, 0);
}

Result<void> check_newer(std::uint64_t version) {
  if (version <= static_cast<std::uint64_t>(kInboxVersion)) return {};
  return fail(ErrorCode::kNewerVersion,
              "the inbox's tables have version " + std::to_string(version) +
                  ", this consumer knows up to " + std::to_string(kInboxVersion) +
                  ": update the consumer; nothing was changed");
}

Result<void> check_encoding(PgConnection& connection) {
  SPILLWAY_TRY(encoding, connection.query("SHOW server_encoding"));
  if (encoding.text(0, 0) == "UTF8") return {};
  return fail(ErrorCode::kInvalidArgument,
              "the inbox's database has the encoding " + std::string(encoding.text(0, 0)) +
                  ": topics need one with UTF8 (CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE "
                  "template0)");
}

/// Under the lock: another consumer may have been first.
Result<void> make_tables(PgConnection& connection) {
  SPILLWAY_CHECKED(connection.execute("BEGIN"));
  SPILLWAY_CHECKED(connection.execute(kLockSql));
  SPILLWAY_TRY(version, read_version(connection));
  SPILLWAY_CHECKED(check_newer(version));
  if (version == 0) {
    SPILLWAY_TRY(theirs, connection.query("SELECT to_regclass('record') IS NOT NULL OR "
                                          "to_regclass('position') IS NOT NULL"));
    if (theirs.text(0, 0) == "t") {
      return fail(
          ErrorCode::kInvalidArgument,
          "the inbox's database holds tables of something else under the same names: give the "
          "inbox a database of its own, or a schema of its own by ?options=-csearch_path%3D...; "
          "nothing was changed");
    }
    SPILLWAY_CHECKED(connection.execute(kVersion6Sql));
  }
  return connection.execute("COMMIT");
}

}  // namespace

Result<PgConnection> open_postgres_database(const PostgresAddress& address) {
  SPILLWAY_TRY(connection, PgConnection::open(address));
  SPILLWAY_CHECKED(check_encoding(connection));
  SPILLWAY_TRY(version, read_version(connection));
  if (version != static_cast<std::uint64_t>(kInboxVersion)) {
    SPILLWAY_CHECKED(check_newer(version));
    auto made = make_tables(connection);
    if (!made) return tl::unexpected(std::move(made).error());
  }
  // A commit that was reported as done survives power loss, whatever the role's own setting is.
  SPILLWAY_CHECKED(
      connection.execute("SELECT set_config('synchronous_commit', 'on', false) "
                         "WHERE current_setting('synchronous_commit') IN ('off', 'local')"));
  return std::move(connection);
}

Result<PgConnection> open_existing_postgres_database(const PostgresAddress& address) {
  SPILLWAY_TRY(connection, PgConnection::open(address));
  SPILLWAY_TRY(version, read_version(connection));
  SPILLWAY_CHECKED(check_newer(version));
  if (version == static_cast<std::uint64_t>(kInboxVersion)) return std::move(connection);
  return fail(ErrorCode::kInvalidArgument,
              "the inbox's tables are not there, or of an older version: start the consumer once");
}

Result<void> prepare_inbox_statements(PgConnection& connection) {
  for (const Named& statement : kStatements) {
    SPILLWAY_CHECKED(connection.prepare(statement.name, statement.sql));
  }
  return {};
}

}  // namespace spillway::consumer
