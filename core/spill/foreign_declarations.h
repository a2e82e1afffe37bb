// ForeignDeclarations: what the blocks of a foreign stream need before them, and what of it stands in
// the active segment already. Private to core/spill; the writer's thread.
//
// The origin's blocks come without the heads of its segments: each session repeats what its own blocks
// need, at its begin. So a declaration is kept as it came, and written into a segment when the first
// block that needs it is.
//
// Invariants:
//  1. Of each lane, boot and schema the latest declaration that was told is the one that is written.
//  2. What stands in the active segment byte for byte is not written into it again, however often a
//     session repeats it; a dictionary is, once kDictionariesMax others stand behind it.
//  3. Its memory is what one session may declare: begin_session() forgets the rest.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "spillway/core/format.h"

namespace spillway::core {

/// A block that is not data, as it came.
struct Declaration {
  format::BlockHeader header;
  std::vector<std::byte> stored;
};

class ForeignDeclarations {
 public:
  /// A session begins: it declares anew what it needs.
  void begin_session();
  /// Nothing stands in the new segment yet.
  void begin_segment();

  /// Keeps what the block declares. False: it stands in the active segment as it is.
  bool learn(const format::BlockHeader& header, std::span<const std::byte> stored);
  /// What must be written before this data block, in order.
  [[nodiscard]] std::vector<const Declaration*> missing_for(const format::BlockHeader& header,
                                                            std::span<const std::byte> stored);
  /// It was written into the active segment.
  void note_written(const format::BlockHeader& header, std::span<const std::byte> stored);

 private:
  struct Lane {
    Declaration declared;
    Uuid boot_id;
    std::uint64_t schema_fingerprint = 0;
  };

  void learn_lane(const format::BlockHeader& header, std::span<const std::byte> stored);
  void learn_clock(const format::BlockHeader& header, std::span<const std::byte> stored);
  void learn_schema(const format::BlockHeader& header, std::span<const std::byte> stored);
  void learn_dictionary(const format::BlockHeader& header, std::span<const std::byte> stored);
  void add_dictionary(std::span<const std::byte> stored,
                      std::vector<const Declaration*>& missing) const;

  // Told by the sessions.
  std::unordered_map<std::uint64_t, Lane> lanes_;
  std::map<Uuid, Declaration> clocks_;  // by boot
  std::map<std::uint64_t, Declaration> schemas_;
  std::uint64_t schema_bytes_ = 0;
  std::deque<Declaration> dictionaries_;  // the latest one last, as a decoder keeps them

  // Standing in the active segment.
  std::unordered_set<std::uint64_t> written_;  // digests
  std::unordered_set<std::uint64_t> written_lanes_;
  std::set<Uuid> written_clocks_;
  std::unordered_set<std::uint64_t> written_schemas_;
  std::deque<std::uint32_t> written_dictionaries_;  // those that a reader still has
};

}  // namespace spillway::core
