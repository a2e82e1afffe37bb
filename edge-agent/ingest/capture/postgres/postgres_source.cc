#include "edge-agent/ingest/capture/postgres/postgres_source.h"

#include "edge-agent/ingest/capture/epoch.h"
#include "edge-agent/ingest/capture/postgres/outbox_source.h"
#include "edge-agent/ingest/capture/postgres/replication_source.h"

namespace spillway::agent::capture {

using core::Result;

namespace {

bool by_outbox(const core::CaptureConfig& capture) {
  return capture.mode == core::CaptureMode::kOutbox;
}

}  // namespace

Result<std::unique_ptr<Source>> make_postgres_source(const core::CaptureConfig& capture) {
  if (by_outbox(capture)) return std::unique_ptr<Source>(std::make_unique<PgOutboxSource>(capture));
  return std::unique_ptr<Source>(std::make_unique<ReplicationSource>(capture));
}

Result<std::vector<std::string>> postgres_set_up_sql(const core::CaptureConfig& capture) {
  SPILLWAY_TRY(connection, PgConnection::open(capture, false));
  if (by_outbox(capture)) return OutboxTables(connection, capture).install_sql(random_epoch());
  return publication_sql(connection, capture);
}

Result<void> set_up_postgres(const core::CaptureConfig& capture) {
  SPILLWAY_TRY(connection, PgConnection::open(capture, false));
  if (by_outbox(capture)) return OutboxTables(connection, capture).install(random_epoch());
  SPILLWAY_TRY(statements, publication_sql(connection, capture));
  for (const std::string& statement : statements) SPILLWAY_CHECKED(connection.run(statement));
  return {};
}

Result<std::vector<std::string>> postgres_take_away_sql(const core::CaptureConfig& capture) {
  SPILLWAY_TRY(connection, PgConnection::open(capture, false));
  if (by_outbox(capture)) return OutboxTables(connection, capture).remove_sql();
  const std::string name = slot_name(capture);
  return std::vector<std::string>{
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = " +
          connection.literal(name),
      "DROP PUBLICATION IF EXISTS " + connection.quoted(name)};
}

Result<void> take_away_postgres(const core::CaptureConfig& capture) {
  SPILLWAY_TRY(connection, PgConnection::open(capture, false));
  if (by_outbox(capture)) {
    for (const std::string& statement : OutboxTables(connection, capture).remove_sql()) {
      SPILLWAY_CHECKED(connection.run(statement));
    }
    return {};
  }
  SPILLWAY_CHECKED(drop_slot(connection, capture));
  SPILLWAY_CHECKED(
      connection.run("DROP PUBLICATION IF EXISTS " + connection.quoted(slot_name(capture))));
  return {};
}

}  // namespace spillway::agent::capture
