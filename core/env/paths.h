// Paths as both Envs cut them. Private to core/env.
#pragma once

#include <string>
#include <vector>

namespace spillway::core::env {

/// The directory a path's name stands in: "." for a bare name, "/" at the root.
[[nodiscard]] std::string parent_of(const std::string& path);
/// "/a/b/c" -> "/a", "/a/b", "/a/b/c"; doubled and closing slashes fall away.
[[nodiscard]] std::vector<std::string> prefixes_of(const std::string& path);

}  // namespace spillway::core::env
