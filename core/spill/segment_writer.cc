#include "core/spill/segment_writer.h"

#include "spillway/core/assert.h"
#include "spillway/core/codec.h"

namespace spillway::core {

namespace {

constexpr std::size_t kChecksumBytes = sizeof(std::uint64_t);
constexpr std::uint64_t kPopulateBytes = 256 * 1024;
constexpr std::uint64_t kPopulateMarginBytes = 64 * 1024;

}  // namespace

SegmentWriter::SegmentWriter(SegmentInfo info, std::shared_ptr<env::File> file,
                             std::unique_ptr<env::Mapping> map, std::uint64_t tail)
    : info_(std::move(info)),
      file_(std::move(file)),
      map_(std::move(map)),
      tail_(tail),
      populated_(tail) {}

Result<std::shared_ptr<SegmentWriter>> SegmentWriter::open(env::Env& env, SegmentInfo info,
                                                           std::uint64_t tail) {
  SPILLWAY_TRY(file, env.open(info.path, env::OpenMode::kReadWrite));
  SPILLWAY_TRY(map, file->map(info.bytes, env::MapAccess::kReadWrite));
  return std::shared_ptr<SegmentWriter>(
      new SegmentWriter(std::move(info), std::move(file), std::move(map), tail));
}

bool SegmentWriter::fits(std::uint64_t stored_bytes) const {
  return !sealed_ && tail_ + block_bytes(stored_bytes) + kPageBytes <= info_.bytes;
}

std::span<const std::byte> SegmentWriter::stage(std::span<const std::byte> stored) {
  const auto at = static_cast<std::size_t>(tail_ + kBlockHeaderBytes);
  map_->write(at, stored);
  return {map_->data() + at, stored.size()};
}

void SegmentWriter::commit(format::BlockHeader header, std::uint32_t stored_bytes) {
  header.mutate_stored_size(stored_bytes);
  if (!is_compressed(header)) header.mutate_raw_size(stored_bytes);
  header.mutate_flags(flags_);
  const auto at = static_cast<std::size_t>(tail_);
  map_->write(at + kChecksumBytes, bytes_of(header).subspan(kChecksumBytes));
  // Header and bytes stand side by side in the mapping now: one pass for the checksum.
  const auto* placed = reinterpret_cast<const format::BlockHeader*>(map_->data() + at);
  const std::span<const std::byte> stored(map_->data() + at + kBlockHeaderBytes, stored_bytes);
  const std::uint64_t checksum = block_checksum(*placed, stored, info_.header.salt());
  // SYNC published: pairs with the reader's check of the checksum over its own copy.
  map_->store_release(at, checksum);
  tail_ += block_bytes(stored_bytes);
}

void SegmentWriter::write_block(const format::BlockHeader& header,
                                std::span<const std::byte> stored) {
  SPILLWAY_ASSERT(fits(stored.size()));
  static_cast<void>(stage(stored));
  commit(header, static_cast<std::uint32_t>(stored.size()));
}

void SegmentWriter::write_seal(std::uint64_t next_offset) {
  format::BlockHeader header;
  header.mutate_base_offset(next_offset);
  header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::seal));
  SPILLWAY_ASSERT(!sealed_ && tail_ + kBlockHeaderBytes <= info_.bytes);
  commit(header, 0);
  sealed_ = true;
}

void SegmentWriter::populate_ahead() {
  if (tail_ + kPopulateMarginBytes < populated_ || populated_ >= info_.bytes) return;
  const std::uint64_t end = std::min(info_.bytes, tail_ + kPopulateBytes);
  if (end <= populated_) return;
  map_->populate(static_cast<std::size_t>(populated_), static_cast<std::size_t>(end - populated_));
  populated_ = end;
}

}  // namespace spillway::core
