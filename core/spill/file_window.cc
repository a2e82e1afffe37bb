#include "core/spill/file_window.h"

namespace spillway::core {

Result<std::span<const std::byte>> FileWindow::view(std::uint64_t position, std::size_t size) {
  const bool inside = position >= start_ && position - start_ <= filled_ &&
                      filled_ - static_cast<std::size_t>(position - start_) >= size;
  if (!inside) {
    const std::size_t wanted = std::max(size, next_read_);
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    start_ = position;
    filled_ = 0;
    SPILLWAY_TRY(got, file_->read(position, {buffer_.data(), wanted}));
    filled_ = got;
    next_read_ = std::min(next_read_ * 2, kReadBytesMax);
  }
  const auto at = static_cast<std::size_t>(position - start_);
  return std::span<const std::byte>(buffer_.data() + at, std::min(size, filled_ - at));
}

void FileWindow::refresh() {
  filled_ = 0;
  next_read_ = kFirstReadBytes;
}

}  // namespace spillway::core
