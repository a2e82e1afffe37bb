// The schemas with which a spill explains itself: a producer's `.bfbs` bytes, named by their
// fingerprint in the lanes that use them.
//
// Pure functions over bytes, any thread. A schema comes from a producer, a spill or a far end, so it
// is hostile input: none is kept, sent or decoded with that check_schema has not passed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "spillway/core/fingerprint.h"
#include "spillway/core/result.h"

namespace spillway::core {

/// 16 hex digits: how files and tables spell a fingerprint.
[[nodiscard]] std::string fingerprint_text(std::uint64_t fingerprint);

/// kCorrupt unless the bytes are one whole FlatBuffers binary schema with a root type, within
/// `size_max`. What its numbers mean is not checked: RecordJson does that as it goes.
[[nodiscard]] Result<void> check_schema(std::span<const std::byte> bfbs,
                                        std::size_t size_max = kSchemaBytesMax);

}  // namespace spillway::core
