// PostgresInbox: the inbox in a PostgreSQL database, by libpq, for several consumers at once. The tables are
// those of SQLite (sqlite_inbox.h), of PostgreSQL's types: TEXT, BIGINT, BYTEA; the version stands in
// spillway_inbox.
//
// One transaction a commit(), in three round trips whatever it holds: positions are read and locked, records
// go in as arrays, the rest and COMMIT follow. synchronous_commit is on (or more, where the server says so).
//
// Invariants, besides the inbox's:
//  1. The lock on a key's position row is what makes one consumer wait for another; they are taken in one
//     order.
//  2. Where the server ends in the middle of a COMMIT, nobody knows whether it holds: the batches get an
//     error, and whoever goes on asks for the position first.
//  3. A server that goes away ends nothing: it is tried again, at most once in kTryEvery, at each call.
#pragma once

#include <memory>

#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/inbox/postgres_connection.h"

namespace spillway::consumer {

/// kUnavailable: the server does not answer; kNewerVersion; kPermission; kInvalidArgument if the tables are
/// somebody else's.
[[nodiscard]] core::Result<std::unique_ptr<Inbox>> open_postgres_inbox(
    const PostgresAddress& address);

}  // namespace spillway::consumer
