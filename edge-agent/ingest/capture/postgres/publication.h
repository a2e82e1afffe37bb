// Publication: what a capture needs in a PostgreSQL database: a publication of its tables, their replica
// identity, and a slot; made, looked at, and taken away.
//
// One thread.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "edge-agent/ingest/capture/postgres/connection.h"

namespace spillway::agent::capture {

/// What the server says of the slot.
struct SlotFacts {
  std::uint64_t confirmed_lsn = 0;
  std::string wal_status;  // "lost": what it had to keep is gone
  bool active = false;
};

/// spillway_<capture>, with '_' for '-': the slot's and the publication's name.
[[nodiscard]] std::string slot_name(const core::CaptureConfig& capture);

/// What would have to be run so that the publication and the tables are as they should be; empty: they
/// are. kNotFound: a table is not there. kInvalidArgument: its updates would fail, or it is partitioned.
[[nodiscard]] core::Result<std::vector<std::string>> publication_sql(
    PgConnection& connection, const core::CaptureConfig& capture);
/// Names the publishing of every table: a table that was made anew, or taken out of the publication and
/// put back, has another name there.
[[nodiscard]] core::Result<std::string> publication_entries(PgConnection& connection,
                                                            const core::CaptureConfig& capture);
[[nodiscard]] core::Result<std::optional<SlotFacts>> find_slot(PgConnection& connection,
                                                               const core::CaptureConfig& capture);
/// No error if there is none. Waits for a moment for who still uses it.
[[nodiscard]] core::Result<void> drop_slot(PgConnection& connection,
                                           const core::CaptureConfig& capture);
/// The columns by which a table's rows are told apart: of its replica identity's index if it has one,
/// else of its primary key; empty: neither.
[[nodiscard]] core::Result<std::set<std::string>> row_key(PgConnection& connection,
                                                          std::uint32_t oid);

}  // namespace spillway::agent::capture
