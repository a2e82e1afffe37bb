#include "core/env/paths.h"

#include <algorithm>

namespace spillway::core::env {

std::vector<std::string> prefixes_of(const std::string& path) {
  std::vector<std::string> prefixes;
  std::string prefix;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    if (slash > at) {
      if (!prefix.empty() || path.front() == '/') prefix += '/';
      prefix.append(path, at, slash - at);
      prefixes.push_back(prefix);
    }
    at = slash + 1;
  }
  return prefixes;
}

std::string parent_of(const std::string& path) {
  const std::vector<std::string> prefixes = prefixes_of(path);
  if (prefixes.size() >= 2) return prefixes[prefixes.size() - 2];
  return path.starts_with('/') ? "/" : ".";
}

}  // namespace spillway::core::env
