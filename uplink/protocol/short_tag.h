// The first byte of a message in a short form. A Message begins with a FlatBuffers offset, which is
// a multiple of four, so an odd byte tells them apart. Private to uplink/protocol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace spillway::uplink {

enum class ShortTag : std::uint8_t { kBlocks = 1, kCompressedBlocks = 3, kAck = 5 };

[[nodiscard]] inline bool is_short(std::span<const std::byte> message) {
  return !message.empty() && (static_cast<unsigned>(message.front()) & 1) != 0;
}

}  // namespace spillway::uplink
