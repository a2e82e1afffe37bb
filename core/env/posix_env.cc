#include "spillway/core/env/posix_env.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string_view>

#include "core/env/paths.h"
#include "core/env/posix_file.h"
#include "spillway/core/assert.h"
#include "spillway/core/env/build_time.h"

namespace spillway::core::env {

namespace {

constexpr mode_t kDirectoryMode = 0750;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

std::uint64_t read_clock(clockid_t clock) {
  timespec now{};
  SPILLWAY_ASSERT(::clock_gettime(clock, &now) == 0);
  const auto seconds = static_cast<std::uint64_t>(std::max<decltype(now.tv_sec)>(now.tv_sec, 0));
  return seconds * kNsPerSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t kernel_random() {
  std::uint64_t value = 0;
  const ssize_t got = uninterrupted([&] { return ::getrandom(&value, sizeof(value), 0); });
  SPILLWAY_ASSERT(got == static_cast<ssize_t>(sizeof(value)));  // whole up to 256 bytes, says Linux
  return value;
}

/// True if the directory was not there before.
Result<bool> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), kDirectoryMode) == 0) return true;
  const int error = errno;
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return false;
    return fail(ErrorCode::kInvalidArgument,
                "making directory " + path + ": a file of this name is in the way");
  }
  if (error == EEXIST) {
    return fail(ErrorCode::kNotFound,
                "making directory " + path + ": it is a link to what is not there");
  }
  return fail_errno(error, "making directory " + path);
}

class PosixEnv final : public Env {
 public:
  PosixEnv() : boot_id_(read_boot_id()) {}

  [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path,
                                                   OpenMode mode) override {
    SPILLWAY_TRY(descriptor, open_descriptor(path, mode));
    return posix_file_of(std::move(descriptor), path);
  }

  [[nodiscard]] Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) == 0) return {};
    return fail_errno(errno, "renaming " + from + " to " + to);
  }

  [[nodiscard]] Result<void> remove(const std::string& path) override {
    if (std::remove(path.c_str()) == 0) return {};
    return fail_errno(errno, "removing " + path);
  }

  [[nodiscard]] Result<void> make_directories(const std::string& path) override {
    for (const std::string& part : prefixes_of(path)) {
      SPILLWAY_TRY(made, make_directory(part));
      if (made) SPILLWAY_CHECKED(sync_directory(parent_of(part)));
    }
    return {};
  }

  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (!directory) return fail_errno(errno, "listing " + path);
    std::vector<std::string> names;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());  // NOLINT(concurrency-mt-unsafe)
      if (entry == nullptr) break;
      const std::string_view name(entry->d_name);
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return fail_errno(errno, "listing " + path);
    std::sort(names.begin(), names.end());
    return names;
  }

  [[nodiscard]] Result<std::vector<SizedName>> list_sizes(const std::string& path) override {
    const Descriptor directory(
        uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!directory.is_open()) return fail_errno(errno, "listing " + path);
    SPILLWAY_TRY(names, list(path));
    std::vector<SizedName> files;
    files.reserve(names.size());
    for (std::string& name : names) {
      struct stat status {};
      if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;  // gone since it was listed
        return fail_errno(errno, "listing the sizes in " + path);
      }
      if (!S_ISREG(status.st_mode)) continue;
      files.push_back({std::move(name), static_cast<std::uint64_t>(status.st_size)});
    }
    return files;
  }

  [[nodiscard]] Result<bool> exists(const std::string& path) override {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return fail_errno(errno, "looking for " + path);
  }

  [[nodiscard]] Result<void> sync_directory(const std::string& path) override {
    const Descriptor directory(
        uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!directory.is_open()) return fail_errno(errno, "syncing directory " + path);
    if (uninterrupted([&] { return ::fsync(directory.get()); }) == 0) return {};
    return fail_errno(errno, "syncing directory " + path);
  }

  [[nodiscard]] std::string canonical(const std::string& path) override {
    std::error_code error;
    const auto found = std::filesystem::canonical(path, error);
    return error ? path : found.string();
  }

  [[nodiscard]] std::uint64_t boottime_ns() override { return read_clock(CLOCK_BOOTTIME); }
  [[nodiscard]] std::uint64_t utc_ns() override { return read_clock(CLOCK_REALTIME); }

  [[nodiscard]] bool utc_is_certain() override {
    timex state{};
    if (::adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0) return true;
    return utc_ns() > built_at_ns();
  }

  [[nodiscard]] Uuid boot_id() override { return boot_id_; }
  [[nodiscard]] std::uint64_t random_u64() override { return kernel_random(); }

 private:
  Uuid read_boot_id() {
    const auto bytes = read_file(*this, "/proc/sys/kernel/random/boot_id", 64);
    if (bytes) {
      std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
      text = text.substr(0, text.find('\n'));
      if (const auto id = Uuid::parse(text)) return *id;
    }
    // Without /proc every start counts as a new boot: nothing of the last one is believed, which is
    // the safe side.
    return Uuid::from_random(kernel_random(), kernel_random());
  }

  Uuid boot_id_;
};

}  // namespace

Env& posix_env() {
  static PosixEnv env;
  return env;
}

}  // namespace spillway::core::env
