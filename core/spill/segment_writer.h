// SegmentWriter: puts blocks into one segment. BlockDraft: the block under construction. Private to
// core/spill; the writer's thread only.
//
// A block goes out by one pwrite into the page cache and not by stores into a mapping. Where syncs
// are frequent that is several times cheaper: a sync must write-protect each page that a mapping has
// dirtied, one interrupt of the other cores for each, and where the page cache has large folios it
// writes the whole folio (up to 2 MiB) for one stored byte. docs/benchmarks.md, 'Why the append is a
// write', has the figures. And a card that is pulled out gives an error, not a SIGBUS.
//
// Invariants:
//  1. What is checked is what is written: both happen to the draft's own copy.
//  2. A block that was not written whole is not valid: its checksum stands for all of its bytes.
//  3. The last page is kept for the seal, so that it never shares a sector with synced bytes.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/spill/segment_file.h"

namespace spillway::core {

/// The bytes a block with this payload takes in a segment.
[[nodiscard]] constexpr std::uint64_t block_bytes(std::uint64_t stored_bytes) {
  return round_up(kBlockHeaderBytes + stored_bytes, kBlockAlignment);
}

/// A buffer that is used again for each block; it grows to the largest and is not allocated after.
class BlockDraft {
 public:
  /// Copies the bytes; the copy, which is good until the next call, is what will be written.
  [[nodiscard]] std::span<const std::byte> stage(std::span<const std::byte> stored);
  [[nodiscard]] std::size_t staged_bytes() const { return stored_bytes_; }
  /// Makes what was staged a block: sizes, flags and checksum are filled in here; a compressed
  /// block's raw size is the caller's to say.
  [[nodiscard]] std::span<const std::byte> seal(format::BlockHeader header, std::uint16_t flags,
                                                std::uint64_t salt);

 private:
  std::vector<std::byte> bytes_;  // header and stored bytes, side by side
  std::size_t stored_bytes_ = 0;
};

class SegmentWriter {
 public:
  /// Opens the segment to go on writing at `tail`.
  [[nodiscard]] static Result<std::shared_ptr<SegmentWriter>> open(env::Env& env, SegmentInfo info,
                                                                   std::uint64_t tail);

  [[nodiscard]] bool fits(std::uint64_t stored_bytes) const;
  /// The same for blocks that take so many bytes together (block_bytes).
  [[nodiscard]] bool has_room(std::uint64_t bytes) const {
    return !sealed_ && tail_ + bytes + kPageBytes <= info_.bytes;
  }
  /// Writes what was staged as a block. After an error nothing was appended: a write that failed and
  /// left a whole block behind is none.
  [[nodiscard]] Result<void> write(const format::BlockHeader& header, BlockDraft& draft);
  [[nodiscard]] Result<void> write_block(const format::BlockHeader& header,
                                         std::span<const std::byte> stored, BlockDraft& draft);
  [[nodiscard]] Result<void> write_seal(std::uint64_t next_offset, BlockDraft& draft);

  /// For a segment that is only read again.
  void set_tail(std::uint64_t tail) { tail_ = tail; }
  /// From here on the next page is written: the bytes before are being synced.
  void skip_to_next_page() { tail_ = round_up(tail_, kPageBytes); }
  /// Every block from now on says that all earlier segments are power-safe.
  void note_earlier_segments_safe() { flags_ = kEarlierSegmentsSafe; }

  [[nodiscard]] std::uint64_t tail() const { return tail_; }
  [[nodiscard]] bool is_half_full() const { return tail_ >= info_.bytes / 2; }
  [[nodiscard]] bool sealed() const { return sealed_; }
  /// Found sealed, or so full that not even a seal fits: nothing more goes in.
  void mark_sealed() { sealed_ = true; }
  [[nodiscard]] const SegmentInfo& info() const { return info_; }
  [[nodiscard]] const std::shared_ptr<env::File>& file() const { return file_; }

 private:
  SegmentWriter(SegmentInfo info, std::shared_ptr<env::File> file, std::uint64_t tail)
      : info_(std::move(info)), file_(std::move(file)), tail_(tail) {}

  [[nodiscard]] bool stands(std::span<const std::byte> block) const;

  SegmentInfo info_;
  std::shared_ptr<env::File> file_;
  std::uint64_t tail_;
  std::uint16_t flags_ = 0;
  bool sealed_ = false;
};

}  // namespace spillway::core
