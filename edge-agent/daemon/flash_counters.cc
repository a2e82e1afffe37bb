#include "edge-agent/daemon/flash_counters.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <sstream>

namespace spillway::agent {
namespace {

constexpr std::uint64_t kSectorBytes = 512;
constexpr int kSectorsWrittenAt = 6;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::uint64_t own_written_bytes() {
  std::istringstream lines(text_of("/proc/self/io"));
  std::string key;
  std::uint64_t value = 0;
  while (lines >> key >> value) {
    if (key == "write_bytes:") return value;
  }
  return 0;
}

}  // namespace

std::optional<std::uint64_t> written_bytes_in(const std::string& device_stat) {
  std::istringstream numbers(device_stat);
  std::uint64_t value = 0;
  for (int i = 0; i <= kSectorsWrittenAt; ++i) {
    if (!(numbers >> value)) return std::nullopt;
  }
  return value * kSectorBytes;
}

FlashReading read_flash_counters(const std::string& directory) {
  FlashReading reading;
  reading.own_bytes = own_written_bytes();
  struct statfs system {};
  struct stat status {};
  if (::statfs(directory.c_str(), &system) != 0 || ::stat(directory.c_str(), &status) != 0) {
    return reading;
  }
  reading.device = status.st_dev;
  // Signed, and of the machine's word: ramfs's number would be negative on 32 bits.
  const auto kind = static_cast<std::uint32_t>(system.f_type);
  if (kind == TMPFS_MAGIC || kind == RAMFS_MAGIC) {
    reading.device_bytes = 0;
    return reading;
  }
  const std::string device = "/sys/dev/block/" + std::to_string(::major(status.st_dev)) + ":" +
                             std::to_string(::minor(status.st_dev)) + "/stat";
  reading.device_bytes = written_bytes_in(text_of(device));
  return reading;
}

}  // namespace spillway::agent
