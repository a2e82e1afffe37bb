#include "edge-agent/ingest/system_sensor/kept_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace spillway::agent::sensor {

KeptFile::KeptFile(const std::string& path, std::size_t bytes_max)
    : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), buffer_(bytes_max) {}

KeptFile::~KeptFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

KeptFile::KeptFile(KeptFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), buffer_(std::move(other.buffer_)) {}

std::string_view KeptFile::read() {
  std::size_t size = 0;
  // /proc gives some files piece by piece: go on until the end.
  while (descriptor_ >= 0 && size < buffer_.size()) {
    const ssize_t got = ::pread(descriptor_, buffer_.data() + size, buffer_.size() - size,
                                static_cast<off_t>(size));
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  return {buffer_.data(), size};
}

}  // namespace spillway::agent::sensor
