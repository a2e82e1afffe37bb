// FileIdentity: which file stands under a name, so that it is noticed when another one does: a card
// that was wiped, changed or mounted over while its files were open.
//
// Any thread. One system call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace spillway::core::env {

struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  /// When it was made: a number that is free again is given to the next file. 0: not known here.
  std::int64_t born_ns = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

/// Nothing where there is no such file, or it cannot be asked.
[[nodiscard]] std::optional<FileIdentity> identify(const std::string& path);

}  // namespace spillway::core::env
