#include "core/format/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace spillway::core {

std::uint64_t xxh3(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t xxh3(std::span<const std::byte> first, std::span<const std::byte> second,
                   std::uint64_t seed) {
  XXH3_state_t state;      // on the stack: nothing is allocated
  XXH3_INITSTATE(&state);  // its reset reads the seed that was there before
  XXH3_64bits_reset_withSeed(&state, seed);
  XXH3_64bits_update(&state, first.data(), first.size());
  XXH3_64bits_update(&state, second.data(), second.size());
  return XXH3_64bits_digest(&state);
}

}  // namespace spillway::core
