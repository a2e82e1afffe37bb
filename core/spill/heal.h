// Healing: what one flipped bit has made invalid is made valid again, by trying each bit until the
// checksum fits. Private to core/spill, for repair only; any thread.
//
// A checksum of 64 bits over at most 2^17 tries: that another bit than the decayed one fits by
// chance is less likely than 1 in 10^14.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "spillway/core/format.h"

namespace spillway::core {

/// Larger blocks are not tried: each bit costs one checksum over the whole block.
inline constexpr std::size_t kHealBytesMax = 16 * 1024;

/// The header that differs in one bit and is valid for a file of this size.
[[nodiscard]] std::optional<format::SegmentHeader> heal_segment_header(
    const format::SegmentHeader& header, std::uint64_t file_size);

/// The block (header and stored bytes) at the beginning of `bytes` that differs in one bit and is
/// valid under this salt and expected offset.
[[nodiscard]] std::optional<std::vector<std::byte>> heal_block(std::span<const std::byte> bytes,
                                                               std::uint64_t salt,
                                                               std::uint64_t expected_offset);

}  // namespace spillway::core
