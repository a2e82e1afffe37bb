// Batch: the records of one request, built and checked, on their way into a lane.
//
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "spillway/core/frame.h"

namespace spillway::agent::api {

class Batch {
 public:
  void add(std::span<const std::byte> record) {
    const std::size_t at = bytes_.size();
    // 16-byte aligned, as in the lane.
    const std::size_t padded = (record.size() + 15) & ~std::size_t{15};
    bytes_.resize(at + padded);
    std::memcpy(bytes_.data() + at, record.data(), record.size());
    slices_.push_back({at, record.size()});
    const std::uint64_t frame = core::frame_bytes(record.size());
    frames_ += frame;
    frame_max_ = frame > frame_max_ ? frame : frame_max_;
  }
  [[nodiscard]] std::span<const std::byte> at(std::size_t i) const {
    return std::span(bytes_).subspan(slices_[i].at, slices_[i].size);
  }
  [[nodiscard]] std::size_t size() const { return slices_.size(); }
  /// What the lane needs for all of them, at worst: padding at the ring's end, and the terminator.
  [[nodiscard]] std::uint64_t lane_bytes() const {
    return frames_ + frame_max_ + core::kFrameHeaderBytes;
  }

 private:
  struct Slice {
    std::size_t at;
    std::size_t size;
  };
  std::vector<std::byte> bytes_;
  std::vector<Slice> slices_;
  std::uint64_t frames_ = 0;
  std::uint64_t frame_max_ = 0;
};

}  // namespace spillway::agent::api
