#include "edge-agent/ingest/capture/postgres/publication.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace spillway::agent::capture {

using core::ErrorCode;
using core::Result;

namespace {

struct TableFacts {
  std::string identity;
  bool has_key = false;
  std::string
      entry;  // its number in the publication, which another publishing changes; empty: none
  bool narrowed = false;  // only some rows or columns are published
};

Result<TableFacts> find_table(PgConnection& connection, const core::CaptureConfig& capture,
                              const std::string& table) {
  const TableName name = split_table(table);
  SPILLWAY_TRY(
      rows,
      connection.run(
          "SELECT c.relreplident, EXISTS(SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND "
          "i.indisprimary), coalesce(r.oid::text, ''), coalesce(r.prqual IS NOT NULL OR r.prattrs "
          "IS NOT NULL, false), c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = "
          "c.relnamespace LEFT JOIN (pg_publication_rel r JOIN pg_publication p ON p.oid = "
          "r.prpubid AND p.pubname = " +
          connection.literal(slot_name(capture)) +
          ") ON r.prrelid = c.oid WHERE c.relkind IN ('r', 'p') AND n.nspname = " +
          connection.literal(name.schema) + " AND c.relname = " + connection.literal(name.table)));
  if (PQntuples(rows.get()) == 0) {
    return core::fail(ErrorCode::kNotFound, "the database has no table " + table);
  }
  if (PQgetvalue(rows.get(), 0, 4)[0] == 'p') {
    return core::fail(ErrorCode::kInvalidArgument,
                      "table " + table +
                          " is partitioned: its partitions publish their changes under their own "
                          "names; name them in `tables`");
  }
  return TableFacts{PQgetvalue(rows.get(), 0, 0), PQgetvalue(rows.get(), 0, 1)[0] == 't',
                    PQgetvalue(rows.get(), 0, 2), PQgetvalue(rows.get(), 0, 3)[0] == 't'};
}

}  // namespace

std::string slot_name(const core::CaptureConfig& capture) {
  std::string name = "spillway_" + capture.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

Result<std::vector<std::string>> publication_sql(PgConnection& connection,
                                                 const core::CaptureConfig& capture) {
  std::vector<std::string> statements;
  std::string tables;
  bool all_published = true;
  for (const std::string& table : capture.tables) {
    SPILLWAY_TRY(facts, find_table(connection, capture, table));
    all_published = all_published && !facts.entry.empty() && !facts.narrowed;
    const std::string quoted = connection.quoted_table(table);
    // Tables that inherit from it are tables of their own.
    tables += (tables.empty() ? "ONLY " : ", ONLY ") + quoted;
    if (capture.full_old_values && facts.identity != "f") {
      statements.push_back("ALTER TABLE " + quoted + " REPLICA IDENTITY FULL");
    }
    if (!capture.full_old_values && !facts.has_key && facts.identity == "d") {
      return core::fail(ErrorCode::kInvalidArgument,
                        "table " + table +
                            " has no primary key: published without a replica "
                            "identity, its updates would fail; set old_values = \"full\"");
    }
  }
  const std::string name = connection.quoted(slot_name(capture));
  SPILLWAY_TRY(there, connection.run("SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate "
                                     "FROM pg_publication WHERE pubname = " +
                                     connection.literal(slot_name(capture))));
  if (PQntuples(there.get()) == 0) {
    statements.push_back("CREATE PUBLICATION " + name + " FOR TABLE " + tables);
    return statements;
  }
  if (!all_published) {
    statements.push_back("ALTER PUBLICATION " + name + " SET TABLE " + tables);
  }
  if (PQgetvalue(there.get(), 0, 0)[0] != 't') {
    statements.push_back("ALTER PUBLICATION " + name +
                         " SET (publish = 'insert, update, delete, truncate')");
  }
  return statements;
}

Result<std::string> publication_entries(PgConnection& connection,
                                        const core::CaptureConfig& capture) {
  std::string entries;
  for (const std::string& table : capture.tables) {
    SPILLWAY_TRY(facts, find_table(connection, capture, table));
    entries += table + "=" + facts.entry + ";";
  }
  return entries;
}

Result<std::optional<SlotFacts>> find_slot(PgConnection& connection,
                                           const core::CaptureConfig& capture) {
  SPILLWAY_TRY(rows, connection.run("SELECT confirmed_flush_lsn, coalesce(wal_status, ''), active "
                                    "FROM pg_replication_slots WHERE slot_name = " +
                                    connection.literal(slot_name(capture))));
  if (PQntuples(rows.get()) == 0) return std::optional<SlotFacts>{};
  return std::optional<SlotFacts>({parse_lsn(PQgetvalue(rows.get(), 0, 0)),
                                   PQgetvalue(rows.get(), 0, 1),
                                   PQgetvalue(rows.get(), 0, 2)[0] == 't'});
}

Result<void> drop_slot(PgConnection& connection, const core::CaptureConfig& capture) {
  constexpr int kTriesMax = 50;
  constexpr std::chrono::milliseconds kPause{100};
  for (int tries = 0;; ++tries) {
    SPILLWAY_TRY(slot, find_slot(connection, capture));
    if (!slot) return {};
    auto dropped = connection.run("SELECT pg_drop_replication_slot(" +
                                  connection.literal(slot_name(capture)) + ")");
    if (dropped) return {};
    // The server takes a moment to see that a killed capture's connection is gone.
    if (tries == kTriesMax || dropped.error().code != ErrorCode::kBusy) {
      return tl::unexpected(std::move(dropped).error());
    }
    std::this_thread::sleep_for(kPause);
  }
}

Result<std::set<std::string>> row_key(PgConnection& connection, std::uint32_t oid) {
  SPILLWAY_TRY(rows, connection.run("SELECT a.attname FROM pg_index i JOIN pg_class c ON c.oid = "
                                    "i.indrelid JOIN pg_attribute a ON a.attrelid = i.indrelid AND "
                                    "a.attnum = ANY(i.indkey) WHERE CASE WHEN c.relreplident = 'i' "
                                    "THEN i.indisreplident ELSE i.indisprimary END AND "
                                    "i.indrelid = " +
                                    std::to_string(oid)));
  std::set<std::string> names;
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    names.insert(PQgetvalue(rows.get(), row, 0));
  return names;
}

}  // namespace spillway::agent::capture
