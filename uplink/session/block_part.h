// A part of a data block: on a slow link a block of 64 KiB would keep live data waiting for longer than
// anybody wants to. Frames are not altered; the header and its checksum are made anew, as a reader
// does it for a block that it has decoded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "spillway/core/stream_reader.h"

namespace spillway::uplink {

/// A block of data that is not compressed, and so can be taken apart.
[[nodiscard]] bool has_parts(const core::Block& block);

/// Of such a block the records from `from_offset` on, which it holds: as many as fit into `bytes_max`, but
/// one. Good as long as `block` is.
[[nodiscard]] core::Block part_of(const core::Block& block, std::uint64_t from_offset,
                                  std::size_t bytes_max);

}  // namespace spillway::uplink
