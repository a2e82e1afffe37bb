#include "core/env/sim_inode.h"

#include <algorithm>
#include <cstring>

#include "spillway/core/assert.h"

namespace spillway::core::env {

namespace {

constexpr std::size_t kCapacityMin = 4096;

/// How a power cut treats one file's unsynced sectors. Pure mixtures would hardly ever keep or drop
/// all of many.
enum class CutMode : std::uint8_t { kDropAll, kKeepAll, kMixed, kHostile };

CutMode pick_mode(SimRandom& random) {
  const std::uint64_t dice = random.below(100);
  if (dice < 20) return CutMode::kDropAll;
  if (dice < 35) return CutMode::kKeepAll;
  if (dice < 70) return CutMode::kMixed;
  return CutMode::kHostile;
}

enum class SectorFate : std::uint8_t { kDropped, kKept, kTorn, kDestroyed };

SectorFate pick_fate(CutMode mode, SimRandom& random) {
  switch (mode) {
    case CutMode::kDropAll:
      return SectorFate::kDropped;
    case CutMode::kKeepAll:
      return SectorFate::kKept;
    case CutMode::kMixed:
      return random.chance(50) ? SectorFate::kKept : SectorFate::kDropped;
    case CutMode::kHostile:
      return static_cast<SectorFate>(random.below(4));
  }
  return SectorFate::kDropped;
}

}  // namespace

SimInode::SimInode(std::size_t sector_bytes, std::vector<std::byte> durable)
    : sector_bytes_(sector_bytes), durable_(std::move(durable)) {
  grow(durable_.size());
  if (size_ > 0) std::memcpy(bytes(), durable_.data(), size_);
  dirty_sectors_.clear();
}

void SimInode::grow(std::size_t size) {
  if (size <= size_) return;
  if (size > capacity_) {
    // A real mapping would go on to show the file; this one could not. No code under test needs it.
    SPILLWAY_ASSERT(living_mappings_ == 0);
    capacity_ = std::max({kCapacityMin, size, capacity_ * 2});
    std::shared_ptr<std::byte[]> larger(new std::byte[capacity_]());
    if (size_ > 0) std::memcpy(larger.get(), bytes(), size_);
    visible_ = std::move(larger);
  }
  size_ = size;
}

void SimInode::write(std::size_t offset, std::span<const std::byte> from) {
  if (from.empty()) return;
  grow(offset + from.size());
  std::memcpy(bytes() + offset, from.data(), from.size());
  mark_dirty(offset, from.size());
}

void SimInode::mark_dirty(std::size_t offset, std::size_t length) {
  const std::size_t last = (offset + length - 1) / sector_bytes_;
  for (std::size_t sector = offset / sector_bytes_; sector <= last; ++sector) {
    dirty_sectors_.insert(sector);
  }
}

void SimInode::copy_sector(std::size_t sector, std::size_t length,
                           std::vector<std::byte>& image) const {
  const std::size_t begin = sector * sector_bytes_;
  const std::size_t end = std::min({begin + length, image.size(), size_});
  if (begin < end) std::memcpy(image.data() + begin, bytes() + begin, end - begin);
}

void SimInode::sync() {
  durable_.resize(size_);
  for (const std::size_t sector : dirty_sectors_) copy_sector(sector, sector_bytes_, durable_);
  dirty_sectors_.clear();
}

void SimInode::fail_sync(SimRandom& random) {
  // The size is metadata: it is journalled, and reaches the disk or waits for the next sync.
  if (random.chance(50)) durable_.resize(size_);
  for (const std::size_t sector : dirty_sectors_) {
    if (random.chance(50)) copy_sector(sector, sector_bytes_, durable_);
  }
  dirty_sectors_.clear();
}

std::vector<std::byte> SimInode::after_power_cut(SimRandom& random) const {
  const CutMode mode = pick_mode(random);
  std::vector<std::byte> image = durable_;
  const bool size_kept =
      mode == CutMode::kKeepAll || (mode != CutMode::kDropAll && random.chance(50));
  if (size_kept) image.resize(size_);
  for (const std::size_t sector : dirty_sectors_) {
    const std::size_t begin = sector * sector_bytes_;
    const std::size_t end = std::min(begin + sector_bytes_, image.size());
    // A sector that is as it was cannot be told from one that was never written again.
    if (begin >= end || std::memcmp(image.data() + begin, bytes() + begin, end - begin) == 0) {
      continue;
    }
    switch (pick_fate(mode, random)) {
      case SectorFate::kDropped:
        break;
      case SectorFate::kKept:
        copy_sector(sector, sector_bytes_, image);
        break;
      case SectorFate::kTorn:
        copy_sector(sector, static_cast<std::size_t>(random.below(sector_bytes_)), image);
        break;
      case SectorFate::kDestroyed:
        for (std::size_t i = begin; i < end; ++i) image[i] = static_cast<std::byte>(random.next());
        break;
    }
  }
  return image;
}

void SimInode::flip_bit(std::uint64_t bit) {
  const auto at = static_cast<std::size_t>(bit / 8);
  SPILLWAY_ASSERT(at < size_);
  const auto mask = static_cast<std::byte>(1U << (bit % 8));
  bytes()[at] ^= mask;
  if (at < durable_.size()) durable_[at] ^= mask;
}

}  // namespace spillway::core::env
