// Alone in its file, so that another time of the build compiles nothing else anew.
#include "spillway/core/env/build_time.h"

namespace spillway::core::env {

std::uint64_t built_at_ns() { return SPILLWAY_BUILT_AT_SECONDS * 1'000'000'000ULL; }

}  // namespace spillway::core::env
