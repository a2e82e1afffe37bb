#include "core/spill/block_opener.h"

namespace spillway::core {

Block block_of(const ScannedBlock& scanned, const SegmentInfo& segment) {
  Block block;
  block.header = scanned.header;
  block.stored = scanned.stored;
  block.salt = segment.header.salt();
  block.segment_sequence = segment.sequence;
  block.journal_sequence = segment.header.journal_sequence();
  block.journal = segment.journal();
  return block;
}

void BlockOpener::learn(const ScannedBlock& block) {
  if (block.kind() != format::BlockKind::dictionary) return;
  // Should zstd not take it, the blocks that name it are damage.
  static_cast<void>(decoder_.learn(block.stored));
}

bool BlockOpener::open(const ScannedBlock& scanned, Block& block) {
  if (!is_compressed(scanned.header)) return true;
  decoded_.resize(kDecodedBytesMax);
  const auto frames = std::span(decoded_).first(scanned.header.raw_size());
  if (!decoder_.decode(scanned.header, scanned.stored, frames)) return false;
  if (offers_stored_) return true;
  block.stored = frames;
  block.header.mutate_codec(static_cast<std::uint8_t>(format::Codec::none));
  block.header.mutate_stored_size(block.header.raw_size());
  block.header.mutate_checksum(block_checksum(block.header, block.stored, block.salt));
  return true;
}

}  // namespace spillway::core
