#include "uplink/spill_maker.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace spillway::uplink::test {

namespace {

void put_bytes(Bytes& into, std::span<const std::byte> bytes) {
  into.insert(into.end(), bytes.begin(), bytes.end());
}

OwnedBlock finish(Bytes stored, std::uint64_t base, std::uint32_t count, format::BlockKind kind,
                  std::uint64_t lane_id, std::uint64_t lane_end, std::uint64_t salt) {
  const auto size = static_cast<std::uint32_t>(stored.size());
  const bool data = kind == format::BlockKind::data;
  OwnedBlock block{format::BlockHeader(0, size, size, base, count, static_cast<std::uint8_t>(kind),
                                       0, 0, lane_id, lane_end, data ? (base + count) * 1000 : 0,
                                       data ? (base + count) * 1000 + 500 : 0),
                   std::move(stored), salt};
  seal(block);
  return block;
}

}  // namespace

core::Uuid uuid_number(std::uint64_t number) { return core::Uuid::from_random(number, ~number); }

std::string record_text(const std::string& stream, std::uint64_t offset) {
  return stream + ":" + std::to_string(offset) + ":" +
         std::string(8 + offset % 50, static_cast<char>('a' + offset % 26));
}

void seal(OwnedBlock& block) {
  block.header.mutate_checksum(core::block_checksum(block.header, block.stored, block.salt));
}

OwnedBlock make_lane_block(std::uint64_t lane_id, const std::string& topic,
                           std::uint64_t next_offset, std::uint64_t salt, bool closed,
                           std::uint64_t schema_fingerprint) {
  format::LaneDeclaration declaration;
  std::memset(static_cast<void*>(&declaration), 0, sizeof(declaration));
  auto& identity = declaration.mutable_identity();
  identity.mutate_lane_id(lane_id);
  identity.mutate_tick_rate_hz(kTickRate);
  identity.mutate_max_record_bytes(65536);
  identity.mutate_schema_fingerprint(schema_fingerprint);
  identity.mutate_clock_kind(static_cast<std::uint8_t>(format::ClockKind::tsc));
  core::set_uuid(*identity.mutable_boot_id(), uuid_number(99));
  identity.mutate_topic_size(static_cast<std::uint8_t>(topic.size()));
  std::memcpy(identity.mutable_topic()->Data(), topic.data(), topic.size());
  const std::string producer = "producer";
  identity.mutate_producer_size(static_cast<std::uint8_t>(producer.size()));
  std::memcpy(identity.mutable_producer()->Data(), producer.data(), producer.size());
  declaration.mutate_closed(closed ? 1 : 0);
  Bytes stored;
  put_bytes(stored, core::bytes_of(declaration));
  return finish(std::move(stored), next_offset, 0, format::BlockKind::lane, lane_id, 0, salt);
}

OwnedBlock make_schema_block(std::span<const std::byte> bfbs, std::uint64_t next_offset,
                             std::uint64_t salt) {
  return finish(Bytes(bfbs.begin(), bfbs.end()), next_offset, 0, format::BlockKind::schema, 0, 0,
                salt);
}

OwnedBlock make_clock_block(std::uint64_t next_offset, std::uint64_t salt) {
  format::ClockReading reading;
  std::memset(static_cast<void*>(&reading), 0, sizeof(reading));
  core::set_uuid(*reading.mutable_boot_id(), uuid_number(99));
  reading.mutate_boottime_ns(0);
  reading.mutate_utc_ns(kBootUtcNs);
  reading.mutate_certain(1);
  Bytes stored;
  put_bytes(stored, core::bytes_of(reading));
  return finish(std::move(stored), next_offset, 0, format::BlockKind::clock, 0, 0, salt);
}

OwnedBlock make_data_block(const std::string& stream, std::uint64_t lane_id, std::uint64_t base,
                           std::uint32_t count, std::uint64_t salt, std::uint64_t ticks) {
  Bytes frames;
  for (std::uint64_t offset = base; offset < base + count; ++offset) {
    const std::string text = record_text(stream, offset);
    const format::FrameHeader header(static_cast<std::uint32_t>(text.size() + 1), 0, 0,
                                     offset * 1000 + ticks);
    put_bytes(frames, core::bytes_of(header));
    put_bytes(frames, std::as_bytes(std::span(text)));
    frames.resize(core::round_up(frames.size(), core::kFrameAlignment));
  }
  return finish(std::move(frames), base, count, format::BlockKind::data, lane_id,
                (base + count) * 64, salt);
}

Bytes blocks_message(std::uint16_t stream, const core::Uuid& journal,
                     const std::vector<OwnedBlock>& blocks) {
  std::vector<Bytes> kept;
  Blocks message{stream, journal, {}};
  for (const OwnedBlock& block : blocks) {
    Bytes bytes;
    put_bytes(bytes, core::bytes_of(block.header));
    put_bytes(bytes, block.stored);
    kept.push_back(std::move(bytes));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) message.runs.push_back({blocks[i].salt, kept[i]});
  return encode(message);
}

FakeSpill::FakeSpill(std::string name, std::uint64_t seed) : name_(std::move(name)), seed_(seed) {
  ranges_.push_back({uuid_number(seed * 1000), 0, 0, 0});
  roll();
}

void FakeSpill::roll() {
  ++segment_;
  salt_ = seed_ * 7919 + segment_ * 104729;
  declare();
}

void FakeSpill::declare() {
  const std::size_t journal = ranges_.size() - 1;
  items_.push_back({make_clock_block(next_, salt_), segment_, journal, {}});
  for (std::uint64_t lane = 1; lane <= 2; ++lane) {
    items_.push_back(
        {make_lane_block(lane, "test/" + name_ + "/" + std::to_string(lane), next_, salt_),
         segment_,
         journal,
         {}});
  }
}

void FakeSpill::append(std::uint32_t records) {
  items_.push_back({make_data_block(name_, 1 + next_ % 2, next_, records, salt_, ticks_),
                    segment_,
                    ranges_.size() - 1,
                    {}});
  next_ += records;
  ranges_.back().next_offset = next_;
}

void FakeSpill::new_journal_at(std::uint64_t offset) {
  std::erase_if(items_, [&](const Item& item) {
    return item.gap ? item.gap->first_offset >= offset
                    : item.block.header.base_offset() >= offset && item.block.header.count() > 0;
  });
  next_ = offset;
  ranges_.back().next_offset = offset;
  ranges_.push_back({uuid_number(seed_ * 1000 + ranges_.size()), ranges_.size(), offset, offset});
  roll();
}

void FakeSpill::set_back_to(std::uint64_t offset) {
  std::erase_if(items_, [&](const Item& item) {
    return item.block.header.count() > 0 && item.block.header.base_offset() >= offset;
  });
  next_ = offset;
  ranges_.back().next_offset = offset;
  ++ticks_;
}

void FakeSpill::free_below(std::uint64_t offset) {
  // Whole segments only, as the real one does.
  std::size_t keep = segment_;
  for (const Item& item : items_) {
    if (item.block.header.base_offset() + item.block.header.count() > offset)
      keep = std::min(keep, item.segment);
  }
  std::erase_if(items_, [&](const Item& item) { return item.segment < keep; });
  oldest_ = next_;
  for (const Item& item : items_) {
    if (item.block.header.count() > 0) oldest_ = std::min(oldest_, item.block.header.base_offset());
  }
}

void FakeSpill::punch(std::uint64_t first, std::uint64_t next, format::GapReason reason) {
  for (Item& item : items_) {
    const auto& header = item.block.header;
    if (header.count() == 0 || header.base_offset() < first || header.base_offset() >= next)
      continue;
    item.gap = core::Gap{header.base_offset(), header.base_offset() + header.count(), reason, 0};
  }
}

core::Result<std::vector<core::JournalRange>> FakeSpill::journals() {
  std::vector<core::JournalRange> held;
  for (const auto& range : ranges_) {
    if (range.next_offset > oldest_ || &range == &ranges_.back()) held.push_back(range);
  }
  return held;
}

core::Result<std::uint64_t> FakeSpill::oldest_offset() { return oldest_; }

core::Result<void> FakeSpill::seek(std::uint64_t offset) {
  skip_below_ = offset;
  at_ = 0;
  std::size_t segment = items_.empty() ? 0 : items_.front().segment;
  for (const Item& item : items_) {
    if (item.block.header.base_offset() <= offset) segment = item.segment;
  }
  while (at_ < items_.size() && items_[at_].segment < segment) ++at_;
  return {};
}

core::Result<std::optional<core::StreamItem>> FakeSpill::next() {
  for (; at_ < items_.size(); ++at_) {
    const Item& item = items_[at_];
    const auto& header = item.block.header;
    if (header.count() > 0 && header.base_offset() + header.count() <= skip_below_) continue;
    ++at_;
    return std::optional(present(item));
  }
  return std::optional<core::StreamItem>();
}

core::StreamItem FakeSpill::present(const Item& item) const {
  if (item.gap) return *item.gap;
  core::Block block;
  block.header = item.block.header;
  block.stored = item.block.stored;
  block.salt = item.block.salt;
  block.segment_sequence = item.segment;
  block.journal_sequence = ranges_[item.journal].sequence;
  block.journal = ranges_[item.journal].journal;
  block.skip_below = skip_below_;
  return block;
}

core::Result<void> FakeSpill::acknowledge(const core::CursorPosition& position) {
  // StreamSource ignores an older position; here it is noted only if a session moved back within
  // what it acknowledged.
  if (cursor_ && std::tie(position.journal_sequence, position.next_offset) <
                     std::tie(cursor_->journal_sequence, cursor_->next_offset)) {
    cursor_went_back_ = true;
    return {};
  }
  cursor_ = position;
  return {};
}

core::Result<void> FakeSpill::refuse(const Ack& ack) {
  if (letters_full_) return core::fail(core::ErrorCode::kFull, "no room for dead letters");
  verdicts_.insert(verdicts_.end(), ack.verdicts.begin(), ack.verdicts.end());
  dead_ += ack.dead;
  return {};
}

}  // namespace spillway::uplink::test
