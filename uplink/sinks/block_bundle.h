// BlockBundle: a data block as a message that explains itself: behind the declaration of its lane and the
// clock's reading of that lane's boot, each as it stands in the spill (docs/format.md), all sealed with the
// data block's salt.
//
// Pure; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

#include "spillway/core/stream_reader.h"
#include "spillway/core/uuid.h"

namespace spillway::uplink {

class BlockBundle {
 public:
  void learn_lane(const core::Block& declaration);
  void forget_lane(std::uint64_t lane);
  /// The latest of a boot counts.
  void learn_clock(const core::Uuid& boot, const core::Block& reading);

  /// Makes the message of this block, whose lane is of this boot.
  void make(const core::Block& data, const core::Uuid& boot);
  /// What was made last.
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  struct Kept {
    format::BlockHeader header;
    std::vector<std::byte> stored;
  };
  static Kept keep(const core::Block& block);
  void append(const format::BlockHeader& header, std::span<const std::byte> stored);
  void append_sealed(const Kept& kept, std::uint64_t salt);

  std::unordered_map<std::uint64_t, Kept> lanes_;
  std::map<core::Uuid, Kept> clocks_;
  std::vector<std::byte> bytes_;
};

}  // namespace spillway::uplink
