// Small helpers for the 'valid iff' rules. Private to core/format.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "spillway/core/format.h"

namespace spillway::core {

/// A broken rule. The caller adds where (file, offset): a rule knows only the bytes.
[[nodiscard]] inline tl::unexpected<Error> broken(std::string rule) {
  return fail(ErrorCode::kCorrupt, std::move(rule));
}

/// The rule for magic and version that every stored struct shares.
[[nodiscard]] Result<void> check_magic(std::uint64_t magic, std::uint64_t expected,
                                       std::uint32_t version, const char* what);

/// True if every byte of a flatbuffers::Array from `from` on is 0.
template <typename Array>
[[nodiscard]] bool is_zero_from(const Array& bytes, std::size_t from = 0) {
  return std::all_of(bytes.data() + from, bytes.data() + bytes.size(),
                     [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace spillway::core
