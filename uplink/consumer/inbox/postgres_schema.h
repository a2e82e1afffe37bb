// The inbox's schema and statements in PostgreSQL.
#pragma once

#include "uplink/consumer/inbox/postgres_connection.h"

namespace spillway::consumer {

/// Connects; makes the tables or brings them up to date. kNewerVersion; kInvalidArgument if the tables are
/// somebody else's, or the database's encoding cannot hold all topics.
[[nodiscard]] core::Result<PgConnection> open_postgres_database(const PostgresAddress& address);
/// For tools: the tables must be there, and of this version.
[[nodiscard]] core::Result<PgConnection> open_existing_postgres_database(
    const PostgresAddress& address);

/// Under these names the statements are prepared.
[[nodiscard]] core::Result<void> prepare_inbox_statements(PgConnection& connection);

}  // namespace spillway::consumer
