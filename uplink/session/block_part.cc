#include "uplink/session/block_part.h"

#include <algorithm>

#include "spillway/core/codec.h"
#include "spillway/core/format.h"

namespace spillway::uplink {

bool has_parts(const core::Block& block) {
  const bool data = block.header.kind() == static_cast<std::uint8_t>(format::BlockKind::data);
  return data && !core::is_compressed(block.header) && block.header.count() > 1;
}

core::Block part_of(const core::Block& block, std::uint64_t from_offset, std::size_t bytes_max) {
  core::FrameCursor frames(block.stored);
  core::FrameView frame;
  const std::uint64_t base = block.header.base_offset();
  std::size_t begin = 0;
  std::size_t end = 0;
  std::uint32_t count = 0;
  for (std::uint64_t offset = base; frames.next(frame); ++offset) {
    const auto bytes = static_cast<std::size_t>(core::frame_bytes(frame.record.size()));
    if (offset < from_offset) {
      begin = end = end + bytes;
      continue;
    }
    if (count != 0 && core::kBlockHeaderBytes + end - begin + bytes > bytes_max) break;
    end += bytes;
    ++count;
  }
  core::Block part = block;
  part.stored = block.stored.subspan(begin, end - begin);
  format::BlockHeader& header = part.header;
  header.mutate_base_offset(std::max(base, from_offset));
  header.mutate_count(count);
  header.mutate_stored_size(static_cast<std::uint32_t>(part.stored.size()));
  header.mutate_raw_size(header.stored_size());
  // The lane has the frames behind this part at least: its end is not told before they are.
  const std::size_t behind = block.stored.size() - end;
  header.mutate_lane_end(header.lane_end() - std::min<std::uint64_t>(behind, header.lane_end()));
  header.mutate_checksum(core::block_checksum(header, part.stored, block.salt));
  return part;
}

}  // namespace spillway::uplink
