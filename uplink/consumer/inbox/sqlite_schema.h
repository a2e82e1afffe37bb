// The inbox's schema and statements in SQLite, and the opening of its file.
#pragma once

#include <string>

#include "uplink/consumer/inbox/sqlite_statement.h"

namespace spillway::consumer {

/// Opens the file, sets durability, checks or makes the schema.
[[nodiscard]] core::Result<Database> open_inbox_database(const std::string& path);

/// For tools, while a consumer runs: the file must be there, and of this version.
[[nodiscard]] core::Result<Database> open_existing_inbox_database(const std::string& path);

inline constexpr const char* kReadPositionSql =
    "SELECT next_offset, last_record, beyond FROM position "
    "WHERE gateway = ?1 AND journal = ?2 AND stream = ?3";
inline constexpr const char* kBeginPositionSql =
    "INSERT INTO position(gateway, journal, stream, next_offset, last_record) "
    "VALUES(?1, ?2, ?3, ?4, ?5) "
    "ON CONFLICT DO NOTHING";
// Where rows above it may be in the way, kSetPositionSql moves it.
inline constexpr const char* kMovePositionSql =
    "UPDATE position SET next_offset = ?4, last_record = ?5 WHERE gateway = ?1 AND journal = ?2 "
    "AND stream = ?3 AND next_offset = ?6 AND beyond <= next_offset";
inline constexpr const char* kSetPositionSql =
    "UPDATE position SET next_offset = ?4, beyond = ?5, "
    "last_record = CASE WHEN next_offset = ?4 THEN last_record ELSE ?6 END "
    "WHERE gateway = ?1 AND journal = ?2 AND stream = ?3";
inline constexpr const char* kRowsAheadSql =
    "SELECT record_offset FROM record "
    "WHERE gateway = ?1 AND journal = ?2 AND stream = ?3 AND record_offset >= ?4 "
    "ORDER BY record_offset";
inline constexpr const char* kGapsAheadSql =
    "SELECT first_offset, next_offset FROM gap "
    "WHERE gateway = ?1 AND journal = ?2 AND stream = ?3 AND first_offset >= ?4 "
    "ORDER BY first_offset";
inline constexpr const char* kInsertRecordSql =
    "INSERT INTO record(gateway, journal, stream, record_offset, topic, produced_at_ns, "
    "received_at_ns, payload, schema_fingerprint, boot_id, boottime_ns) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
inline constexpr const char* kInsertUnseenSql =
    "INSERT INTO record(gateway, journal, stream, record_offset, topic, produced_at_ns, "
    "received_at_ns, payload, schema_fingerprint, boot_id, boottime_ns) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";
inline constexpr const char* kMarkDeadSql =
    "UPDATE record SET state = 'dead', reason = ?5, record_bytes = ?6 "
    "WHERE gateway = ?1 AND journal = ?2 AND stream = ?3 AND record_offset = ?4";
inline constexpr const char* kInsertGapSql =
    "INSERT INTO gap(gateway, journal, stream, first_offset, next_offset, reason, reported_at_ns) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
// Told again it may have grown: the gateway dropped more before it could deliver the first word.
inline constexpr const char* kKeepGapSql =
    "INSERT INTO gap(gateway, journal, stream, first_offset, next_offset, reason, reported_at_ns) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) "
    "ON CONFLICT DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)";
// A session repeats declarations, so a later row may tell less than what is known: the highest
// counts.
inline constexpr const char* kUpsertLaneSql =
    "INSERT INTO lane(gateway, journal, stream, lane_id, topic, producer, boot_id, lane_end, "
    "rejected, closed, records, schema_fingerprint, produced_at_ns, boottime_ns) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) "
    "ON CONFLICT DO UPDATE SET lane_end = max(lane_end, excluded.lane_end), "
    "rejected = max(rejected, excluded.rejected), closed = max(closed, excluded.closed), "
    "records = records + excluded.records, schema_fingerprint = excluded.schema_fingerprint, "
    "produced_at_ns = ifnull(max(produced_at_ns, excluded.produced_at_ns), "
    "                        ifnull(produced_at_ns, excluded.produced_at_ns)), "
    "boottime_ns = ifnull(max(boottime_ns, excluded.boottime_ns), "
    "                     ifnull(boottime_ns, excluded.boottime_ns))";
inline constexpr const char* kReadLaneTimeSql =
    "SELECT ifnull(produced_at_ns, 0) FROM lane "
    "WHERE gateway = ?1 AND journal = ?2 AND stream = ?3 AND lane_id = ?4";
// ?2 is the boot, whose clock said ?4 when its BOOTTIME was ?3.
inline constexpr const char* kCorrectRecordsSql =
    "UPDATE record SET produced_at_ns = max(0, ?4 + boottime_ns - ?3), boot_id = NULL, "
    "boottime_ns = NULL WHERE gateway = ?1 AND boot_id = ?2";
inline constexpr const char* kCorrectLanesSql =
    "UPDATE lane SET produced_at_ns = max(ifnull(produced_at_ns, 0), ?4 + boottime_ns - ?3), "
    "boottime_ns = NULL WHERE gateway = ?1 AND boot_id = ?2 AND boottime_ns IS NOT NULL";
// A record may come after the reading of its boot's clock. ?5 is the bound of one gateway's boots.
inline constexpr const char* kInsertBootSql =
    "INSERT INTO boot(gateway, boot_id, boottime_ns, utc_ns) SELECT ?1, ?2, ?3, ?4 "
    "WHERE (SELECT count(*) FROM boot WHERE gateway = ?1) < ?5 ON CONFLICT DO NOTHING";
inline constexpr const char* kReadBootSql =
    "SELECT boottime_ns, utc_ns FROM boot WHERE gateway = ?1 AND boot_id = ?2";
inline constexpr const char* kSetMarkSql =
    "INSERT INTO source_position(source, partition, position) VALUES(?1, ?2, ?3) "
    "ON CONFLICT DO UPDATE SET position = excluded.position";
inline constexpr const char* kReadMarksSql =
    "SELECT partition, position FROM source_position WHERE source = ?1 ORDER BY partition";
// ?3 is the table's bound: what one gateway fills must not grow without end.
inline constexpr const char* kInsertSchemaSql =
    "INSERT INTO schema(fingerprint, bfbs) SELECT ?1, ?2 "
    "WHERE (SELECT count(*) FROM schema) < ?3 ON CONFLICT DO NOTHING";

}  // namespace spillway::consumer
