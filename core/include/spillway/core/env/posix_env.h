// The real Env: files, mappings and clocks of this machine.
#pragma once

#include "spillway/core/env/env.h"

namespace spillway::core::env {

/// One for the process; any thread.
[[nodiscard]] Env& posix_env();

}  // namespace spillway::core::env
