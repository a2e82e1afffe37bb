#include "edge-agent/ingest/capture/postgres/outbox_tables.h"

#include <cstdlib>

#include "edge-agent/ingest/capture/epoch.h"
#include "edge-agent/ingest/capture/postgres/publication.h"

namespace spillway::agent::capture {

using core::Result;

OutboxTables::OutboxTables(PgConnection& connection, const core::CaptureConfig& capture)
    : connection_(connection),
      capture_(capture),
      outbox_("public." + connection.quoted(slot_name(capture) + "_outbox")),
      meta_("public." + connection.quoted(slot_name(capture) + "_meta")),
      function_("public." + connection.quoted(slot_name(capture) + "_note")) {}

Result<bool> OutboxTables::is_installed() {
  SPILLWAY_TRY(
      rows, connection_.run("SELECT to_regclass(" + connection_.literal(meta_) + ") IS NOT NULL"));
  return PQgetvalue(rows.get(), 0, 0)[0] == 't';
}

/// Its trigger and, with `note`, its rows; nobody writes into it meanwhile.
void OutboxTables::add_table(std::vector<std::string>& statements, const std::string& table,
                             const std::string& note) const {
  const std::string quoted = connection_.quoted_table(table);
  const std::string name = connection_.literal(table);
  const std::string trigger = connection_.quoted(slot_name(capture_));
  const std::string truncated = connection_.quoted(slot_name(capture_) + "_truncate");
  const std::string run = " EXECUTE FUNCTION " + function_ + "(" + name + ")";
  statements.push_back("LOCK TABLE " + quoted + " IN SHARE ROW EXCLUSIVE MODE");
  statements.push_back("DROP TRIGGER IF EXISTS " + trigger + " ON " + quoted);
  statements.push_back("CREATE TRIGGER " + trigger + " AFTER INSERT OR UPDATE OR DELETE ON " +
                       quoted + " FOR EACH ROW" + run);
  statements.push_back("DROP TRIGGER IF EXISTS " + truncated + " ON " + quoted);
  statements.push_back("CREATE TRIGGER " + truncated + " AFTER TRUNCATE ON " + quoted +
                       " FOR EACH STATEMENT" + run);
  // Also for what comes by a replication into this database.
  const std::string always = "ALTER TABLE " + quoted + " ENABLE ALWAYS TRIGGER ";
  for (const std::string& each : {trigger, truncated}) statements.push_back(always + each);
  if (!capture_.snapshot) return;
  const std::string insert = "INSERT INTO " + outbox_ + "(tbl, op, old, new) ";
  statements.push_back(insert + "VALUES(" + name + ", 5, NULL, to_jsonb(" +
                       connection_.literal(note) + "::text))");
  statements.push_back(insert + "SELECT " + name + ", 4, NULL, to_jsonb(t) FROM ONLY " + quoted +
                       " t");
  statements.push_back(insert + "VALUES(" + name + ", 6, NULL, NULL)");
}

std::vector<std::string> OutboxTables::install_sql(std::uint64_t epoch) const {
  std::vector<std::string> statements{
      "CREATE TABLE " + outbox_ +
          "(seq bigserial PRIMARY KEY, tbl text, op int, xid bigint DEFAULT txid_current(), at "
          "timestamptz DEFAULT clock_timestamp(), old jsonb, new jsonb)",
      "CREATE TABLE " + meta_ + "(key text PRIMARY KEY, value bigint)",
      "INSERT INTO " + meta_ + " VALUES('epoch', " + std::to_string(epoch) + "), ('confirmed', 0)",
      // Rights of who has made it: whoever may write the table writes the outbox.
      "CREATE FUNCTION " + function_ +
          // Values stand there as text, in forms that do not depend on the writer's settings.
          "() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET "
          "bytea_output = hex SET extra_float_digits = 3 SET timezone = 'UTC' SET datestyle = "
          "'ISO, YMD' SET intervalstyle = iso_8601 AS $$ BEGIN INSERT INTO " +
          outbox_ +
          "(tbl, op, old, new) VALUES(TG_ARGV[0], CASE TG_OP WHEN 'INSERT' THEN 0 WHEN 'UPDATE' "
          "THEN "
          "1 WHEN 'DELETE' THEN 2 ELSE 3 END, CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN "
          "to_jsonb(OLD) END, CASE WHEN TG_OP IN ('INSERT', 'UPDATE') THEN to_jsonb(NEW) END); "
          "RETURN NULL; END $$"};
  for (const std::string& table : capture_.tables) add_table(statements, table, "");
  return statements;
}

std::vector<std::string> OutboxTables::remove_sql() const {
  return {"DROP FUNCTION IF EXISTS " + function_ + "() CASCADE", "DROP TABLE IF EXISTS " + outbox_,
          "DROP TABLE IF EXISTS " + meta_};
}

Result<void> OutboxTables::run_all(const std::vector<std::string>& statements) {
  SPILLWAY_CHECKED(connection_.run("BEGIN"));
  for (const std::string& statement : statements) {
    auto ran = connection_.run(statement);
    if (ran) continue;
    static_cast<void>(connection_.run("ROLLBACK"));
    return tl::unexpected(std::move(ran).error());
  }
  SPILLWAY_CHECKED(connection_.run("COMMIT"));
  return {};
}

Result<void> OutboxTables::install(std::uint64_t epoch) {
  SPILLWAY_TRY(installed, is_installed());
  return installed ? Result<void>{} : run_all(install_sql(epoch));
}

Result<void> OutboxTables::begin_epoch(std::uint64_t epoch, const std::string& why) {
  std::vector<std::string> statements{
      "DELETE FROM " + outbox_, "UPDATE " + meta_ + " SET value = CASE key WHEN 'epoch' THEN " +
                                    std::to_string(epoch) + " ELSE 0 END"};
  for (const std::string& table : capture_.tables) add_table(statements, table, why);
  return run_all(statements);
}

Result<std::vector<std::string>> OutboxTables::missing_triggers() {
  std::vector<std::string> missing;
  for (const std::string& table : capture_.tables) {
    SPILLWAY_TRY(
        rows, connection_.run("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'A' AND tgrelid = "
                              "to_regclass(" +
                              connection_.literal(connection_.quoted_table(table)) +
                              ") AND tgname IN (" + connection_.literal(slot_name(capture_)) +
                              ", " + connection_.literal(slot_name(capture_) + "_truncate") + ")"));
    if (std::string(PQgetvalue(rows.get(), 0, 0)) != "2") missing.push_back(table);
  }
  return missing;
}

Result<PgMark> OutboxTables::settle() {
  // Whoever writes holds ROW EXCLUSIVE until the end of its transaction.
  SPILLWAY_CHECKED(connection_.run("BEGIN"));
  SPILLWAY_CHECKED(connection_.run("SET LOCAL lock_timeout = '200ms'"));
  auto locked = connection_.run("LOCK TABLE " + outbox_ + " IN EXCLUSIVE MODE");
  if (!locked) {
    SPILLWAY_CHECKED(connection_.run("ROLLBACK"));
    return tl::unexpected(std::move(locked).error());
  }
  const std::string operation = std::to_string(kPgMarkOperation);
  SPILLWAY_CHECKED(connection_.run("INSERT INTO " + outbox_ + "(op, xid) SELECT " + operation +
                                   ", " + std::to_string(random_epoch()) +
                                   " FROM (SELECT op FROM " + outbox_ +
                                   " ORDER BY seq DESC LIMIT 1) last WHERE op <> " + operation));
  SPILLWAY_TRY(rows, connection_.run("SELECT seq, xid FROM " + outbox_ +
                                     " WHERE op = " + operation + " ORDER BY seq DESC LIMIT 1"));
  SPILLWAY_CHECKED(connection_.run("COMMIT"));
  if (PQntuples(rows.get()) == 0) return PgMark{};
  return PgMark{std::strtoull(PQgetvalue(rows.get(), 0, 0), nullptr, 10),
                std::strtoull(PQgetvalue(rows.get(), 0, 1), nullptr, 10)};
}

Result<bool> OutboxTables::holds(const PgMark& mark) {
  SPILLWAY_TRY(rows, connection_.run("SELECT 1 FROM " + outbox_ +
                                     " WHERE seq = " + std::to_string(mark.number) +
                                     " AND op = " + std::to_string(kPgMarkOperation) +
                                     " AND xid = " + std::to_string(mark.nonce)));
  return PQntuples(rows.get()) != 0;
}

Result<std::uint64_t> OutboxTables::read_meta(const std::string& key) {
  SPILLWAY_TRY(rows, connection_.run("SELECT value FROM " + meta_ +
                                     " WHERE key = " + connection_.literal(key)));
  if (PQntuples(rows.get()) == 0) return 0;
  return std::strtoull(PQgetvalue(rows.get(), 0, 0), nullptr, 10);
}

Result<void> OutboxTables::forget(std::uint64_t confirmed) {
  const std::string number = std::to_string(confirmed);
  return run_all({"DELETE FROM " + outbox_ + " WHERE seq <= " + number,
                  "UPDATE " + meta_ + " SET value = " + number + " WHERE key = 'confirmed'"});
}

}  // namespace spillway::agent::capture
