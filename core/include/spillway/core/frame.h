// The frame's constants, for those who see frames alone: the producer library, which has nothing
// else of the format.
//
// docs/format.md, 'The frame', is the specification.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spillway::core {

inline constexpr std::size_t kFrameHeaderBytes = 16;
inline constexpr std::size_t kFrameAlignment = 16;
inline constexpr std::uint32_t kCommitNothing = 0;
inline constexpr std::uint32_t kCommitPadding = 0xFFFF'FFFF;

/// Bytes a record takes in a lane and in a block: header, record, filling.
[[nodiscard]] constexpr std::uint64_t frame_bytes(std::uint64_t record_bytes) {
  return (record_bytes + kFrameHeaderBytes + kFrameAlignment - 1) &
         ~std::uint64_t{kFrameAlignment - 1};
}

}  // namespace spillway::core
