#include "uplink/sinks/block_bundle.h"

#include "spillway/core/format.h"

namespace spillway::uplink {

BlockBundle::Kept BlockBundle::keep(const core::Block& block) {
  return {block.header, {block.stored.begin(), block.stored.end()}};
}

void BlockBundle::learn_lane(const core::Block& declaration) {
  lanes_[declaration.header.lane_id()] = keep(declaration);
}

void BlockBundle::forget_lane(std::uint64_t lane) { lanes_.erase(lane); }

void BlockBundle::learn_clock(const core::Uuid& boot, const core::Block& reading) {
  clocks_[boot] = keep(reading);
}

void BlockBundle::make(const core::Block& data, const core::Uuid& boot) {
  bytes_.clear();
  const auto lane = lanes_.find(data.header.lane_id());
  if (lane != lanes_.end()) append_sealed(lane->second, data.salt);
  const auto clock = clocks_.find(boot);
  if (clock != clocks_.end()) append_sealed(clock->second, data.salt);
  append(data.header, data.stored);
}

void BlockBundle::append_sealed(const Kept& kept, std::uint64_t salt) {
  format::BlockHeader header = kept.header;
  header.mutate_checksum(core::block_checksum(header, kept.stored, salt));
  append(header, kept.stored);
}

void BlockBundle::append(const format::BlockHeader& header, std::span<const std::byte> stored) {
  const auto bytes = std::as_bytes(std::span(&header, 1));
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.insert(bytes_.end(), stored.begin(), stored.end());
}

}  // namespace spillway::uplink
