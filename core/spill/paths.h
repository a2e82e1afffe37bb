// The names inside a stream's directory. Private to core/spill.
#pragma once

#include <string>

namespace spillway::core {

inline constexpr const char* kSpareName = "spare.spill";
inline constexpr const char* kRollName = "roll.spill";
inline constexpr const char* kRepairName = "repair.spill";
inline constexpr const char* kMoveName = "move.spill";
inline constexpr const char* kAnchorName = "anchor";
inline constexpr const char* kNextAnchorName = "anchor.new";
inline constexpr const char* kMemoryName = "memory";
inline constexpr const char* kHomeName = "home";
inline constexpr const char* kDamagedSuffix = ".damaged";
inline constexpr const char* kGuardName = "at-work";
inline constexpr const char* kLockName = "lock";
inline constexpr const char* kControlName = "control";
inline constexpr const char* kGapsName = "gaps";
inline constexpr const char* kCursorsName = "cursors";

[[nodiscard]] inline std::string join(const std::string& folder, const std::string& name) {
  return folder + "/" + name;
}

[[nodiscard]] inline std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace spillway::core
