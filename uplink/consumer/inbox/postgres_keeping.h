// What stands beside the records of an inbox in PostgreSQL, for people and for the consumer: the registry of
// gateways, the dead records, and what takes old ones out. The tables are SQLite's (sqlite_gateways.h,
// dead_rows.h, retention.h).
//
// One thread for each, with a connection of its own.
#pragma once

#include <memory>

#include "uplink/consumer/gateways/gateway_store.h"
#include "uplink/consumer/inbox/dead_store.h"
#include "uplink/consumer/inbox/postgres_connection.h"
#include "uplink/consumer/inbox/retention.h"

namespace spillway::consumer {

[[nodiscard]] std::unique_ptr<GatewayStore> make_postgres_gateways(PgConnection connection);
[[nodiscard]] std::unique_ptr<DeadStore> make_postgres_dead_rows(PgConnection connection);
/// By age alone: what a table holds in bytes PostgreSQL does not tell while it runs.
[[nodiscard]] std::unique_ptr<Pruner> make_postgres_pruner(PgConnection connection,
                                                           std::uint64_t retain_ns);

}  // namespace spillway::consumer
