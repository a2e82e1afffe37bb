#include "uplink/session/last_record.h"

#include "spillway/core/format.h"

namespace spillway::uplink {

using core::Result;

Result<std::optional<std::uint64_t>> checksum_of_record(BlockSource& source,
                                                        const core::Uuid& journal,
                                                        std::uint64_t offset) {
  source.offer_stored(false);
  SPILLWAY_CHECKED(source.seek(offset));
  while (true) {
    SPILLWAY_TRY(item, source.next());
    if (!item || std::holds_alternative<core::Gap>(*item)) return std::nullopt;
    const auto& block = std::get<core::Block>(*item);
    if (block.header.kind() != static_cast<std::uint8_t>(format::BlockKind::data)) continue;
    // The first data block behind a seek is the one that holds the offset, if any does.
    if (block.journal != journal || block.header.base_offset() > offset) return std::nullopt;
    core::FrameCursor frames(block.stored);
    core::FrameView frame;
    for (std::uint64_t at = block.header.base_offset(); frames.next(frame); ++at) {
      if (at == offset) return core::record_checksum(offset, frame.ticks, frame.record);
    }
    return std::nullopt;
  }
}

}  // namespace spillway::uplink
