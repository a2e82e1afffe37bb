// Landlock: the directories below which this thread, and those that it starts, may write. Private to
// core/sandbox.
#pragma once

#include <string>
#include <vector>

namespace spillway::core::sandbox {

/// "on", or why it is not.
[[nodiscard]] std::string fence_writes(const std::vector<std::string>& directories);

}  // namespace spillway::core::sandbox
