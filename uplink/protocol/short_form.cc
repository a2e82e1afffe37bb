#include "uplink/protocol/short_form.h"

#include <algorithm>
#include <cstring>

#include "spillway/core/codec.h"
#include "spillway/core/format.h"
#include "uplink/protocol/varint.h"

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;
using format::BlockHeader;
using format::BlockKind;

// A block's shape.
constexpr unsigned kKindBits = 0x07;
constexpr unsigned kCompressed = 0x08;
constexpr unsigned kEarlierSafe = 0x10;
constexpr unsigned kOneRecord = 0x20;    // else its count is told
constexpr unsigned kSameAnchor = 0x40;   // as the data block before; else it is told
constexpr unsigned kOtherOffset = 0x80;  // not the one behind the block before: told

bool is_of_a_lane(BlockKind kind) { return kind == BlockKind::data || kind == BlockKind::lane; }

struct PlainBlock {
  BlockHeader header;
  std::span<const std::byte> stored;
};

/// Reads what stands in a message that is still ours. False: it is not what blocks look like.
bool parse(const Blocks& blocks, std::vector<PlainBlock>& parsed) {
  for (const RunView& run : blocks.runs) {
    std::span<const std::byte> rest = run.blocks;
    while (!rest.empty()) {
      PlainBlock block;
      if (rest.size() < sizeof block.header) return false;
      std::memcpy(static_cast<void*>(&block.header), rest.data(), sizeof block.header);
      rest = rest.subspan(sizeof block.header);
      if (block.header.stored_size() > rest.size()) return false;
      block.stored = rest.first(block.header.stored_size());
      rest = rest.subspan(block.stored.size());
      parsed.push_back(block);
    }
  }
  return true;
}

/// Column by column: first what is much the same in every message, then the records, and what no
/// compressor can guess last.
class Shortener {
 public:
  explicit Shortener(std::span<const PlainBlock> blocks) : blocks_(blocks) {}
  [[nodiscard]] std::optional<Bytes> run(std::size_t journal);

 private:
  void list_lanes();
  [[nodiscard]] bool put_shapes();
  void put_lanes_and_counts();
  [[nodiscard]] bool put_contents();
  [[nodiscard]] bool put_frames(const PlainBlock& block);

  std::span<const PlainBlock> blocks_;
  std::vector<std::uint64_t> lanes_;  // ascending: mostly the same list again and again
  Bytes shapes_;
  Bytes head_;
  Bytes bodies_;
  Bytes tail_;
};

void Shortener::list_lanes() {
  for (const PlainBlock& block : blocks_) {
    if (is_of_a_lane(static_cast<BlockKind>(block.header.kind()))) {
      lanes_.push_back(block.header.lane_id());
    }
  }
  std::sort(lanes_.begin(), lanes_.end());
  lanes_.erase(std::unique(lanes_.begin(), lanes_.end()), lanes_.end());
  put_varint(head_, lanes_.size());
  for (const std::uint64_t& id : lanes_) {
    const auto bytes = core::bytes_of(id);
    head_.insert(head_.end(), bytes.begin(), bytes.end());
  }
}

bool Shortener::put_shapes() {
  const BlockHeader* before = nullptr;  // the data block
  std::uint64_t expected = blocks_.front().header.base_offset();
  for (const PlainBlock& block : blocks_) {
    const BlockHeader& header = block.header;
    if (header.kind() > kKindBits || (header.flags() & ~core::kEarlierSegmentsSafe) != 0)
      return false;
    unsigned shape = header.kind();
    if (core::is_compressed(header)) shape |= kCompressed;
    if (header.flags() != 0) shape |= kEarlierSafe;
    if (header.base_offset() != expected) shape |= kOtherOffset;
    if (header.kind() == static_cast<std::uint8_t>(BlockKind::data)) {
      if (header.count() == 1) shape |= kOneRecord;
      if (before != nullptr && before->anchor_ticks() == header.anchor_ticks() &&
          before->anchor_boottime_ns() == header.anchor_boottime_ns()) {
        shape |= kSameAnchor;
      }
      before = &header;
    }
    expected = header.base_offset() + header.count();
    shapes_.push_back(static_cast<std::byte>(shape));
  }
  head_.insert(head_.end(), shapes_.begin(), shapes_.end());
  return true;
}

void Shortener::put_lanes_and_counts() {
  for (const PlainBlock& block : blocks_) {
    if (!is_of_a_lane(static_cast<BlockKind>(block.header.kind()))) continue;
    const auto at = std::lower_bound(lanes_.begin(), lanes_.end(), block.header.lane_id());
    put_varint(head_, static_cast<std::uint64_t>(at - lanes_.begin()));
  }
  std::uint64_t expected = blocks_.front().header.base_offset();
  put_varint(tail_, expected);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const BlockHeader& header = blocks_[i].header;
    const auto shape = static_cast<unsigned>(shapes_[i]);
    if ((shape & kOtherOffset) != 0) put_varint(tail_, zigzag(header.base_offset() - expected));
    if ((shape & kKindBits) == static_cast<unsigned>(BlockKind::data) &&
        (shape & kOneRecord) == 0) {
      put_varint(head_, header.count());
    }
    expected = header.base_offset() + header.count();
  }
}

bool Shortener::put_contents() {
  std::uint64_t ticks = 0;
  std::uint64_t boottime_ns = 0;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const auto& [header, stored] = blocks_[i];
    const auto kind = static_cast<BlockKind>(header.kind());
    if (is_of_a_lane(kind)) put_varint(tail_, header.lane_end());
    if (kind == BlockKind::data && (static_cast<unsigned>(shapes_[i]) & kSameAnchor) == 0) {
      put_varint(tail_, zigzag(header.anchor_ticks() - ticks));
      put_varint(tail_, zigzag(header.anchor_boottime_ns() - boottime_ns));
      ticks = header.anchor_ticks();
      boottime_ns = header.anchor_boottime_ns();
    }
    if (kind == BlockKind::data && !core::is_compressed(header)) {
      if (!put_frames(blocks_[i])) return false;
      continue;
    }
    if (core::is_compressed(header)) put_varint(head_, header.raw_size());
    put_varint(head_, stored.size());
    bodies_.insert(bodies_.end(), stored.begin(), stored.end());
  }
  return true;
}

bool Shortener::put_frames(const PlainBlock& block) {
  core::FrameCursor frames(block.stored);
  core::FrameView frame;
  std::uint64_t before = block.header.anchor_ticks();
  std::uint32_t count = 0;
  for (; frames.next(frame); ++count) {
    put_varint(head_, frame.record.size());
    put_varint(tail_, zigzag(before - frame.ticks));
    bodies_.insert(bodies_.end(), frame.record.begin(), frame.record.end());
    before = frame.ticks;
  }
  return frames.clean_end() && count == block.header.count();
}

std::optional<Bytes> Shortener::run(std::size_t journal) {
  list_lanes();
  put_varint(head_, blocks_.size());
  if (!put_shapes()) return std::nullopt;
  put_lanes_and_counts();
  if (!put_contents()) return std::nullopt;
  Bytes content;
  content.reserve(2 * kVarintBytesMax + head_.size() + bodies_.size() + tail_.size());
  put_varint(content, journal);
  put_varint(content, head_.size());
  for (const Bytes* part : {&head_, &bodies_, &tail_}) {
    content.insert(content.end(), part->begin(), part->end());
  }
  return content;
}

tl::unexpected<core::Error> broken(const std::string& rule) {
  return fail(ErrorCode::kProtocol, "a short message " + rule);
}

/// What the head says of one block.
struct Plan {
  unsigned shape = 0;
  std::uint64_t lane_id = 0;
  std::uint64_t count = 0;
  std::uint64_t raw_size = 0;
  std::uint64_t stored_size = 0;                     // of all but frames
  VarintReader sizes{std::span<const std::byte>()};  // of the frames

  [[nodiscard]] BlockKind kind() const { return static_cast<BlockKind>(shape & kKindBits); }
  [[nodiscard]] bool is(unsigned bit) const { return (shape & bit) != 0; }
  [[nodiscard]] bool has_frames() const { return kind() == BlockKind::data && !is(kCompressed); }
};

/// Reads the head. Loops are bounded by its bytes: each step takes at least one.
class Planner {
 public:
  explicit Planner(std::span<const std::byte> head) : head_(head) {}
  [[nodiscard]] Result<std::vector<Plan>> run();
  /// Of all blocks' bodies.
  [[nodiscard]] std::uint64_t body_bytes() const { return body_bytes_; }

 private:
  [[nodiscard]] Result<void> size(Plan& plan);

  VarintReader head_;
  std::uint64_t body_bytes_ = 0;
};

Result<std::vector<Plan>> Planner::run() {
  const std::uint64_t lane_count = head_.next();
  if (lane_count > head_.rest().size()) return broken("lists more lanes than it has room for");
  const auto lanes = head_.take(lane_count * sizeof(std::uint64_t));
  const auto shapes = head_.take(head_.next());
  if (!head_.good()) return broken("ends inside its list of blocks");
  if (shapes.size() > kShortBytesMax / core::kBlockHeaderBytes)
    return broken("lists too many blocks");
  std::vector<Plan> plans(shapes.size());
  for (std::size_t i = 0; i < plans.size(); ++i) plans[i].shape = static_cast<unsigned>(shapes[i]);
  for (Plan& plan : plans) {
    if (!is_of_a_lane(plan.kind())) continue;
    const std::uint64_t at = head_.next();
    if (at >= lane_count) return broken("names a lane that it does not list");
    std::memcpy(&plan.lane_id, lanes.data() + at * sizeof(std::uint64_t), sizeof(std::uint64_t));
  }
  for (Plan& plan : plans) {
    if (plan.kind() == BlockKind::data) plan.count = plan.is(kOneRecord) ? 1 : head_.next();
  }
  for (Plan& plan : plans) SPILLWAY_CHECKED(size(plan));
  if (!head_.good() || !head_.rest().empty())
    return broken("has a head that is cut off or too long");
  return plans;
}

Result<void> Planner::size(Plan& plan) {
  if (plan.count > kShortBytesMax) return broken("counts more records than it can hold");
  if (!plan.has_frames()) {
    if (plan.is(kCompressed)) plan.raw_size = head_.next();
    plan.stored_size = head_.next();
    if (plan.raw_size > core::kDecodedBytesMax || plan.stored_size > kShortBytesMax) {
      return broken("holds a block that is too large");
    }
    body_bytes_ += plan.stored_size;
    return {};
  }
  if (plan.count > head_.rest().size()) return broken("counts more records than it has sizes for");
  plan.sizes = head_;
  for (std::uint64_t i = 0; i < plan.count; ++i) {
    const std::uint64_t bytes = head_.next();
    if (bytes == 0 || bytes > kShortBytesMax) return broken("holds a record of a wrong size");
    body_bytes_ += bytes;
  }
  return {};
}

class Expander {
 public:
  Expander(std::span<const std::byte> bodies, std::span<const std::byte> tail,
           std::size_t bytes_max)
      : bodies_(bodies), tail_(tail), bytes_max_(bytes_max) {
    // What most messages need: no more is taken on the word of a peer.
    out_.reserve(std::min(bytes_max_, 2 * (bodies.size() + tail.size())));
  }
  [[nodiscard]] Result<Bytes> run(std::span<Plan> plans);

 private:
  [[nodiscard]] Result<void> block(Plan& plan, std::uint64_t base_offset);
  [[nodiscard]] Result<void> frames(Plan& plan);
  [[nodiscard]] Result<void> make_room(std::uint64_t bytes);

  VarintReader bodies_;
  VarintReader tail_;
  std::size_t bytes_max_;
  std::uint64_t ticks_ = 0;  // of the last anchor
  std::uint64_t boottime_ns_ = 0;
  Bytes out_;
};

Result<Bytes> Expander::run(std::span<Plan> plans) {
  std::vector<std::uint64_t> offsets;
  offsets.reserve(plans.size());
  std::uint64_t next = tail_.next();
  for (const Plan& plan : plans) {
    if (plan.is(kOtherOffset)) next += unzigzag(tail_.next());
    offsets.push_back(next);
    next += plan.count;
  }
  for (std::size_t i = 0; i < plans.size(); ++i) SPILLWAY_CHECKED(block(plans[i], offsets[i]));
  if (!tail_.good() || !tail_.rest().empty() || !bodies_.rest().empty()) {
    return broken("has a tail that is cut off or too long");
  }
  return std::move(out_);
}

/// Zeros, so that filling is.
Result<void> Expander::make_room(std::uint64_t bytes) {
  if (bytes > bytes_max_ - out_.size()) {
    return broken("stands for more than " + std::to_string(bytes_max_) + " bytes");
  }
  out_.resize(out_.size() + static_cast<std::size_t>(bytes));
  return {};
}

Result<void> Expander::block(Plan& plan, std::uint64_t base_offset) {
  const std::size_t at = out_.size();
  SPILLWAY_CHECKED(make_room(core::kBlockHeaderBytes));
  BlockHeader header;
  std::memset(static_cast<void*>(&header), 0, sizeof header);
  header.mutate_kind(static_cast<std::uint8_t>(plan.kind()));
  if (plan.is(kEarlierSafe)) header.mutate_flags(core::kEarlierSegmentsSafe);
  header.mutate_base_offset(base_offset);
  header.mutate_count(static_cast<std::uint32_t>(plan.count));
  if (is_of_a_lane(plan.kind())) {
    header.mutate_lane_id(plan.lane_id);
    header.mutate_lane_end(tail_.next());
  }
  if (plan.kind() == BlockKind::data) {
    if (!plan.is(kSameAnchor)) {
      ticks_ += unzigzag(tail_.next());
      boottime_ns_ += unzigzag(tail_.next());
    }
    header.mutate_anchor_ticks(ticks_);
    header.mutate_anchor_boottime_ns(boottime_ns_);
  }
  if (plan.has_frames()) {
    SPILLWAY_CHECKED(frames(plan));
  } else {
    const auto body = bodies_.take(plan.stored_size);
    const std::size_t to = out_.size();
    SPILLWAY_CHECKED(make_room(body.size()));
    std::copy(body.begin(), body.end(), out_.begin() + static_cast<std::ptrdiff_t>(to));
  }
  const auto body = std::span<const std::byte>(out_).subspan(at + core::kBlockHeaderBytes);
  header.mutate_stored_size(static_cast<std::uint32_t>(body.size()));
  header.mutate_raw_size(header.stored_size());
  if (plan.is(kCompressed)) {
    header.mutate_codec(static_cast<std::uint8_t>(format::Codec::zstd));
    header.mutate_raw_size(static_cast<std::uint32_t>(plan.raw_size));
  }
  header.mutate_checksum(core::block_checksum(header, body, 0));
  std::memcpy(out_.data() + at, &header, sizeof header);
  return {};
}

Result<void> Expander::frames(Plan& plan) {
  std::uint64_t ticks = ticks_;
  for (std::uint64_t i = 0; i < plan.count; ++i) {
    const std::uint64_t size = plan.sizes.next();
    ticks -= unzigzag(tail_.next());
    const auto record = bodies_.take(size);
    if (!bodies_.good() || !tail_.good()) return broken("ends inside a block's frames");
    const std::size_t at = out_.size();
    SPILLWAY_CHECKED(make_room(core::frame_bytes(size)));
    const format::FrameHeader frame(static_cast<std::uint32_t>(size + 1), 0, 0, ticks);
    std::memcpy(out_.data() + at, &frame, sizeof frame);
    std::memcpy(out_.data() + at + sizeof frame, record.data(), record.size());
  }
  return {};
}

}  // namespace

std::optional<Bytes> shorten(const Blocks& blocks, std::size_t journal) {
  std::vector<PlainBlock> parsed;
  if (!parse(blocks, parsed) || parsed.empty()) return std::nullopt;
  return Shortener(parsed).run(journal);
}

Result<Expanded> expand(std::span<const std::byte> content, std::size_t bytes_max) {
  VarintReader reader(content);
  Expanded expanded;
  expanded.journal = reader.next();
  Planner planner(reader.take(reader.next()));
  if (!reader.good()) return broken("ends inside its head");
  SPILLWAY_TRY(plans, planner.run());
  const auto bodies = reader.take(planner.body_bytes());
  if (!reader.good()) return broken("ends inside its records");
  SPILLWAY_TRY(blocks, Expander(bodies, reader.rest(), bytes_max).run(plans));
  expanded.blocks = std::move(blocks);
  return expanded;
}

}  // namespace spillway::uplink
