// Inbox: where the consumer keeps what it received, and the one place that decides 'once only'.
//
// A record is identified by (gateway, journal, stream, offset). An inbox's methods are called from
// one thread: the InboxWriter's.
//
// Invariants:
//  1. A batch's rows and the new next offset of its key become visible and durable together, or not
//     at all.
//  2. A batch is applied only if the stored next offset is the one it continues from; so nothing is
//     doubled or skipped, whoever else writes into the same inbox.
//  3. A record that cannot be applied is a row in state 'dead' in the same transaction: it stops
//     nothing.
//  4. Within a lane the times of records never run backwards, over all sessions. A record without a
//     time gets its true one in the transaction that brings its boot's first certain reading.
//  5. A loose batch (InboxBatch::loose) is applied whatever is stored: of its records those that are
//     not seen. A record is seen if and only if its offset is below the stored next offset or its row
//     exists; the next offset moves only over rows and gaps that follow it without a hole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/format.h"
#include "spillway/core/result.h"
#include "spillway/core/uuid.h"

namespace spillway::consumer {

struct InboxKey {
  core::Uuid gateway;
  core::Uuid journal;
  std::string stream;
  // In a question, what a relay has to know of them, too.
  std::uint64_t journal_sequence = 0;
  std::uint64_t journal_first_offset = 0;
  std::string gateway_name{};
};

/// How far a key is stored.
struct StoredPosition {
  StoredPosition() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): an offset alone is a position
  StoredPosition(std::uint64_t next, std::uint64_t last = 0)
      : next_offset(next), last_record(last) {}

  friend bool operator==(const StoredPosition&, const StoredPosition&) = default;

  std::uint64_t next_offset = 0;
  std::uint64_t last_record = 0;  // core::record_checksum of the one below; 0: not known
};

/// Who produced what; shared by all that came from one lane in one session.
struct LaneLabel {
  std::uint64_t lane_id = 0;
  std::string topic;
  std::string producer;
  core::Uuid boot_id;
  std::uint64_t schema_fingerprint = 0;  // 0: the producer named none
};

/// What explains the records of the lanes that name it; its bytes have passed core::check_schema.
struct InboxSchema {
  std::uint64_t fingerprint = 0;
  std::span<const std::byte> bfbs;  // points into InboxBatch::owner
};

struct InboxRecord {
  std::optional<std::uint64_t>
      produced_at_ns;                  // UTC; nothing where the gateway's clock was not set
  std::span<const std::byte> payload;  // points into InboxBatch::owner or ::decoded
  std::uint64_t boottime_ns = 0;       // of the lane's boot, where the UTC is not known (yet)
};

/// When a boot's clock is known for certain: all that came from it and has no UTC gets it.
struct InboxClock {
  core::Uuid boot_id;
  std::uint64_t boottime_ns = 0;  // at this time of the boot ...
  std::uint64_t utc_ns = 0;       // ... it was this

  /// Both are below 2^62, or this boot was read wrongly: then it is the beginning of time.
  [[nodiscard]] std::uint64_t utc_at(std::uint64_t record_boottime_ns) const {
    const std::uint64_t sum = utc_ns + record_boottime_ns;
    return sum < boottime_ns ? 0 : sum - boottime_ns;
  }
};

/// Neighbouring records of one lane: the next `count` of InboxBatch::records.
struct InboxRun {
  std::shared_ptr<const LaneLabel> lane;
  std::uint64_t first_offset = 0;
  std::uint32_t count = 0;
};

/// A record of the batch that cannot be applied: it is kept in state 'dead', with its reason.
struct InboxDead {
  std::size_t record = 0;  // its place in InboxBatch::records
  std::uint64_t offset = 0;
  std::uint64_t record_bytes = 0;  // its size; the payload is shorter where it was cut
  std::string reason;
};

struct InboxGap {
  std::uint64_t first_offset = 0;
  std::uint64_t next_offset = 0;
  std::uint8_t reason = 0;  // format::GapReason
};

/// A lane's totals as the gateway told them; the inbox keeps the highest of each.
struct LaneTotals {
  std::shared_ptr<const LaneLabel> lane;
  std::uint64_t lane_end = 0;
  std::uint64_t rejected = 0;
  bool closed = false;
  std::uint64_t records = 0;  // how many of this batch's records are this lane's
};

/// How far a source has read: stored in the transaction that it is part of, and given back as it is.
struct InboxMark {
  std::string source;     // whose: the source's own name for what it reads
  std::string partition;  // of it; empty where there is but one
  std::uint64_t position = 0;

  friend bool operator==(const InboxMark&, const InboxMark&) = default;
};

/// A checked block as it came, for an inbox that keeps blocks (ConsumerSessionOptions::keeps_blocks).
struct InboxBlock {
  format::BlockHeader header;
  std::span<const std::byte> stored;  // points into InboxBatch::owner or ::decoded
};

/// What one message brought: to be applied as a whole.
struct InboxBatch {
  InboxKey key;
  /// Through a broker, where later may come before earlier and all may come twice: runs and gaps in any
  /// order, seen or not. A key that is new begins at key.journal_first_offset; begins, from, next,
  /// last_record and the lanes' counts of records say nothing, and a record's time is as it was told.
  bool loose = false;
  bool begins = false;     // the key has no stored position yet
  std::uint64_t from = 0;  // the stored next offset it continues from
  std::uint64_t next = 0;  // the next offset behind it
  std::uint64_t last_record =
      0;  // core::record_checksum of the record at next - 1; 0: there is none
  std::vector<InboxRun> runs;
  std::vector<InboxRecord> records;
  std::vector<InboxDead> dead;  // ascending; each is one of the records, too
  std::vector<InboxGap> gaps;
  std::vector<LaneTotals> lanes;
  std::vector<InboxSchema> schemas;
  std::vector<InboxClock> clocks;
  std::vector<InboxMark> marks;    // need no key: a batch may be nothing else
  std::vector<InboxBlock> blocks;  // in their order, declarations among them; then no records
  std::uint64_t received_at_ns = 0;
  std::shared_ptr<const std::vector<std::byte>> owner;
  std::vector<std::shared_ptr<const std::vector<std::byte>>> decoded;  // of compressed blocks
  std::size_t decoded_bytes = 0;
  // For the session, when the batch comes back.
  std::uint16_t stream_index = 0;
  std::optional<std::uint64_t> ack_offset;

  /// The memory that the records' bytes take.
  [[nodiscard]] std::size_t payload_bytes() const {
    return (owner ? owner->size() : 0) + decoded_bytes;
  }
};

class Inbox {
 public:
  Inbox() = default;
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;
  virtual ~Inbox() = default;

  /// What is stored of the key; nothing if it is new.
  [[nodiscard]] virtual core::Result<std::optional<StoredPosition>> position(
      const InboxKey& key) = 0;
  /// Applies the batches in order in one transaction and makes it durable. outcomes[i] says what
  /// became of batches[i]: kBusy where it did not continue from the stored position, or the whole
  /// transaction's error in each.
  virtual void commit(std::span<const InboxBatch> batches,
                      std::vector<core::Result<void>>& outcomes) = 0;
  /// What is stored of a source's reading. kInvalidArgument: this inbox keeps no such notes, and takes no
  /// loose batch either.
  [[nodiscard]] virtual core::Result<std::vector<InboxMark>> marks(const std::string& source) = 0;
  /// What is to be done about once a second, if anything is.
  [[nodiscard]] virtual bool needs_upkeep() const { return false; }
  virtual void upkeep() {}
};

}  // namespace spillway::consumer
