#include "shm/queue/queue_rooms.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string_view>

namespace spillway::shm {

namespace {

using core::ErrorCode;
using core::Result;

constexpr mode_t kSharedMode = 03773;
constexpr mode_t kPrivateMode = 0700;
constexpr mode_t kSpillMode = 0750;  // as the spill's own directories
constexpr mode_t kModeBits = 07777;

Result<void> check_parent(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::absolute(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  struct stat status {};
  if (stat(parent.c_str(), &status) != 0) {
    return core::fail_errno(errno, "cannot use " + parent.string() + " for the queue directory");
  }
  if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0) {
    return core::fail(ErrorCode::kPermission,
                      "refused queue directory " + path + ": everybody may rename files in " +
                          parent.string() + "; chmod o-w or +t it, or choose another queue_dir");
  }
  return {};
}

Result<void> make_room(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), kPrivateMode) != 0 && errno != EEXIST) {
    return core::fail_errno(errno, "cannot make directory " + path);
  }
  const Descriptor room(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!room && (errno == ELOOP || errno == ENOTDIR)) {
    return core::fail(ErrorCode::kPermission,
                      "refused " + path + ": it is a symlink or no directory; remove it");
  }
  if (!room) return core::fail_errno(errno, "cannot open directory " + path);
  struct stat status {};
  if (fstat(room.get(), &status) != 0) return core::fail_errno(errno, "cannot examine " + path);
  if (status.st_uid != geteuid()) {
    return core::fail(ErrorCode::kPermission,
                      "refused " + path + ": it belongs to user " + std::to_string(status.st_uid) +
                          ", not to " + std::to_string(geteuid()) +
                          "; run the agent as its owner, or choose another queue_dir");
  }
  if ((status.st_mode & kModeBits) == mode) return {};
  if (fchmod(room.get(), mode) != 0)
    return core::fail_errno(errno, "cannot set the mode of " + path);
  return {};
}

std::string pid_in(int fd) {
  std::array<char, 16> text{};
  const ssize_t got = pread(fd, text.data(), text.size() - 1, 0);
  std::string pid(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  pid.erase(std::find_if(pid.begin(), pid.end(), [](char c) { return c < '0' || c > '9'; }),
            pid.end());
  return pid.empty() ? "unknown" : pid;
}

}  // namespace

Result<void> make_rooms(const std::string& path) {
  SPILLWAY_CHECKED(check_parent(path));
  SPILLWAY_CHECKED(make_room(path, kSharedMode));
  SPILLWAY_CHECKED(make_room(path + "/lanes", kSharedMode));
  SPILLWAY_CHECKED(make_room(path + "/schemas", kSharedMode));
  SPILLWAY_CHECKED(make_room(path + "/journal", kPrivateMode));
  SPILLWAY_CHECKED(make_room(path + "/spill", kSpillMode));
  return make_room(path + "/quarantine", kPrivateMode);
}

Result<Descriptor> open_own_file(const std::string& path, mode_t mode) {
  // Twice: once to meet what is there, once more after what is not ours has been removed.
  for (int i = 0; i < 2; ++i) {
    Descriptor file(
        open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kPrivateMode));
    struct stat status {};
    if (file && fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_uid == geteuid() && status.st_nlink == 1) {
      if (fchmod(file.get(), mode) == 0) return file;
      return core::fail_errno(errno, "cannot set the mode of " + path);
    }
    // Some errors are the squatter's doing: a symlink, a socket, a file that we may not open.
    if (!file && errno != ELOOP && errno != EACCES && errno != ENXIO && errno != EISDIR) {
      return core::fail_errno(errno, "cannot open " + path);
    }
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
      return core::fail_errno(errno, "cannot remove " + path + ", which is not the agent's file");
    }
  }
  return core::fail(ErrorCode::kPermission, "refused " + path + ": it is not the agent's file");
}

Result<Descriptor> lock_queue(const std::string& path) {
  const std::string name = path + "/agent.lock";
  SPILLWAY_TRY(file, open_own_file(name, 0600));
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(file.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno != EAGAIN && errno != EACCES) return core::fail_errno(errno, "cannot lock " + name);
    return core::fail(ErrorCode::kBusy, "queue directory " + path + " already has an agent (pid " +
                                            pid_in(file.get()) + "); stop that one first");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(file.get(), 0) != 0 ||
      pwrite(file.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return core::fail_errno(errno, "cannot write " + name);
  }
  return std::move(file);
}

Result<std::vector<std::string>> list_names(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (!directory) return core::fail_errno(errno, "cannot list " + path);
  std::vector<std::string> names;
  errno = 0;
  while (const struct dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  if (errno != 0) return core::fail_errno(errno, "cannot list " + path);
  std::sort(names.begin(), names.end());
  return names;
}

Result<core::Uuid> read_boot_id() {
  constexpr const char* kPath = "/proc/sys/kernel/random/boot_id";
  constexpr std::size_t kTextBytes = 36;
  const Descriptor file(open(kPath, O_RDONLY | O_CLOEXEC));
  std::array<char, kTextBytes> text{};
  if (!file || read(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return core::fail_errno(errno, std::string("cannot read ") + kPath);
  }
  const auto boot = core::Uuid::parse(std::string_view(text.data(), text.size()));
  if (!boot) return core::fail(ErrorCode::kIo, std::string("no boot id in ") + kPath);
  return *boot;
}

}  // namespace spillway::shm
