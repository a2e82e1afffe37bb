// What this gateway holds of the record below a position: so that a stream whose history was rolled
// back (a virtual machine's snapshot, a restored image) and has grown beyond the consumer's position
// again is found before anything is sent.
//
// One thread. Moves the source: seek() again afterwards.
#pragma once

#include <cstdint>
#include <optional>

#include "uplink/session/block_source.h"

namespace spillway::uplink {

/// core::record_checksum of the record at `offset` in `journal`; nothing if it is not held any more.
[[nodiscard]] core::Result<std::optional<std::uint64_t>> checksum_of_record(
    BlockSource& source, const core::Uuid& journal, std::uint64_t offset);

}  // namespace spillway::uplink
