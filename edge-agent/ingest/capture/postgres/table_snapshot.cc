#include "edge-agent/ingest/capture/postgres/table_snapshot.h"

#include <algorithm>
#include <cstdlib>

namespace spillway::agent::capture {

using core::Result;

Result<std::unique_ptr<TableSnapshot>> TableSnapshot::begin(PgConnection connection,
                                                            const core::CaptureConfig& capture,
                                                            const std::string& exported,
                                                            std::uint64_t position) {
  std::unique_ptr<TableSnapshot> snapshot(
      new TableSnapshot(std::move(connection), capture, position));
  SPILLWAY_CHECKED(
      snapshot->connection_.run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  SPILLWAY_CHECKED(snapshot->connection_.run("SET TRANSACTION SNAPSHOT " +
                                             snapshot->connection_.literal(exported)));
  return snapshot;
}

void TableSnapshot::add(Batch& batch, Change change) {
  change.key = {position_, number_++, 0};
  change.table = relation_->table;
  change.transaction = position_;
  change.keeper = relation_;
  batch.changes.push_back(std::move(change));
}

/// As replication has them: what is generated is not sent.
Result<std::string> TableSnapshot::columns_of(std::uint32_t oid) {
  SPILLWAY_TRY(rows, connection_.run("SELECT attname FROM pg_attribute WHERE attnum > 0 AND NOT "
                                     "attisdropped AND attgenerated = '' AND attrelid = " +
                                     std::to_string(oid) + " ORDER BY attnum"));
  std::string columns;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    columns += (row == 0 ? "" : ", ") + connection_.quoted(PQgetvalue(rows.get(), row, 0));
  }
  return columns;
}

Result<void> TableSnapshot::begin_table(Batch& batch) {
  const std::string& table = capture_.tables[table_];
  const std::string quoted = connection_.quoted_table(table);
  SPILLWAY_TRY(rows, connection_.run("SELECT " + connection_.literal(quoted) + "::regclass::oid"));
  const auto oid =
      static_cast<std::uint32_t>(std::strtoul(PQgetvalue(rows.get(), 0, 0), nullptr, 10));
  SPILLWAY_TRY(key, row_key(connection_, oid));
  SPILLWAY_TRY(columns, columns_of(oid));
  SPILLWAY_CHECKED(connection_.run("DECLARE spillway_rows NO SCROLL CURSOR FOR SELECT " + columns +
                                   " FROM ONLY " + quoted));
  SPILLWAY_TRY(none, connection_.run("FETCH 0 FROM spillway_rows"));
  auto relation = std::make_shared<Relation>();
  relation->table = table;
  for (int column = 0; column < PQnfields(none.get()); ++column) {
    const std::string name = PQfname(none.get(), column);
    relation->columns.push_back({name, PQftype(none.get(), column), 0, false, key.contains(name)});
  }
  relation_ = std::move(relation);
  open_ = true;
  add(batch, describe_relation(relation_));
  Change begin;
  begin.operation = change::Operation::snapshot_begin;
  add(batch, std::move(begin));
  return {};
}

Result<bool> TableSnapshot::fetch(Batch& batch) {
  if (!open_) SPILLWAY_CHECKED(begin_table(batch));
  const int wanted = rows_wanted_;
  SPILLWAY_TRY(rows, connection_.run("FETCH " + std::to_string(wanted) + " FROM spillway_rows"));
  std::size_t bytes = 0;
  const bool has_key = relation_->has_key();
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    Change change;
    change.operation = change::Operation::snapshot;
    for (int column = 0; column < PQnfields(rows.get()); ++column) {
      const RelationColumn& facts = relation_->columns.at(static_cast<std::size_t>(column));
      Value value;
      value.column = facts.name;
      if (PQgetisnull(rows.get(), row, column) == 0) {
        bytes += static_cast<std::size_t>(PQgetlength(rows.get(), row, column));
        value = value_of_text(facts.name, facts.type,
                              {PQgetvalue(rows.get(), row, column),
                               static_cast<std::size_t>(PQgetlength(rows.get(), row, column))});
      }
      if (facts.key || !has_key) change.key_values.push_back(value);
      change.new_values.push_back(std::move(value));
    }
    add(batch, std::move(change));
  }
  batch.more = true;
  // Rows of a size that nobody knows before: memory is bounded by asking for fewer of large ones.
  rows_wanted_ = bytes > kBatchBytes ? std::max(1, wanted / 4) : std::min(kRowsMax, wanted * 2);
  if (PQntuples(rows.get()) == wanted) return false;
  SPILLWAY_CHECKED(connection_.run("CLOSE spillway_rows"));
  open_ = false;
  Change end;
  end.operation = change::Operation::snapshot_end;
  add(batch, std::move(end));
  const bool last = ++table_ == capture_.tables.size();
  batch.changes.back().transaction_end = last;
  return last;
}

}  // namespace spillway::agent::capture
