// FileWindow: a segment's bytes for a scan, copied out by pread: small at first (a follower at the
// tail asks for little), then doubling. Private to core/spill.
//
// One thread. A view is good until the next call; it is shorter than asked for only at the end of
// the file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spillway/core/env/env.h"

namespace spillway::core {

class FileWindow {
 public:
  static constexpr std::size_t kFirstReadBytes = 8 * 1024;
  static constexpr std::size_t kReadBytesMax = 256 * 1024;

  explicit FileWindow(std::shared_ptr<env::File> file) : file_(std::move(file)) {}
  FileWindow(const FileWindow&) = delete;
  FileWindow& operator=(const FileWindow&) = delete;

  [[nodiscard]] Result<std::span<const std::byte>> view(std::uint64_t position, std::size_t size);
  /// Forgets what was read: a living writer may have changed it.
  void refresh();

 private:
  std::shared_ptr<env::File> file_;
  std::vector<std::byte> buffer_;
  std::uint64_t start_ = 0;
  std::size_t filled_ = 0;
  std::size_t next_read_ = kFirstReadBytes;
};

}  // namespace spillway::core
