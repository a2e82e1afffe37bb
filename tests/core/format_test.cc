#include "spillway/core/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace spillway::core {
namespace {

using format::BlockHeader;
using format::BlockKind;
using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kSalt = 0x5A17'0000'1234'5678;

void append_frame(Bytes& frames, std::size_t record_size, std::uint32_t commit_word,
                  std::uint16_t flags = 0, std::uint16_t reserved = 0) {
  const format::FrameHeader header(commit_word, flags, reserved, 1000 + frames.size());
  const auto bytes = bytes_of(header);
  frames.insert(frames.end(), bytes.begin(), bytes.end());
  for (std::size_t i = 0; i < record_size; ++i) frames.push_back(static_cast<std::byte>(i * 7));
  frames.resize(round_up(frames.size(), kFrameAlignment));
}

Bytes frames_of(std::initializer_list<std::size_t> record_sizes) {
  Bytes frames;
  for (const std::size_t size : record_sizes) {
    append_frame(frames, size, static_cast<std::uint32_t>(size + 1));
  }
  return frames;
}

format::LaneIdentity identity_of(const std::string& topic, const std::string& producer) {
  format::LaneIdentity identity;
  identity.mutate_lane_id(77);
  identity.mutate_tick_rate_hz(1'000'000'000);
  identity.mutate_max_record_bytes(4096);
  identity.mutate_clock_kind(static_cast<std::uint8_t>(format::ClockKind::tsc));
  identity.mutate_topic_size(static_cast<std::uint8_t>(topic.size()));
  identity.mutate_producer_size(static_cast<std::uint8_t>(producer.size()));
  for (std::uint32_t i = 0; i < topic.size(); ++i) {
    identity.mutable_topic()->Mutate(i, static_cast<std::uint8_t>(topic[i]));
  }
  for (std::uint32_t i = 0; i < producer.size(); ++i) {
    identity.mutable_producer()->Mutate(i, static_cast<std::uint8_t>(producer[i]));
  }
  return identity;
}

/// A block as it stands in a segment: the stored bytes follow their header.
struct TestBlock {
  std::vector<std::uint64_t> memory;  // aligned as a header must be
  std::size_t stored_size = 0;

  [[nodiscard]] BlockHeader& header() { return *reinterpret_cast<BlockHeader*>(memory.data()); }
  [[nodiscard]] std::span<std::byte> all() {
    return std::as_writable_bytes(std::span(memory)).first(kBlockHeaderBytes + stored_size);
  }
  [[nodiscard]] std::span<std::byte> stored() { return all().subspan(kBlockHeaderBytes); }
  void seal() { header().mutate_checksum(block_checksum(header(), stored(), kSalt)); }
  [[nodiscard]] Result<void> check(std::uint64_t expected_offset) {
    return check_block(header(), stored(), kSalt, expected_offset);
  }
};

TestBlock block_of(BlockKind kind, std::span<const std::byte> stored, std::uint32_t count,
                   std::uint64_t base_offset) {
  TestBlock block;
  block.stored_size = stored.size();
  block.memory.resize((kBlockHeaderBytes + stored.size() + 7) / 8);
  const auto size = static_cast<std::uint32_t>(stored.size());
  const bool of_lane = kind == BlockKind::data || kind == BlockKind::lane;
  const bool data = kind == BlockKind::data;
  block.header() =
      BlockHeader(0, size, size, base_offset, count, static_cast<std::uint8_t>(kind), 0, 0,
                  of_lane ? 77 : 0, of_lane ? 4096 : 0, data ? 5 : 0, data ? 6 : 0);
  std::copy(stored.begin(), stored.end(), block.stored().begin());
  block.seal();
  return block;
}

TestBlock data_block() { return block_of(BlockKind::data, frames_of({1, 16, 64, 33}), 4, 1000); }

TestBlock lane_block() {
  format::LaneDeclaration declaration;
  declaration.mutable_identity() = identity_of("sensor/a", "probe");
  return block_of(BlockKind::lane, bytes_of(declaration), 0, 1000);
}

/// Of valid form; no zstd has seen it.
TestBlock dictionary_block(std::size_t content_bytes) {
  Bytes bytes(8 + content_bytes, std::byte{0x31});
  const std::uint32_t head[2] = {0xEC30A437, dictionary_id(std::span(bytes).subspan(8))};
  std::memcpy(bytes.data(), head, sizeof head);
  return block_of(BlockKind::dictionary, bytes, 0, 1000);
}

TestBlock compressed_block() {
  TestBlock block = block_of(BlockKind::data, Bytes(40), 4, 1000);
  block.header().mutate_codec(static_cast<std::uint8_t>(format::Codec::zstd));
  block.header().mutate_raw_size(128);
  block.seal();
  return block;
}

TEST(Frames, walk_yields_each_record_with_its_ticks_and_ends_clean) {
  const Bytes frames = frames_of({1, 15, 16, 17, 5000});
  FrameCursor cursor(frames);
  FrameView frame;
  std::vector<std::size_t> sizes;
  while (cursor.next(frame)) sizes.push_back(frame.record.size());
  EXPECT_TRUE(cursor.clean_end());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1, 15, 16, 17, 5000}));
  EXPECT_EQ(count_frames(frames).value(), 5U);
  EXPECT_EQ(count_frames({}).value(), 0U);
}

TEST(Frames, broken_frame_is_rejected_and_the_walk_stops_before_it) {
  struct Case {
    const char* name;
    std::uint32_t word;
    std::uint16_t flags;
    std::uint16_t reserved;
  };
  for (const Case& broken :
       {Case{"nothing yet", kCommitNothing, 0, 0}, Case{"padding", kCommitPadding, 0, 0},
        Case{"empty record", 1, 0, 0}, Case{"one above the limit", kRecordBytesLimit + 2, 0, 0},
        Case{"longer than the run", 1000, 0, 0}, Case{"flags", 17, 1, 0},
        Case{"reserved", 17, 0, 1}}) {
    Bytes frames = frames_of({16});
    append_frame(frames, 16, broken.word, broken.flags, broken.reserved);
    const auto count = count_frames(frames);
    ASSERT_FALSE(count.has_value()) << broken.name;
    EXPECT_EQ(count.error().code, ErrorCode::kCorrupt) << broken.name;
    FrameCursor cursor(frames);
    FrameView frame;
    EXPECT_TRUE(cursor.next(frame));
    EXPECT_FALSE(cursor.next(frame)) << broken.name;
    EXPECT_FALSE(cursor.clean_end());
  }
}

TEST(Frames, every_truncation_of_a_run_is_rejected_but_those_between_frames) {
  const Bytes frames = frames_of({16, 1, 40});
  const std::vector<std::size_t> ends{0, 32, 64, 128};
  for (std::size_t size = 0; size <= frames.size(); ++size) {
    const bool whole = std::find(ends.begin(), ends.end(), size) != ends.end();
    EXPECT_EQ(count_frames(std::span(frames).first(size)).has_value(), whole) << size;
  }
}

TEST(Block, checksum_is_the_same_whether_the_bytes_follow_their_header_or_not) {
  for (const std::size_t size : {0U, 1U, 100U, 200U, 300U, 5000U}) {
    const Bytes stored(size, std::byte{0x42});
    TestBlock block = block_of(BlockKind::schema, stored, 0, 3);
    const BlockHeader apart = block.header();
    EXPECT_EQ(block_checksum(apart, stored, kSalt), block.header().checksum()) << size;
    EXPECT_NE(block_checksum(apart, stored, kSalt + 1), block.header().checksum()) << size;
  }
}

TEST(Block, valid_block_of_each_kind_is_accepted) {
  EXPECT_TRUE(data_block().check(1000));
  EXPECT_TRUE(lane_block().check(1000));
  const format::ClockReading reading;
  EXPECT_TRUE(block_of(BlockKind::clock, bytes_of(reading), 0, 9).check(9));
  EXPECT_TRUE(block_of(BlockKind::seal, {}, 0, 9).check(9));
  EXPECT_TRUE(block_of(BlockKind::schema, Bytes(77), 0, 9).check(9));
  EXPECT_TRUE(dictionary_block(100).check(1000));
  EXPECT_TRUE(compressed_block().check(1000));
}

TEST(Block, any_single_flipped_bit_is_rejected) {
  for (TestBlock block : {data_block(), lane_block(), compressed_block(), dictionary_block(60)}) {
    const std::size_t bits = block.all().size() * 8;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      const auto mask = static_cast<std::byte>(1U << (bit % 8));
      block.all()[bit / 8] ^= mask;
      ASSERT_FALSE(block.check(1000).has_value()) << "bit " << bit;
      block.all()[bit / 8] ^= mask;
    }
    EXPECT_TRUE(block.check(1000));
  }
}

/// The rules must hold by themselves: here the checksum fits.
TEST(Block, broken_rule_is_rejected_though_the_checksum_fits) {
  struct Case {
    const char* name;
    TestBlock block;
    void (*breaks)(BlockHeader&);
  };
  const std::vector<Case> cases{
      {"count", data_block(), [](BlockHeader& h) { h.mutate_count(3); }},
      {"no records", block_of(BlockKind::data, {}, 0, 1000), [](BlockHeader&) {}},
      {"flags", data_block(), [](BlockHeader& h) { h.mutate_flags(2); }},
      {"no smaller", data_block(), [](BlockHeader& h) { h.mutate_codec(1); }},
      {"unknown codec", compressed_block(), [](BlockHeader& h) { h.mutate_codec(2); }},
      {"more than is decoded", compressed_block(),
       [](BlockHeader& h) { h.mutate_raw_size(kDecodedBytesMax + 1); }},
      {"more records than fit", compressed_block(), [](BlockHeader& h) { h.mutate_count(5); }},
      {"compressed, of nothing", block_of(BlockKind::data, {}, 1, 1000),
       [](BlockHeader& h) {
         h.mutate_codec(1);
         h.mutate_raw_size(64);
       }},
      {"compressed lane", lane_block(),
       [](BlockHeader& h) {
         h.mutate_codec(1);
         h.mutate_raw_size(1000);
       }},
      {"no dictionary", block_of(BlockKind::dictionary, Bytes(100), 0, 1000), [](BlockHeader&) {}},
      {"dictionary's size", dictionary_block(0), [](BlockHeader&) {}},
      {"dictionary too large", dictionary_block(kDictionaryBytesMax), [](BlockHeader&) {}},
      {"raw size", data_block(), [](BlockHeader& h) { h.mutate_raw_size(7); }},
      {"stored size", data_block(), [](BlockHeader& h) { h.mutate_stored_size(16); }},
      {"offset", data_block(), [](BlockHeader& h) { h.mutate_base_offset(1001); }},
      {"kind 0", data_block(), [](BlockHeader& h) { h.mutate_kind(0); }},
      {"kind 8", data_block(), [](BlockHeader& h) { h.mutate_kind(8); }},
      {"lane's count", lane_block(), [](BlockHeader& h) { h.mutate_count(1); }},
      {"another lane", lane_block(), [](BlockHeader& h) { h.mutate_lane_id(78); }},
      {"clock's size", block_of(BlockKind::clock, Bytes(41), 0, 1000), [](BlockHeader&) {}},
      {"seal's size", block_of(BlockKind::seal, Bytes(1), 0, 1000), [](BlockHeader&) {}},
      {"clock's lane", block_of(BlockKind::clock, Bytes(40), 0, 1000),
       [](BlockHeader& h) { h.mutate_lane_id(1); }},
  };
  for (Case broken : cases) {
    broken.breaks(broken.block.header());
    broken.block.seal();
    const auto verdict = broken.block.check(1000);
    ASSERT_FALSE(verdict.has_value()) << broken.name;
    EXPECT_EQ(verdict.error().code, ErrorCode::kCorrupt) << broken.name;
  }
}

TEST(Block, dictionary_under_another_id_than_its_content_asks_for_is_rejected) {
  TestBlock block = dictionary_block(60);
  ASSERT_TRUE(block.check(1000));
  block.stored()[4] ^= std::byte{1};
  block.seal();
  EXPECT_FALSE(block.check(1000));
}

TEST(Block, offsets_that_run_past_the_last_are_rejected) {
  const std::uint64_t last = UINT64_MAX - 3;
  EXPECT_FALSE(block_of(BlockKind::data, frames_of({1, 1, 1, 1}), 4, last).check(last));
  EXPECT_TRUE(block_of(BlockKind::data, frames_of({1, 1, 1}), 3, last).check(last));
}

TEST(Block, header_that_does_not_fit_its_room_is_rejected) {
  TestBlock block = data_block();
  const std::uint64_t size = block.all().size();
  EXPECT_TRUE(check_block_header(block.header(), size, 1000));
  EXPECT_FALSE(check_block_header(block.header(), size - 1, 1000));
  EXPECT_FALSE(check_block_header(block.header(), 63, 1000));
  EXPECT_FALSE(check_block_header(block.header(), 0, 1000));
}

/// Run under the sanitizers, this is the proof that no bytes lead anywhere but to a Result.
TEST(Block, random_bytes_give_an_error_and_nothing_else) {
  std::mt19937_64 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same bytes each time
  for (int round = 0; round < 20'000; ++round) {
    TestBlock block;
    block.stored_size = random() % 700;
    block.memory.resize((kBlockHeaderBytes + block.stored_size + 7) / 8);
    for (std::uint64_t& word : block.memory) word = random();
    if (round % 2 == 0) {
      // Through the outer rules, so that the inner ones are met too.
      const auto size = static_cast<std::uint32_t>(block.stored_size);
      block.header() = BlockHeader(0, size, size, 5, static_cast<std::uint32_t>(random() % 5 + 1),
                                   static_cast<std::uint8_t>(random() % 8), 0, 0, 0, 0, 0, 0);
      if (size >= 4) std::memset(block.stored().data() + 1, 0, 3);
      block.seal();
    }
    static_cast<void>(block.check(5));
    static_cast<void>(count_frames(block.stored()));
  }
}

format::SegmentHeader segment_header() {
  format::SegmentHeader header;
  header.mutate_magic(kSegmentMagic);
  header.mutate_version(kFormatVersion);
  header.mutate_header_size(kSegmentHeaderBytes);
  header.mutate_base_offset(10);
  header.mutate_journal_first_offset(3);
  header.mutate_segment_size(65536);
  seal_segment_header(header);
  return header;
}

TEST(SegmentHeader, any_single_flipped_bit_is_rejected) {
  format::SegmentHeader header = segment_header();
  ASSERT_TRUE(check_segment_header(header, 65536));
  EXPECT_FALSE(check_segment_header(header, 65535));
  const auto bytes = writable_bytes_of(header);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1U << (bit % 8));
    bytes[bit / 8] ^= mask;
    const auto refused = check_segment_header(header, 65536);
    ASSERT_FALSE(refused.has_value()) << "bit " << bit;
    ASSERT_EQ(refused.error().code, ErrorCode::kCorrupt) << "bit " << bit;
    bytes[bit / 8] ^= mask;
  }
}

TEST(SegmentHeader, newer_version_is_told_from_damage) {
  format::SegmentHeader header = segment_header();
  header.mutate_version(kFormatVersion + 1);
  EXPECT_EQ(check_segment_header(header, 65536).error().code, ErrorCode::kCorrupt)
      << "a rotten bit";
  seal_segment_header(header);
  EXPECT_EQ(check_segment_header(header, 65536).error().code, ErrorCode::kNewerVersion);
  header.mutate_magic(1);
  EXPECT_EQ(check_segment_header(header, 65536).error().code, ErrorCode::kCorrupt);
}

format::LaneHeader lane_header() {
  format::LaneHeader header;
  header.mutate_magic(kLaneMagic);
  header.mutate_version(kFormatVersion);
  header.mutate_header_size(8192);
  header.mutate_capacity(16384);
  header.mutable_identity() = identity_of("sensor/a", "probe");
  seal_lane_header(header);
  return header;
}

TEST(LaneHeader, any_single_flipped_bit_is_rejected) {
  format::LaneHeader header = lane_header();
  ASSERT_TRUE(check_lane_header(header, 8192 + 16384));
  EXPECT_EQ(topic_of(header.identity()), "sensor/a");
  EXPECT_EQ(producer_of(header.identity()), "probe");
  const auto bytes = writable_bytes_of(header);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1U << (bit % 8));
    bytes[bit / 8] ^= mask;
    ASSERT_FALSE(check_lane_header(header, 8192 + 16384).has_value()) << "bit " << bit;
    bytes[bit / 8] ^= mask;
  }
}

TEST(LaneHeader, broken_rule_is_rejected_though_the_checksum_fits) {
  using Breaks = void (*)(format::LaneHeader&);
  const std::vector<Breaks> cases{
      [](format::LaneHeader& h) { h.mutate_capacity(16385); },
      [](format::LaneHeader& h) { h.mutate_capacity(8192); },
      [](format::LaneHeader& h) { h.mutate_capacity(1ULL << 40); },
      [](format::LaneHeader& h) { h.mutable_identity().mutate_tick_rate_hz(0); },
      [](format::LaneHeader& h) { h.mutable_identity().mutate_clock_kind(4); },
      [](format::LaneHeader& h) { h.mutable_identity().mutate_max_record_bytes(0); },
      [](format::LaneHeader& h) { h.mutable_identity().mutate_max_record_bytes(8192 - 31); },
      [](format::LaneHeader& h) { h.mutable_identity() = identity_of("a/#", "probe"); },
      [](format::LaneHeader& h) { h.mutable_identity() = identity_of("", "probe"); },
      [](format::LaneHeader& h) { h.mutable_identity() = identity_of("a", ""); },
      [](format::LaneHeader& h) { h.mutable_identity().mutate_producer_size(255); },
      [](format::LaneHeader& h) { h.mutable_identity().mutate_topic_size(3); },
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    format::LaneHeader header = lane_header();
    cases[i](header);
    seal_lane_header(header);
    EXPECT_FALSE(check_lane_header(header, 8192 + header.capacity()).has_value()) << "case " << i;
  }
}

}  // namespace
}  // namespace spillway::core
