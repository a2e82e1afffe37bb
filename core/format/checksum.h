// XXH3-64 in one place: the header-only build of xxHash is heavy to compile. Private to core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace spillway::core {

[[nodiscard]] std::uint64_t xxh3(std::span<const std::byte> bytes, std::uint64_t seed);
/// The digest of `first` followed by `second`, which stand apart in memory.
[[nodiscard]] std::uint64_t xxh3(std::span<const std::byte> first,
                                 std::span<const std::byte> second, std::uint64_t seed);

}  // namespace spillway::core
