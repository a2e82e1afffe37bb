// ForeignStream: the writing half of another gateway's stream at a relay. The relay's consumer owns
// one for each (gateway, stream) that it has ever stored something of.
//
//   open --> append, append_gap (into the page cache) --> sync: power-safe, and may be acknowledged
//                                  any error: destroy it, open it anew
//
// What it stores are the origin's blocks as they came (docs/format.md, 'Foreign streams'), so a
// record keeps its identity (gateway, journal, stream, offset) over any number of relays.
//
// One thread.
//
// Invariants:
//  1. It begins no journal of its own: where each journal goes on is what it has stored of it. What was
//     not synced was not acknowledged, and its origin sends it again.
//  2. A segment gets its name when it is power-safe with its header, and after the one before it is
//     sealed and power-safe; so only the last one can be torn.
//  3. Blocks are read in the order of the segments. A later journal may begin below the end of the one
//     before: its segments override nothing.
//  4. Bytes that a sync covered are never written again. After a power cut nothing is appended to the
//     recovered segment. What a killed or failed writer of this boot had not synced is written again.
//  5. Dropping a segment puts another in its place, which says what was dropped and why, journal by
//     journal, until it is acknowledged like all others.
//  6. The last segment is never freed: it says where the newest journal goes on. Where those before it
//     ended says the file `journals`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"
#include "spillway/core/result.h"
#include "spillway/core/stream.h"

namespace spillway::core {

inline constexpr std::uint64_t kForeignSegmentBytesMin = 256U << 10;

struct ForeignOptions {
  std::string directory;  // <relay directory>/<gateway>/<stream>
  Uuid gateway;
  std::string stream;
  std::uint64_t segment_bytes = 8ULL << 20;  // at most; a quiet stream's are smaller
  std::uint64_t max_bytes = 256ULL << 20;
  WhenFull when_full = WhenFull::kRejectNew;
  std::uint64_t max_age_ns = 0;      // since they came here, by BOOTTIME; 0: none is dropped for it
  std::vector<std::string> uplinks;  // those whose cursors hold segments
  /// Asked before a new segment takes so many bytes: makes them free over all streams, or kFull.
  std::function<Result<void>(std::uint64_t bytes)> make_room;
};

/// An origin's journal, as its Hello names it.
struct ForeignJournal {
  Uuid id;
  std::uint64_t sequence = 0;
  std::uint64_t first_offset = 0;
};

class ForeignStream {
 public:
  /// Opens or makes it and recovers what is there. kBusy: another relay, or a repair, has it.
  /// kNewerVersion: nothing is touched.
  [[nodiscard]] static Result<std::unique_ptr<ForeignStream>> open(env::Env& env,
                                                                   ForeignOptions options);
  virtual ~ForeignStream() = default;

  /// Everything below is stored; nothing if the journal is new here.
  [[nodiscard]] virtual std::optional<std::uint64_t> position(const Uuid& journal) const = 0;
  /// A session begins: it will declare anew what its blocks need.
  virtual void begin_session() = 0;
  /// Stores a block that has passed check_block, of the journal's next offset if it is data. kFull:
  /// quota or disk. After any error the stream is to be opened anew.
  [[nodiscard]] virtual Result<void> append(const ForeignJournal& journal,
                                            const format::BlockHeader& header,
                                            std::span<const std::byte> stored) = 0;
  /// Stores that the origin has no records from the journal's next offset up to `next_offset`.
  [[nodiscard]] virtual Result<void> append_gap(const ForeignJournal& journal,
                                                std::uint64_t next_offset,
                                                format::GapReason reason) = 0;
  /// What was appended is power-safe when this returns.
  [[nodiscard]] virtual Result<void> sync() = 0;

  /// Frees what every uplink has acknowledged, and drops what is older than max_age.
  [[nodiscard]] virtual Result<void> collect() = 0;
  /// Drops the oldest records but those of the last segment. False: there are none to drop.
  [[nodiscard]] virtual Result<bool> drop_oldest(format::GapReason reason) = 0;

  [[nodiscard]] virtual std::uint64_t held_bytes() const = 0;
  [[nodiscard]] virtual std::uint64_t next_offset() const = 0;
  [[nodiscard]] virtual std::uint64_t dropped_records() const = 0;  // since it was opened
  /// What recovery set aside as damaged; mostly empty.
  [[nodiscard]] virtual const std::string& damage() const = 0;
};

}  // namespace spillway::core
