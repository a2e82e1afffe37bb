// SimInode: one simulated file: what processes see, and what the disk would hold. Private to
// core/env.
//
// Invariants:
//  1. The two images differ only in sectors that are dirty, or that a failed sync has lost.
//  2. The visible bytes never move while a living mapping looks at them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "core/env/sim_random.h"

namespace spillway::core::env {

class SimInode {
 public:
  explicit SimInode(std::size_t sector_bytes) : sector_bytes_(sector_bytes) {}
  /// A file that the disk holds with these bytes: after a power cut.
  SimInode(std::size_t sector_bytes, std::vector<std::byte> durable);

  [[nodiscard]] std::size_t sector_bytes() const { return sector_bytes_; }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::byte* bytes() const { return visible_.get(); }
  /// Keeps the visible bytes in memory for a mapping, even a dead one.
  [[nodiscard]] std::shared_ptr<std::byte[]> buffer() const { return visible_; }

  void grow(std::size_t size);
  void write(std::size_t offset, std::span<const std::byte> from);
  /// For a store that was made in the visible bytes directly.
  void mark_dirty(std::size_t offset, std::size_t length);
  void sync();
  /// The disk failed: each dirty sector reached it or not, and none is dirty any more.
  void fail_sync(SimRandom& random);
  /// What the disk holds after a power cut.
  [[nodiscard]] std::vector<std::byte> after_power_cut(SimRandom& random) const;
  void flip_bit(std::uint64_t bit);

  void mapping_made() { ++living_mappings_; }
  void mapping_gone() { --living_mappings_; }
  void forget_mappings() { living_mappings_ = 0; }

  const void* lock_holder = nullptr;

 private:
  /// Copies the first `length` bytes of a sector from the visible image into `image`.
  void copy_sector(std::size_t sector, std::size_t length, std::vector<std::byte>& image) const;

  std::size_t sector_bytes_;
  std::shared_ptr<std::byte[]> visible_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  std::vector<std::byte> durable_;
  std::set<std::size_t> dirty_sectors_;
  std::size_t living_mappings_ = 0;
};

}  // namespace spillway::core::env
