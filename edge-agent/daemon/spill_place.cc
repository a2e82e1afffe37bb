#include "edge-agent/daemon/spill_place.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <filesystem>

namespace spillway::agent {
namespace {

namespace fs = std::filesystem;

std::optional<std::uint64_t> device_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return static_cast<std::uint64_t>(status.st_dev);
}

fs::path whole_path(const std::string& path) {
  std::error_code none;
  const auto whole = fs::weakly_canonical(path, none);
  return none ? fs::path(path) : whole;
}

/// Of the path, or of its nearest parent that is there.
std::optional<std::uint64_t> nearest_device(fs::path path) {
  while (true) {
    if (const auto device = device_of(path)) return device;
    if (path == path.parent_path()) return std::nullopt;
    path = path.parent_path();
  }
}

}  // namespace

void SpillPlace::settle() {
  below_.reset();
  fs::path path = whole_path(spill_dir_);
  const auto device = device_of(path);
  while (device && path != path.parent_path()) {
    path = path.parent_path();
    const auto parent = device_of(path);
    if (!parent || *parent == *device) continue;
    below_ = parent;
    return;
  }
}

core::Result<void> SpillPlace::check_mounted() const {
  if (!below_ || nearest_device(whole_path(spill_dir_)) != below_) return {};
  return core::fail(core::ErrorCode::kNotFound,
                    "the file system that held " + spill_dir_ +
                        " is no longer mounted: mount it, or restart the agent to begin anew below "
                        "the mount point");
}

PlaceFacts SpillPlace::facts() const {
  struct statvfs status {};
  if (::statvfs(spill_dir_.c_str(), &status) != 0) return {};
  return {(status.f_flag & ST_RDONLY) != 0, std::uint64_t{status.f_bavail} * status.f_frsize,
          std::uint64_t{status.f_blocks} * status.f_frsize};
}

}  // namespace spillway::agent
