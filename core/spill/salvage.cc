#include "core/spill/salvage.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "core/spill/heal.h"
#include "core/spill/segment_scan.h"
#include "core/spill/segment_writer.h"

namespace spillway::core {

namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();
/// Each costs up to a tenth of a second.
constexpr std::uint64_t kHealTriesMax = 64;

using format::BlockKind;

/// A whole block of bytes: header and content, sealed with the salt.
template <typename Content>
std::vector<std::byte> make_block(format::BlockHeader header, const Content& content,
                                  std::uint64_t salt) {
  const auto stored = bytes_of(content);
  header.mutate_stored_size(static_cast<std::uint32_t>(stored.size()));
  header.mutate_raw_size(header.stored_size());
  header.mutate_checksum(block_checksum(header, stored, salt));
  std::vector<std::byte> block(kBlockHeaderBytes + stored.size());
  std::memcpy(block.data(), &header, kBlockHeaderBytes);
  std::memcpy(block.data() + kBlockHeaderBytes, stored.data(), stored.size());
  return block;
}

ScannedBlock scanned(std::span<const std::byte> bytes, std::uint64_t position) {
  ScannedBlock block;
  std::memcpy(&block.header, bytes.data(), kBlockHeaderBytes);
  block.stored = bytes.subspan(kBlockHeaderBytes);
  block.position = position;
  return block;
}

std::optional<format::LaneDeclaration> declared_in(const ScannedBlock& block,
                                                   std::uint64_t lane_id) {
  if (block.kind() != BlockKind::lane || block.header.lane_id() != lane_id) return std::nullopt;
  format::LaneDeclaration declaration;
  std::memcpy(&declaration, block.stored.data(), sizeof(declaration));
  return declaration;
}

class Salvage {
 public:
  Salvage(env::Env& env, const std::vector<SegmentInfo>& segments, std::size_t index,
          std::unique_ptr<env::File> file)
      : env_(env),
        segments_(segments),
        index_(index),
        info_(segments[index]),
        salt_(info_.header.salt()),
        limit_(end_limit(segments, index)),
        window_(std::move(file)) {
    plan_.next_offset = info_.header.base_offset();
  }

  Result<SalvagePlan> run(std::uint64_t known_next) {
    while (position_ + kBlockHeaderBytes <= info_.bytes && !ended_) SPILLWAY_CHECKED(step());
    const std::uint64_t end = limit_ == kNoLimit ? known_next : limit_;
    if (end > plan_.next_offset) lose_the_end(end);
    return std::move(plan_);
  }

 private:
  Result<void> step();
  Result<std::optional<ScannedBlock>> valid_at(std::uint64_t position, std::uint64_t offset_min);
  Result<bool> heal_here();
  Result<bool> take(const ScannedBlock& block, std::vector<std::byte> made);
  Result<bool> declare(std::uint64_t lane_id);
  Result<std::optional<format::LaneDeclaration>> find_lane(std::uint64_t lane_id);
  Result<std::optional<format::LaneDeclaration>> find_lane_behind(std::uint64_t lane_id);
  Result<std::optional<format::LaneDeclaration>> find_lane_in(const SegmentInfo& info,
                                                              std::uint64_t lane_id);
  void lose_until(std::uint64_t next_offset);
  void add_gap(std::uint64_t next_offset);
  void lose_the_end(std::uint64_t end);
  void add(std::uint64_t position, std::size_t bytes, std::vector<std::byte> made) {
    plan_.blocks.push_back({position, bytes, std::move(made)});
  }

  env::Env& env_;
  const std::vector<SegmentInfo>& segments_;
  std::size_t index_;
  const SegmentInfo& info_;
  std::uint64_t salt_;
  std::uint64_t limit_;
  FileWindow window_;
  SalvagePlan plan_;
  std::uint64_t position_ = kSegmentHeaderBytes;
  std::uint64_t due_ = kSegmentHeaderBytes;  // where the next block should stand
  std::uint64_t heal_tries_ = 0;
  std::unordered_set<std::uint64_t> lanes_;
  bool ended_ = false;
};

/// One place where a block could stand.
Result<void> Salvage::step() {
  SPILLWAY_TRY(block, valid_at(position_, plan_.next_offset));
  if (block) {
    if (block->next_offset() > limit_) {
      ended_ = true;
      return {};
    }
    SPILLWAY_TRY(taken, take(*block, {}));
    if (taken) return {};
  } else if (position_ == due_ || position_ == round_up(due_, kPageBytes)) {
    SPILLWAY_TRY(healed, heal_here());
    if (healed) return {};
  }
  position_ += kBlockAlignment;
  return {};
}

/// A block that is valid but for its offset, which may be any from `offset_min` on.
Result<std::optional<ScannedBlock>> Salvage::valid_at(std::uint64_t position,
                                                      std::uint64_t offset_min) {
  const std::optional<ScannedBlock> none;
  format::BlockHeader header;
  SPILLWAY_TRY(head, window_.view(position, kBlockHeaderBytes));
  if (head.size() < kBlockHeaderBytes) return none;
  std::memcpy(&header, head.data(), kBlockHeaderBytes);
  const std::uint64_t offset = header.base_offset();
  if (offset < offset_min || !check_block_header(header, info_.bytes - position, offset)) {
    return none;
  }
  SPILLWAY_TRY(whole, window_.view(position, kBlockHeaderBytes + header.stored_size()));
  if (whole.size() < kBlockHeaderBytes + std::size_t{header.stored_size()}) return none;
  if (!check_block(header, whole.subspan(kBlockHeaderBytes), salt_, offset)) return none;
  return std::optional<ScannedBlock>(scanned(whole, position));
}

Result<bool> Salvage::heal_here() {
  if (heal_tries_ >= kHealTriesMax) return false;
  const std::size_t room =
      std::min<std::size_t>(kHealBytesMax, static_cast<std::size_t>(info_.bytes - position_));
  SPILLWAY_TRY(bytes, window_.view(position_, room));
  const auto head = bytes.first(std::min(bytes.size(), kBlockHeaderBytes));
  const auto is_blank = [](std::byte byte) { return byte == std::byte{0}; };
  if (std::all_of(head.begin(), head.end(), is_blank)) return false;
  ++heal_tries_;
  auto healed = heal_block(bytes, salt_, plan_.next_offset);
  if (!healed) return false;
  const ScannedBlock block = scanned(*healed, position_);
  if (block.next_offset() > limit_) return false;
  // `block` looks at bytes that stay where they are when the vector is moved.
  SPILLWAY_TRY(taken, take(block, std::move(*healed)));
  if (taken) ++plan_.blocks_healed;
  return taken;
}

/// False if it is data of a lane that nothing declares.
Result<bool> Salvage::take(const ScannedBlock& block, std::vector<std::byte> made) {
  const format::BlockHeader header = block.header;
  const std::uint64_t next_offset = block.next_offset();
  const BlockKind kind = block.kind();
  const std::size_t bytes = kBlockHeaderBytes + std::size_t{header.stored_size()};
  if (kind == BlockKind::data && !lanes_.contains(header.lane_id())) {
    SPILLWAY_TRY(declared, declare(header.lane_id()));
    if (!declared) return false;
  }
  if (header.base_offset() > plan_.next_offset) add_gap(header.base_offset());
  if (kind == BlockKind::lane) lanes_.insert(header.lane_id());
  add(position_, bytes, std::move(made));
  plan_.next_offset = next_offset;
  plan_.records += header.count();
  position_ += block_bytes(header.stored_size());
  due_ = position_;
  ended_ = kind == BlockKind::seal;
  return true;
}

void Salvage::add_gap(std::uint64_t next_offset) {
  format::BlockHeader header;
  header.mutate_kind(static_cast<std::uint8_t>(BlockKind::gap));
  header.mutate_base_offset(plan_.next_offset);
  format::GapDeclaration gap;
  gap.mutate_next_offset(next_offset);
  gap.mutate_reason(static_cast<std::uint8_t>(format::GapReason::damage));
  auto made = make_block(header, gap, salt_);
  const std::size_t bytes = made.size();
  add(0, bytes, std::move(made));
  lose_until(next_offset);
}

void Salvage::lose_until(std::uint64_t next_offset) {
  plan_.lost.push_back({plan_.next_offset, next_offset, format::GapReason::damage, env_.utc_ns()});
  plan_.next_offset = next_offset;
}

/// Where a later segment follows, its base offset says it; in the newest one a block does, so that
/// these offsets are never given to other records.
void Salvage::lose_the_end(std::uint64_t end) {
  if (limit_ == kNoLimit && !ended_) {
    add_gap(end);
  } else {
    lose_until(end);
  }
}

Result<bool> Salvage::declare(std::uint64_t lane_id) {
  SPILLWAY_TRY(found, find_lane(lane_id));
  if (!found) return false;
  found->mutate_closed(0);
  format::BlockHeader header;
  header.mutate_kind(static_cast<std::uint8_t>(BlockKind::lane));
  header.mutate_base_offset(plan_.next_offset);
  header.mutate_lane_id(lane_id);
  auto made = make_block(header, *found, salt_);
  const std::size_t bytes = made.size();
  add(0, bytes, std::move(made));
  lanes_.insert(lane_id);
  return true;
}

Result<std::optional<format::LaneDeclaration>> Salvage::find_lane(std::uint64_t lane_id) {
  SPILLWAY_TRY(behind, find_lane_behind(lane_id));
  if (behind) return behind;
  for (std::size_t i = index_; i-- > 0;) {
    SPILLWAY_TRY(before, find_lane_in(segments_[i], lane_id));
    if (before) return before;
  }
  for (std::size_t i = index_ + 1; i < segments_.size(); ++i) {
    SPILLWAY_TRY(later, find_lane_in(segments_[i], lane_id));
    if (later) return later;
  }
  return std::optional<format::LaneDeclaration>{};
}

Result<std::optional<format::LaneDeclaration>> Salvage::find_lane_behind(std::uint64_t lane_id) {
  for (std::uint64_t at = position_; at + kBlockHeaderBytes <= info_.bytes;) {
    SPILLWAY_TRY(block, valid_at(at, plan_.next_offset));
    if (!block) {
      at += kBlockAlignment;
      continue;
    }
    if (auto found = declared_in(*block, lane_id)) return found;
    at += block_bytes(block->header.stored_size());
  }
  return std::optional<format::LaneDeclaration>{};
}

Result<std::optional<format::LaneDeclaration>> Salvage::find_lane_in(const SegmentInfo& info,
                                                                     std::uint64_t lane_id) {
  const std::optional<format::LaneDeclaration> none;
  if (!info.readable) return none;
  SPILLWAY_TRY(file, env_.open(info.path, env::OpenMode::kRead));
  FileWindow window(std::move(file));
  SegmentScan scan(info.header);
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) return none;
    if (auto found = declared_in(*block, lane_id)) return found;
  }
}

}  // namespace

Result<SalvagePlan> plan_salvage(env::Env& env, const std::vector<SegmentInfo>& segments,
                                 std::size_t index, std::uint64_t known_next) {
  SPILLWAY_TRY(file, env.open(segments[index].path, env::OpenMode::kRead));
  return Salvage(env, segments, index, std::move(file)).run(known_next);
}

}  // namespace spillway::core
