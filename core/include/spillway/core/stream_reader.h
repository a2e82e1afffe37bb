// StreamReader: the reading half of a spill, for the uplink and for tools. Needs read access only;
// works while the agent appends, rolls and frees, and while no agent runs.
//
// One thread. Reads by copying a block out (pread) and then checking it, so nothing can change
// between check and use.
//
// Invariants:
//  1. Only valid blocks come out, in offset order, each once, from the position asked for.
//  2. What is missing between two blocks comes out as one gap with its recorded reason (or `damage`
//     if none is recorded).
//  3. 'Not yet' is told from 'damaged' by the existence of a later segment: a segment's first block
//     is written only after the one before was sealed. A changed salt means recycled or freed,
//     never damaged.
//  4. A foreign stream's segments (docs/format.md) are read in their order, and each journal for itself:
//     a later one may begin below the end of the one before.
//  5. A compressed block comes out decoded, sealed anew as one without a codec: nobody notices. One
//     whose bytes do not decode, though its checksum holds, comes out as a gap (`damage`). Who
//     asked for blocks as they are stored gets those that decode as they are, each behind its
//     dictionary.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"
#include "spillway/core/gap_table.h"

namespace spillway::core {

/// Which history a block belongs to.
struct JournalRange {
  Uuid journal;
  std::uint64_t sequence = 0;
  std::uint64_t first_offset = 0;
  std::uint64_t next_offset = 0;  // behind the last record now held (grows for the newest)
};

/// A valid block; `stored` is the reader's own copy, good until its next call.
struct Block {
  format::BlockHeader header;
  std::span<const std::byte> stored;
  std::uint64_t salt = 0;
  std::uint64_t segment_sequence = 0;
  std::uint64_t journal_sequence = 0;
  Uuid journal;
  /// Offsets before `skip_below` were asked to be left out: the block straddles the start position.
  std::uint64_t skip_below = 0;
};

using StreamItem = std::variant<Block, Gap>;

class StreamReader {
 public:
  /// `directory` is <spill_dir>/<stream>. kNotFound with a hint if there is none.
  [[nodiscard]] static Result<std::unique_ptr<StreamReader>> open(env::Env& env,
                                                                  const std::string& directory);
  virtual ~StreamReader() = default;

  /// Goes to the segment that holds `offset` (or to the oldest). The next items are the segment's
  /// declarations (clock, lane, schema blocks from its head on), then data from the block that
  /// holds `offset`.
  [[nodiscard]] virtual Result<void> seek(std::uint64_t offset) = 0;
  /// The same within the journal of this number (JournalRange::sequence): in a foreign stream two may
  /// hold records of one offset, and seek() goes to the first that does.
  [[nodiscard]] virtual Result<void> seek_in(std::uint64_t journal_sequence, std::uint64_t offset) {
    static_cast<void>(journal_sequence);
    return seek(offset);
  }
  /// True: compressed blocks as they are stored, and dictionary blocks too. False at first.
  virtual void offer_stored(bool stored) = 0;
  /// The next block (every kind but seal) or gap; nothing if there is no more yet. kNewerVersion,
  /// kIo.
  [[nodiscard]] virtual Result<std::optional<StreamItem>> next() = 0;
  /// The offset that the next data block will have.
  [[nodiscard]] virtual std::uint64_t position() const = 0;

  [[nodiscard]] virtual Result<std::uint64_t> oldest_offset() = 0;
  /// All journals of which records are held, ascending.
  [[nodiscard]] virtual Result<std::vector<JournalRange>> journals() = 0;
  /// The agent's control page, if it is of this boot: what is published. A hint for waiting and for
  /// status.
  [[nodiscard]] virtual std::optional<format::StreamControl> control() = 0;
};

}  // namespace spillway::core
