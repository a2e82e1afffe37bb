// Anchor: where a stream goes on when the disk holds none of its segments, because all that were there
// have been delivered and the new ones stand in memory. Private to core/spill; any thread.
//
// The file `anchor`: a segment header and a page of zeros. Its base offset is where what the disk holds
// begins: everything below was freed. Its journal is the one in use, its segment sequence one that no
// segment on the disk has had.
//
// Invariants:
//  1. It is on the disk before the journal that it names is used, so that no journal's number is ever
//     given twice, whatever becomes of the memory.
//  2. It is on the disk before the last segment leaves it, and, at the base of the first one that
//     comes, before that one: a segment that stands behind it with a hole between was never
//     power-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"

namespace spillway::core {

/// The file's bytes. Of `header` what an anchor says is taken: stream, gateway, boot, journal and its
/// sequence, segment sequence, base offset.
[[nodiscard]] std::vector<std::byte> make_anchor(format::SegmentHeader header);
/// Keeps room for the next one: without an anchor nothing may leave the disk, not even where it is full. A hint:
/// where there is no room there is none.
void reserve_anchor(env::Env& env, const std::string& directory);
[[nodiscard]] Result<void> store_anchor(env::Env& env, const std::string& directory,
                                        std::span<const std::byte> bytes);
/// Nothing if there is none, or none that can be believed. One flipped bit is healed.
[[nodiscard]] Result<std::optional<format::SegmentHeader>> load_anchor(
    env::Env& env, const std::string& directory);

}  // namespace spillway::core
