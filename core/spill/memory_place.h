// The directory in memory of a stream with `placement = "memory-first"`: which one it is. Private to
// core/spill; any thread.
//
// The stream's directory holds a file `memory` with the path of the one in memory, and that one a
// file `home` with this boot's id and the path of the stream's directory. Only where both say so do
// they belong together: a copy of a spill never takes another's memory for its own, and what an
// earlier boot left, where it was no tmpfs after all, is never taken for this one's.
#pragma once

#include <string>

#include "spillway/core/env/env.h"

namespace spillway::core {

/// Empty if the stream has none. A disk that answers nothing (kIo) is asked in vain: then it is the one
/// that this process has found before.
[[nodiscard]] std::string find_memory(env::Env& env, const std::string& directory);

/// What stands in `memory` is the stream's, and of this boot.
[[nodiscard]] bool is_memory_of(env::Env& env, const std::string& directory,
                                const std::string& memory);

/// Makes `memory` the stream's. What is not of this boot is removed.
[[nodiscard]] Result<void> begin_memory(env::Env& env, const std::string& directory,
                                        const std::string& memory);

/// The stream has none any more. Nothing but hints is lost: there are no segments in it.
[[nodiscard]] Result<void> end_memory(env::Env& env, const std::string& directory,
                                      const std::string& memory);

}  // namespace spillway::core
