#include "spillway/core/fingerprint.h"

#include "core/format/checksum.h"

namespace spillway::core {

std::uint64_t schema_fingerprint(std::span<const std::byte> bfbs) {
  const std::uint64_t fingerprint = xxh3(bfbs, 0);
  return fingerprint == 0 ? 1 : fingerprint;
}

}  // namespace spillway::core
