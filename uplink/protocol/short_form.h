// The short form of a Blocks message: what the far end can work out for itself is left out, and the
// rest stands so that it compresses well. docs/format.md, 'On the wire', is the specification.
//
// Pure functions, any thread. Used by both ends, where Hello and Welcome agree on it.
//
// Invariants:
//  1. expand() gives the same records with the same ticks under the same offsets, in blocks of the
//     same lanes and anchors. Filling between frames becomes 0, and blocks are sealed anew, with
//     salt 0; that nothing changed on the way is what the message's own checksum says.
//  2. expand() trusts nothing: what it makes is at most `bytes_max`, however few bytes ask for it,
//     and its blocks are still to be checked like any others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "spillway/core/result.h"
#include "uplink/protocol/messages.h"

namespace spillway::uplink {

/// The content of a short message; nothing if a block does not read as one (it goes as it is then,
/// and the far end says what is wrong with it). `journal`: its place in Hello's list.
[[nodiscard]] std::optional<Bytes> shorten(const Blocks& blocks, std::size_t journal);

struct Expanded {
  std::uint64_t journal = 0;  // its place in Hello's list; not checked
  Bytes blocks;               // back to back: each its header and its stored bytes
};

/// kProtocol with the rule that is broken.
[[nodiscard]] core::Result<Expanded> expand(std::span<const std::byte> content,
                                            std::size_t bytes_max);

}  // namespace spillway::uplink
