// How a lane names its schema. Apart from schema.h, so that the producer library, which depends on
// libc alone, can say it too. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace spillway::core {

/// No schema is larger: it must fit beside the lanes into the head of a segment.
inline constexpr std::size_t kSchemaBytesMax = 64U * 1024;

/// XXH3-64, seed 0, of the `.bfbs` bytes; 1 where that is 0, for a lane with a 0 names no schema.
[[nodiscard]] std::uint64_t schema_fingerprint(std::span<const std::byte> bfbs);

}  // namespace spillway::core
