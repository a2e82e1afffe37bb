#include "spillway/core/env/file_identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace spillway::core::env {

std::optional<FileIdentity> identify(const std::string& path) {
  struct statx status {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_INO | STATX_BTIME, &status) != 0) {
    return std::nullopt;
  }
  const bool born_known = (status.stx_mask & STATX_BTIME) != 0;
  const std::int64_t born_ns =
      born_known ? status.stx_btime.tv_sec * 1'000'000'000 + status.stx_btime.tv_nsec : 0;
  return FileIdentity{makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino, born_ns};
}

}  // namespace spillway::core::env
