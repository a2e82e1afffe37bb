// SqliteInbox: the inbox in one SQLite file. WAL, synchronous=FULL: what commit() reported as done
// survives power loss.
//
// Tables (others rely on them; ids are TEXT, offsets INTEGER, times INTEGER ns UTC, payload BLOB):
//   record(gateway, journal, stream, record_offset, topic, produced_at_ns, received_at_ns, payload)
//   position(gateway, journal, stream, next_offset)
//   gap(gateway, journal, stream, first_offset, next_offset, reason, reported_at_ns)
//   lane(gateway, journal, stream, lane_id, topic, producer, boot_id, lane_end, rejected,
//        closed, records)
// PRAGMA user_version is the schema's version; a newer one is refused, nothing touched.
#pragma once

#include <memory>
#include <string>

#include "uplink/consumer/inbox/inbox.h"

namespace spillway::consumer {

inline constexpr int kInboxVersion = 1;

/// Opens or makes the file. kNewerVersion; kInvalidArgument if it is somebody else's database.
[[nodiscard]] core::Result<std::unique_ptr<Inbox>> open_sqlite_inbox(const std::string& path);

}  // namespace spillway::consumer
