// SegmentScan: the one walk over a segment's blocks, shared by the writer's recovery, the reader
// and verify, so that the three can never disagree about what is there. Private to core/spill; one
// thread.
//
// What a segment holds, by these rules and no others:
//  1. The walk begins at position 4096 (header_size) and expects the segment's base offset.
//  2. At position p, a multiple of 64, a block is valid if and only if it lies whole in the
//     segment, its header's rules and its checksum under the segment's salt hold, its base offset
//     is the expected one, its content holds (check_block), and, if it is data, its lane was
//     declared by a lane block before it in this segment.
//  3. After a valid block of n stored bytes the walk goes on at p + round_up(64 + n, 64); a data
//     block moves the expected offset on by its count, a gap block to the offset that it names.
//  4. If no valid block stands at p and p is not a multiple of 4096, the walk tries once at the
//     next multiple of 4096 (the writer goes on there after each sync). If there is none either,
//     the segment ends here.
//  5. A valid seal block ends the segment for good.
//  6. A later segment overrides: a data or gap block that reaches beyond the limit (end_limit) does
//     not count, nor does any block whose base offset is above it.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>

#include "core/spill/file_window.h"
#include "spillway/core/format.h"

namespace spillway::core {

struct ScannedBlock {
  format::BlockHeader header;
  std::span<const std::byte> stored;  // good until the source's next view
  std::uint64_t position = 0;
  [[nodiscard]] format::BlockKind kind() const {
    return static_cast<format::BlockKind>(header.kind());
  }
  /// The offset of the record that follows this block.
  [[nodiscard]] std::uint64_t next_offset() const;
};

class SegmentScan {
 public:
  explicit SegmentScan(const format::SegmentHeader& header)
      : size_(header.segment_size()), salt_(header.salt()), expected_(header.base_offset()) {}

  /// The next valid block, the seal too; nothing if there is none, which for a living segment means
  /// 'not yet': call again.
  [[nodiscard]] Result<std::optional<ScannedBlock>> next(FileWindow& source);

  /// Goes on at a position known to be a block's, without looking at what stands before (the caller
  /// wrote it).
  void resume_at(std::uint64_t position, std::uint64_t expected_offset);
  void set_limit(std::uint64_t limit) { limit_ = limit; }

  /// Behind the last valid block.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  /// The offset of the next record.
  [[nodiscard]] std::uint64_t next_offset() const { return expected_; }
  [[nodiscard]] bool sealed() const { return sealed_; }
  /// The rule that the last place tried broke.
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  Result<std::optional<ScannedBlock>> try_at(std::uint64_t position, FileWindow& source);
  [[nodiscard]] bool is_known_lane(const ScannedBlock& block);

  std::uint64_t size_;
  std::uint64_t salt_;
  std::uint64_t expected_;
  std::uint64_t limit_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t position_ = kSegmentHeaderBytes;
  bool sealed_ = false;
  bool lanes_taken_for_declared_ = false;
  std::unordered_set<std::uint64_t> lanes_;
  std::string reason_;
};

/// True if the writer never came to `position`, where the block of offset `expected` would stand: it
/// is blank or, in a recycled file, belongs to what the file held before.
[[nodiscard]] Result<bool> is_unwritten(const format::SegmentHeader& segment,
                                        std::uint64_t position, std::uint64_t expected,
                                        FileWindow& source);

}  // namespace spillway::core
