// random_epoch: a name for a source's history that no other one has. Any thread.
#pragma once

#include <cstdint>

#include "spillway/core/env/posix_env.h"

namespace spillway::agent::capture {

/// Never 0, and positive in every database's integers.
[[nodiscard]] inline std::uint64_t random_epoch() {
  return core::env::posix_env().random_u64() >> 1 | 1;
}

}  // namespace spillway::agent::capture
