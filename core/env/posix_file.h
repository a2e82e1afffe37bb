// PosixFile: an open regular file. Private to core/env.
#pragma once

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "spillway/core/env/env.h"

namespace spillway::core::env {

/// Repeats a system call that a signal interrupted.
template <typename Call>
[[nodiscard]] auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);  // and what was open here goes with the other
    return *this;
  }
  ~Descriptor();
  [[nodiscard]] int get() const { return number_; }
  [[nodiscard]] bool is_open() const { return number_ >= 0; }

 private:
  int number_;
};

/// Closes on exec; refuses what is no regular file.
[[nodiscard]] Result<Descriptor> open_descriptor(const std::string& path, OpenMode mode);
/// What such a descriptor is opened for, wherever it was opened.
[[nodiscard]] std::unique_ptr<File> posix_file_of(Descriptor descriptor, std::string path);

}  // namespace spillway::core::env
