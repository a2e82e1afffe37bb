// MappedFile: a file in memory, mapped and present, for the subjects that need nothing else.
//
// Any process: the first one makes it, the other opens the same path.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "bench/harness/cores.h"

namespace spillway::bench {

class MappedFile {
 public:
  /// bytes 0: as many as the file has.
  MappedFile(const std::string& path, std::size_t bytes) : size_(bytes) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) die("cannot open " + path);
    if (bytes == 0) {
      struct stat status {};
      if (fstat(fd, &status) != 0) die("cannot examine " + path);
      size_ = static_cast<std::size_t>(status.st_size);
    } else if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
      die("cannot size " + path);
    }
    address_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    ::close(fd);
    if (address_ == MAP_FAILED) die("cannot map " + path);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { munmap(address_, size_); }

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(address_); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  void* address_ = nullptr;
};

}  // namespace spillway::bench
