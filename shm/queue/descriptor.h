// Descriptor: owns one file descriptor. Also what Boost.Interprocess' mapped_region takes as a
// mapping. Private to shm.
#pragma once

#include <unistd.h>

#include <boost/interprocess/detail/os_file_functions.hpp>
#include <boost/interprocess/interprocess_fwd.hpp>
#include <utility>

namespace spillway::shm {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Boost.Interprocess' name for it.
  [[nodiscard]] boost::interprocess::mapping_handle_t get_mapping_handle() const {
    return {fd_, false};
  }

 private:
  int fd_ = -1;
};

}  // namespace spillway::shm
