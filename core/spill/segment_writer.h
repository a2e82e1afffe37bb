// SegmentWriter: puts blocks into one mapped segment. Private to core/spill; the writer's thread
// only.
//
// Invariants:
//  1. A block's checksum is the last thing stored: before that no reader takes the block for valid.
//  2. The last page is kept for the seal, so that it never shares a sector with synced bytes.
#pragma once

#include <memory>
#include <span>

#include "core/spill/segment_file.h"

namespace spillway::core {

class SegmentWriter {
 public:
  /// Maps the segment to go on writing at `tail`.
  [[nodiscard]] static Result<std::shared_ptr<SegmentWriter>> open(env::Env& env, SegmentInfo info,
                                                                   std::uint64_t tail);

  [[nodiscard]] bool fits(std::uint64_t stored_bytes) const;
  /// Step 1: copies the bytes to where the next block's will stand; the copy is what is checked and
  /// kept.
  [[nodiscard]] std::span<const std::byte> stage(std::span<const std::byte> stored);
  /// Step 2: makes what was staged a block. The header's sizes and checksum are filled in here; a
  /// compressed block's raw size is the caller's to say.
  void commit(format::BlockHeader header, std::uint32_t stored_bytes);
  void write_block(const format::BlockHeader& header, std::span<const std::byte> stored);
  void write_seal(std::uint64_t next_offset);

  /// For a segment that is only read again.
  void set_tail(std::uint64_t tail) { tail_ = tail; }
  /// From here on the next page is written: the bytes before are being synced.
  void skip_to_next_page() { tail_ = round_up(tail_, kPageBytes); }
  /// Makes pages ahead of the tail ready, one call for many blocks.
  void populate_ahead();
  /// After a sync: the pages ahead were cleaned, too.
  void forget_populated() { populated_ = tail_; }

  /// Every block from now on says that all earlier segments are power-safe.
  void note_earlier_segments_safe() { flags_ = kEarlierSegmentsSafe; }

  [[nodiscard]] std::uint64_t tail() const { return tail_; }
  [[nodiscard]] bool is_half_full() const { return tail_ >= info_.bytes / 2; }
  [[nodiscard]] bool sealed() const { return sealed_; }
  /// Found sealed, or so full that not even a seal fits: nothing more goes in.
  void mark_sealed() { sealed_ = true; }
  [[nodiscard]] const SegmentInfo& info() const { return info_; }
  [[nodiscard]] const std::shared_ptr<env::File>& file() const { return file_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {map_->data(), map_->size()}; }

 private:
  SegmentWriter(SegmentInfo info, std::shared_ptr<env::File> file,
                std::unique_ptr<env::Mapping> map, std::uint64_t tail);

  SegmentInfo info_;
  std::shared_ptr<env::File> file_;
  std::unique_ptr<env::Mapping> map_;
  std::uint64_t tail_;
  std::uint64_t populated_;
  std::uint16_t flags_ = 0;
  bool sealed_ = false;
};

/// The bytes a block with this payload takes in a segment.
[[nodiscard]] constexpr std::uint64_t block_bytes(std::uint64_t stored_bytes) {
  return round_up(kBlockHeaderBytes + stored_bytes, kBlockAlignment);
}

}  // namespace spillway::core
