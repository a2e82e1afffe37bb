// What the tests of foreign streams share: blocks as an origin sends them, and what a reader tells.
#pragma once

#include <gtest/gtest.h>

#include "core/spill_helpers.h"
#include "spillway/core/foreign_stream.h"

namespace spillway::core::testing {

inline constexpr const char* kDirectory = "/relay/gateway/telemetry";
inline constexpr std::uint64_t kLane = 7;

inline Uuid id(std::uint64_t number) { return Uuid::from_random(number, ~number); }

/// What record `offset` of a journal holds.
inline std::string text_of(const Uuid& journal, std::uint64_t offset, std::size_t size = 20) {
  return journal.text().substr(0, 8) + ":" + std::to_string(offset) + ":" + std::string(size, 'x');
}

struct MadeBlock {
  format::BlockHeader header;
  std::vector<std::byte> stored;
};

inline MadeBlock data_block(const Uuid& journal, std::uint64_t base, std::uint32_t count,
                            std::size_t size = 20) {
  MadeBlock block;
  for (std::uint32_t i = 0; i < count; ++i) {
    add_frame(block.stored, text_of(journal, base + i, size), base + i);
  }
  block.header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::data));
  block.header.mutate_base_offset(base);
  block.header.mutate_count(count);
  block.header.mutate_stored_size(static_cast<std::uint32_t>(block.stored.size()));
  block.header.mutate_raw_size(block.header.stored_size());
  block.header.mutate_lane_id(kLane);
  block.header.mutate_lane_end(base + count);
  block.header.mutate_anchor_ticks(base + count);
  return block;
}

inline MadeBlock lane_block(std::uint64_t rejected = 0, bool closed = false,
                            std::uint64_t lane_id = kLane) {
  format::LaneDeclaration declaration;
  declaration.mutable_identity() = make_identity(lane_id);
  declaration.mutate_rejected(rejected);
  declaration.mutate_closed(closed ? 1 : 0);
  MadeBlock block;
  const auto bytes = bytes_of(declaration);
  block.stored.assign(bytes.begin(), bytes.end());
  block.header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::lane));
  block.header.mutate_lane_id(lane_id);
  return block;
}

inline MadeBlock clock_block(std::uint64_t utc_ns) {
  format::ClockReading reading;
  reading.mutate_utc_ns(utc_ns);
  reading.mutate_certain(1);
  MadeBlock block;
  const auto bytes = bytes_of(reading);
  block.stored.assign(bytes.begin(), bytes.end());
  block.header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::clock));
  return block;
}

/// Everything that a reader tells, per journal.
struct Told {
  std::map<Uuid, std::map<std::uint64_t, std::string>> records;
  std::map<Uuid, std::vector<Gap>> gaps;
  std::size_t lane_blocks = 0;
  std::size_t clock_blocks = 0;
};

inline void tell(const StreamItem& item, Told& told) {
  if (const auto* gap = std::get_if<Gap>(&item)) {
    told.gaps[gap->journal].push_back(*gap);
    return;
  }
  const Block& block = std::get<Block>(item);
  const auto kind = static_cast<format::BlockKind>(block.header.kind());
  EXPECT_TRUE(check_block(block.header, block.stored, block.salt, block.header.base_offset()));
  if (kind == format::BlockKind::lane) ++told.lane_blocks;
  if (kind == format::BlockKind::clock) ++told.clock_blocks;
  if (kind != format::BlockKind::data) return;
  EXPECT_GT(told.lane_blocks, 0U) << "a record before its lane";
  FrameCursor frames(block.stored);
  FrameView frame;
  for (std::uint64_t offset = block.header.base_offset(); frames.next(frame); ++offset) {
    if (offset < block.skip_below) continue;
    auto& records = told.records[block.journal];
    EXPECT_TRUE(records.empty() || records.rbegin()->first < offset) << "out of order";
    EXPECT_TRUE(records
                    .try_emplace(offset, reinterpret_cast<const char*>(frame.record.data()),
                                 frame.record.size())
                    .second)
        << "offset " << offset << " came twice";
  }
}

inline Told read_everything(env::Env& env, const std::string& directory = kDirectory) {
  auto reader = value_of(StreamReader::open(env, directory));
  Told told;
  while (auto item = value_of(reader->next())) tell(*item, told);
  return told;
}

}  // namespace spillway::core::testing
