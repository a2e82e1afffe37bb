// PosixMapping: a shared mapping of a file's first bytes. Private to core/env.
#pragma once

#include <memory>
#include <string>

#include "spillway/core/env/env.h"

namespace spillway::core::env {

/// Maps [0, size) of the open file `descriptor`; the mapping outlives it. `path` stands in
/// messages.
[[nodiscard]] Result<std::unique_ptr<Mapping>> map_descriptor(int descriptor, std::uint64_t size,
                                                              MapAccess access,
                                                              const std::string& path);

}  // namespace spillway::core::env
