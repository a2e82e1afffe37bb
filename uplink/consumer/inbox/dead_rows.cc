#include "uplink/consumer/inbox/dead_rows.h"

#include "spillway/core/topic.h"
#include "uplink/consumer/inbox/sqlite_schema.h"

namespace spillway::consumer {

using core::Result;

namespace {

constexpr const char* kListSql =
    "SELECT gateway, journal, stream, record_offset, topic, ifnull(reason, ''), produced_at_ns, "
    "received_at_ns, ifnull(record_bytes, length(payload)), length(payload), "
    "ifnull(schema_fingerprint, '') FROM record "
    "WHERE state = 'dead' AND (?1 = '' OR gateway = ?1) AND (?2 = '' OR stream = ?2) "
    "AND (?3 = '' OR (journal = ?3 AND record_offset = ?4)) "
    "ORDER BY gateway, stream, journal, record_offset";
constexpr const char* kPayloadSql =
    "SELECT payload FROM record WHERE gateway = ?1 AND journal = ?2 AND stream = ?3 "
    "AND record_offset = ?4 AND state = 'dead'";
// The state once more: another command may have been faster.
constexpr const char* kRequeueSql =
    "UPDATE record SET state = 'received', reason = NULL WHERE gateway = ?1 AND journal = ?2 "
    "AND stream = ?3 AND record_offset = ?4 AND state = 'dead' AND record_bytes IS NULL";
// At or above the next offset the row itself says that the record has come.
constexpr const char* kDropSql =
    "DELETE FROM record WHERE gateway = ?1 AND journal = ?2 AND stream = ?3 "
    "AND record_offset = ?4 AND state = 'dead' AND record_offset < (SELECT next_offset "
    "FROM position WHERE gateway = ?1 AND journal = ?2 AND stream = ?3)";

void bind_name(Statement& statement, const RecordName& name) {
  statement.bind(1, std::string_view(name.gateway));
  statement.bind(2, std::string_view(name.journal));
  statement.bind(3, std::string_view(name.stream));
  statement.bind(4, name.offset);
}

DeadRow row_of(const Statement& row) {
  DeadRow dead;
  dead.name = {row.text(0), row.text(1), row.text(2), row.column(3)};
  dead.topic = row.text(4);
  dead.reason = row.text(5);
  if (!row.is_null(6)) dead.produced_at_ns = row.column(6);
  dead.received_at_ns = row.column(7);
  dead.record_bytes = row.column(8);
  dead.kept_bytes = row.column(9);
  dead.schema_fingerprint = row.text(10);
  return dead;
}

}  // namespace

Result<DeadRows> DeadRows::open(const std::string& path) {
  SPILLWAY_TRY(database, open_existing_inbox_database(path));
  return DeadRows(std::move(database));
}

Result<std::vector<DeadRow>> DeadRows::list(const DeadFilter& filter, std::size_t limit) {
  SPILLWAY_TRY(select, Statement::prepare(database_.get(), kListSql));
  const RecordName any;
  const RecordName& name = filter.name ? *filter.name : any;
  select.bind(1, std::string_view(filter.name ? name.gateway : filter.gateway));
  select.bind(2, std::string_view(filter.name ? name.stream : filter.stream));
  select.bind(3, std::string_view(name.journal));
  select.bind(4, name.offset);
  std::vector<DeadRow> rows;
  while (rows.size() < limit) {
    SPILLWAY_TRY(found, select.step());
    if (!found) break;
    if (!filter.topic.empty() && !core::topic_matches(filter.topic, select.text(4))) continue;
    rows.push_back(row_of(select));
  }
  return rows;
}

Result<std::vector<std::byte>> DeadRows::payload(const RecordName& name) {
  SPILLWAY_TRY(select, Statement::prepare(database_.get(), kPayloadSql));
  bind_name(select, name);
  SPILLWAY_TRY(found, select.step());
  if (!found) {
    return core::fail(core::ErrorCode::kNotFound, "there is no dead record " + name.text());
  }
  return select.blob(0);
}

Result<std::uint64_t> DeadRows::change(std::span<const DeadRow> rows, Change what) {
  const auto before = static_cast<std::uint64_t>(sqlite3_total_changes64(database_.get()));
  SPILLWAY_CHECKED(execute(database_.get(), "BEGIN IMMEDIATE", "cannot change the inbox now"));
  auto changed = change_some(rows, what == Change::kRequeue ? kRequeueSql : kDropSql);
  if (changed) changed = execute(database_.get(), "COMMIT", "cannot change the inbox");
  if (!changed) {
    sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    return tl::unexpected(std::move(changed).error());
  }
  return static_cast<std::uint64_t>(sqlite3_total_changes64(database_.get())) - before;
}

Result<void> DeadRows::change_some(std::span<const DeadRow> rows, const char* sql) {
  SPILLWAY_TRY(statement, Statement::prepare(database_.get(), sql));
  for (const DeadRow& row : rows) {
    bind_name(statement, row.name);
    SPILLWAY_CHECKED(statement.run());
  }
  return {};
}

}  // namespace spillway::consumer
