// SqliteInbox: the inbox in one SQLite file. WAL, synchronous=FULL: what commit() reported as done
// survives power loss.
//
// Tables (others rely on them; ids are TEXT, offsets INTEGER, times INTEGER ns UTC, payload BLOB):
//   record(gateway, journal, stream, record_offset, topic, produced_at_ns, received_at_ns, payload,
//          schema_fingerprint, boot_id, boottime_ns, state, reason, record_bytes): state is 'received'
//          or, for what could not be applied, 'dead' with its reason; record_bytes is NULL unless the
//          payload was cut to less. Where produced_at_ns is NULL the last two say what
//          is known, until a reading of that boot's clock comes; else they are NULL
//   position(gateway, journal, stream, next_offset, last_record, beyond): last_record is the checksum of
//          the record at next_offset - 1 (core::record_checksum), 0 where it is not known. Above
//          next_offset there are rows only where beyond is above it: it is then behind the highest
//   gap(gateway, journal, stream, first_offset, next_offset, reason, reported_at_ns)
//   lane(gateway, journal, stream, lane_id, topic, producer, boot_id, lane_end, rejected,
//        closed, records, schema_fingerprint, produced_at_ns, boottime_ns): the last two are the latest
//        of its records', with and without a time
//   boot(gateway, boot_id, boottime_ns, utc_ns): the first certain reading of each boot's clock; at most
//          kBootsMax of a gateway
//   source_position(source, partition, position): how far a broker's source has read (InboxMark)
//   gateway(...), gateway_change(...): see uplink/consumer/gateways/sqlite_gateways.h
//   schema(fingerprint, bfbs): what explains the records that name it; at most kSchemasMax
// PRAGMA user_version is the tables' version: an older one is brought up to date, a newer one is
// refused, nothing touched.
#pragma once

#include <memory>
#include <string>

#include "uplink/consumer/inbox/inbox.h"

namespace spillway::consumer {

inline constexpr int kInboxVersion = 6;
/// With kSchemaBytesMax each: what gateways can make this table grow to.
inline constexpr int kSchemasMax = 4096;
/// Of one gateway.
inline constexpr int kBootsMax = 4096;

/// Opens or makes the file. kNewerVersion; kInvalidArgument if it is somebody else's database.
[[nodiscard]] core::Result<std::unique_ptr<Inbox>> open_sqlite_inbox(const std::string& path);

}  // namespace spillway::consumer
