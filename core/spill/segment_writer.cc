#include "core/spill/segment_writer.h"

#include <algorithm>
#include <cstring>

#include "spillway/core/assert.h"
#include "spillway/core/codec.h"

namespace spillway::core {

std::span<const std::byte> BlockDraft::stage(std::span<const std::byte> stored) {
  if (bytes_.size() < kBlockHeaderBytes + stored.size()) {
    bytes_.resize(kBlockHeaderBytes + stored.size());
  }
  if (!stored.empty()) std::memcpy(bytes_.data() + kBlockHeaderBytes, stored.data(), stored.size());
  stored_bytes_ = stored.size();
  return {bytes_.data() + kBlockHeaderBytes, stored_bytes_};
}

std::span<const std::byte> BlockDraft::seal(format::BlockHeader header, std::uint16_t flags,
                                            std::uint64_t salt) {
  header.mutate_stored_size(static_cast<std::uint32_t>(stored_bytes_));
  if (!is_compressed(header)) header.mutate_raw_size(static_cast<std::uint32_t>(stored_bytes_));
  header.mutate_flags(flags);
  auto* const placed = reinterpret_cast<format::BlockHeader*>(bytes_.data());
  std::memcpy(placed, &header, sizeof(header));
  // Header and bytes stand side by side: one pass for the checksum.
  placed->mutate_checksum(
      block_checksum(*placed, {bytes_.data() + kBlockHeaderBytes, stored_bytes_}, salt));
  return {bytes_.data(), kBlockHeaderBytes + stored_bytes_};
}

Result<std::shared_ptr<SegmentWriter>> SegmentWriter::open(env::Env& env, SegmentInfo info,
                                                           std::uint64_t tail) {
  SPILLWAY_TRY(file, env.open(info.path, env::OpenMode::kReadWrite));
  return std::shared_ptr<SegmentWriter>(new SegmentWriter(std::move(info), std::move(file), tail));
}

bool SegmentWriter::fits(std::uint64_t stored_bytes) const {
  return has_room(block_bytes(stored_bytes));
}

bool SegmentWriter::stands(std::span<const std::byte> block) const {
  std::vector<std::byte> there(block.size());
  const auto got = file_->read(tail_, there);
  return got && *got == block.size() && std::equal(block.begin(), block.end(), there.begin());
}

Result<void> SegmentWriter::write(const format::BlockHeader& header, BlockDraft& draft) {
  const auto block = draft.seal(header, flags_, info_.header.salt());
  // What only lacks the zeros that stood there before is whole: a reader may have taken it, so its
  // offset must not be given to another record.
  auto written = file_->write(tail_, block);
  if (!written && !stands(block)) return written;
  tail_ += round_up(block.size(), kBlockAlignment);
  return {};
}

Result<void> SegmentWriter::write_block(const format::BlockHeader& header,
                                        std::span<const std::byte> stored, BlockDraft& draft) {
  SPILLWAY_ASSERT(fits(stored.size()));
  static_cast<void>(draft.stage(stored));
  return write(header, draft);
}

Result<void> SegmentWriter::write_seal(std::uint64_t next_offset, BlockDraft& draft) {
  format::BlockHeader header;
  header.mutate_base_offset(next_offset);
  header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::seal));
  SPILLWAY_ASSERT(!sealed_ && tail_ + kBlockHeaderBytes <= info_.bytes);
  static_cast<void>(draft.stage({}));
  SPILLWAY_CHECKED(write(header, draft));
  sealed_ = true;
  return {};
}

}  // namespace spillway::core
