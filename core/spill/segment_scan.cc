#include "core/spill/segment_scan.h"

#include <algorithm>
#include <cstring>

namespace spillway::core {

std::uint64_t ScannedBlock::next_offset() const {
  if (kind() != format::BlockKind::gap) return header.base_offset() + header.count();
  format::GapDeclaration gap;
  std::memcpy(&gap, stored.data(), sizeof(gap));
  return gap.next_offset();
}

void SegmentScan::resume_at(std::uint64_t position, std::uint64_t expected_offset) {
  position_ = position;
  expected_ = expected_offset;
  lanes_taken_for_declared_ = true;
}

bool SegmentScan::is_known_lane(const ScannedBlock& block) {
  if (block.kind() == format::BlockKind::lane) lanes_.insert(block.header.lane_id());
  return block.kind() != format::BlockKind::data || lanes_taken_for_declared_ ||
         lanes_.contains(block.header.lane_id());
}

Result<std::optional<ScannedBlock>> SegmentScan::try_at(std::uint64_t position,
                                                        FileWindow& source) {
  const auto none = [this](std::string why) -> std::optional<ScannedBlock> {
    reason_ = std::move(why);
    return std::nullopt;
  };
  if (position > size_ || size_ - position < kBlockHeaderBytes) return none("the segment is full");
  ScannedBlock block;
  block.position = position;
  SPILLWAY_TRY(head, source.view(position, kBlockHeaderBytes));
  if (head.size() < kBlockHeaderBytes) return none("the file is shorter than its header says");
  std::memcpy(&block.header, head.data(), kBlockHeaderBytes);
  auto rules = check_block_header(block.header, size_ - position, expected_);
  if (!rules) return none(std::move(rules).error().message);
  SPILLWAY_TRY(whole, source.view(position, kBlockHeaderBytes + block.header.stored_size()));
  if (whole.size() < kBlockHeaderBytes + std::size_t{block.header.stored_size()}) {
    return none("the file is shorter than its header says");
  }
  // Both views may come from different reads of a living file: check what is handed out.
  std::memcpy(&block.header, whole.data(), kBlockHeaderBytes);
  block.stored = whole.subspan(kBlockHeaderBytes);
  auto valid = check_block(block.header, block.stored, salt_, expected_);
  if (!valid) return none(std::move(valid).error().message);
  if (block.next_offset() > limit_) return none("a later segment takes its place");
  if (!is_known_lane(block)) return none("a data block's lane was not declared before it");
  return std::optional<ScannedBlock>(block);
}

Result<std::optional<ScannedBlock>> SegmentScan::next(FileWindow& source) {
  if (sealed_) return std::optional<ScannedBlock>{};
  SPILLWAY_TRY(block, try_at(position_, source));
  const std::uint64_t aligned = round_up(position_, kPageBytes);
  if (!block && aligned != position_) {
    std::string first_reason = reason_;
    SPILLWAY_TRY(behind, try_at(aligned, source));
    block = behind;
    if (!block) reason_ = std::move(first_reason);
  }
  if (!block) return block;
  position_ =
      block->position +
      round_up(kBlockHeaderBytes + std::uint64_t{block->header.stored_size()}, kBlockAlignment);
  expected_ = block->next_offset();
  sealed_ = block->kind() == format::BlockKind::seal;
  return block;
}

Result<bool> is_unwritten(const format::SegmentHeader& segment, std::uint64_t position,
                          std::uint64_t expected, FileWindow& source) {
  SPILLWAY_TRY(bytes, source.view(position, kBlockHeaderBytes));
  if (std::all_of(bytes.begin(), bytes.end(),
                  [](std::byte byte) { return byte == std::byte{0}; })) {
    return true;
  }
  if (segment.recycled() == 0 || bytes.size() < kBlockHeaderBytes) return false;
  format::BlockHeader stale;
  std::memcpy(&stale, bytes.data(), kBlockHeaderBytes);
  return stale.base_offset() != expected;
}

}  // namespace spillway::core
