// The short form: the same records come out, and a hostile one asks for no more than is allowed.
#include "uplink/protocol/short_form.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "core/codec_helpers.h"
#include "uplink/protocol/varint.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using core::testing::value_of;

constexpr std::uint64_t kSalt = 99;

/// Keeps the bytes that a Blocks points to.
struct Message {
  std::vector<Bytes> runs;
  Blocks blocks;

  explicit Message(const std::vector<OwnedBlock>& owned) {
    for (const OwnedBlock& block : owned) {
      const auto header = core::bytes_of(block.header);
      Bytes& bytes = runs.emplace_back(header.begin(), header.end());
      bytes.insert(bytes.end(), block.stored.begin(), block.stored.end());
    }
    for (const Bytes& bytes : runs) blocks.runs.push_back({kSalt, bytes});
  }
};

OwnedBlock at_rest(std::uint64_t base) {
  const auto made = core::testing::compress_block(core::testing::sensor_frames(0, 20), 20, nullptr);
  OwnedBlock block{made.header, made.stored, kSalt};
  block.header.mutate_base_offset(base);
  block.header.mutate_lane_id(2);
  seal(block);
  return block;
}

std::vector<OwnedBlock> every_kind() {
  std::vector<OwnedBlock> blocks{make_clock_block(0, kSalt),
                                 make_lane_block(1, "a/b", 0, kSalt),
                                 make_lane_block(2, "a/c", 0, kSalt),
                                 make_schema_block(Bytes(100, std::byte{7}), 0, kSalt),
                                 make_data_block("one", 1, 0, 5, kSalt),
                                 make_data_block("one", 2, 5, 1, kSalt),
                                 at_rest(6),
                                 make_data_block("one", ~0ULL, 26, 40, kSalt),
                                 make_lane_block(1, "a/b", 66, kSalt, true)};
  blocks[5].header.mutate_flags(core::kEarlierSegmentsSafe);
  seal(blocks[5]);
  return blocks;
}

std::vector<OwnedBlock> parse(const Bytes& bytes) {
  std::vector<OwnedBlock> blocks;
  std::span<const std::byte> rest(bytes);
  while (!rest.empty()) {
    OwnedBlock block;
    std::memcpy(static_cast<void*>(&block.header), rest.data(), sizeof block.header);
    rest = rest.subspan(sizeof block.header);
    block.stored.assign(rest.begin(), rest.begin() + block.header.stored_size());
    rest = rest.subspan(block.header.stored_size());
    blocks.push_back(block);
  }
  return blocks;
}

TEST(ShortForm, GivesTheSameBlocksSealedAnew) {
  const auto blocks = every_kind();
  const auto content = shorten(Message(blocks).blocks, 3);
  ASSERT_TRUE(content);
  const Expanded expanded = value_of(expand(*content, kShortBytesMax));
  EXPECT_EQ(expanded.journal, 3U);
  const auto same = parse(expanded.blocks);
  ASSERT_EQ(same.size(), blocks.size());
  for (std::size_t i = 0; i < same.size(); ++i) {
    const auto& header = same[i].header;
    EXPECT_EQ(same[i].stored, blocks[i].stored) << i;
    auto with_its_checksum = blocks[i].header;
    with_its_checksum.mutate_checksum(header.checksum());
    EXPECT_EQ(std::memcmp(&header, &with_its_checksum, sizeof header), 0) << i;
    value_of(core::check_block(header, same[i].stored, 0, header.base_offset()));
  }
}

TEST(ShortForm, WhatStandsBetweenFramesIsLeftOut) {
  auto block = make_data_block("one", 1, 0, 5, kSalt);
  core::FrameCursor frames(block.stored);
  core::FrameView frame;
  ASSERT_TRUE(frames.next(frame));
  const auto end =
      static_cast<std::size_t>(frame.record.data() - block.stored.data()) + frame.record.size();
  ASSERT_NE(end % core::kFrameAlignment, 0U);
  const Bytes clean = block.stored;
  block.stored[end] = std::byte{0xAA};
  const auto content = shorten(Message({block}).blocks, 0);
  ASSERT_TRUE(content);
  EXPECT_EQ(parse(value_of(expand(*content, kShortBytesMax)).blocks)[0].stored, clean);
}

TEST(ShortForm, ARecordTakesFewBytesBesidesItsOwn) {
  const auto block = make_data_block("one", 1, 1'000'000, 1, kSalt);
  const auto content = shorten(Message({block}).blocks, 0);
  ASSERT_TRUE(content);
  EXPECT_LT(content->size(), record_text("one", 1'000'000).size() + 40);
}

TEST(ShortForm, WhatIsNoBlockIsNotShortened) {
  auto block = make_data_block("one", 1, 0, 5, kSalt);
  block.header.mutate_count(6);
  EXPECT_FALSE(shorten(Message({block}).blocks, 0));
  block.header.mutate_count(5);
  block.header.mutate_flags(0x8000);
  EXPECT_FALSE(shorten(Message({block}).blocks, 0));
  block.header.mutate_flags(0);
  block.header.mutate_stored_size(block.header.stored_size() + 1);
  EXPECT_FALSE(shorten(Message({block}).blocks, 0));
}

TEST(ShortForm, StandsForNoMoreThanIsAllowed) {
  const auto content = shorten(Message(every_kind()).blocks, 0);
  const std::size_t size = value_of(expand(*content, kShortBytesMax)).blocks.size();
  EXPECT_TRUE(expand(*content, size));
  for (std::size_t less = 0; less < size; ++less) ASSERT_FALSE(expand(*content, less)) << less;
}

TEST(ShortForm, EveryTruncationIsRefused) {
  const auto content = shorten(Message(every_kind()).blocks, 0);
  for (std::size_t size = 0; size < content->size(); ++size) {
    EXPECT_FALSE(expand(std::span(*content).first(size), kShortBytesMax)) << size;
  }
  Bytes more = *content;
  more.push_back(std::byte{1});
  EXPECT_FALSE(expand(more, kShortBytesMax));
}

TEST(ShortForm, RandomDamageDoesNoHarm) {
  const auto content = shorten(Message(every_kind()).blocks, 0);
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i) {
    Bytes damaged = *content;
    for (std::uint64_t hits = 1 + random() % 8; hits > 0; --hits) {
      // The head is what steers.
      damaged[random() % (i % 2 == 0 ? 200 : damaged.size())] = static_cast<std::byte>(random());
    }
    const auto expanded = expand(damaged, kShortBytesMax);
    if (!expanded) continue;
    ASSERT_LE(expanded->blocks.size(), kShortBytesMax);
    for (const auto& block : parse(expanded->blocks)) {
      static_cast<void>(
          core::check_block(block.header, block.stored, 0, block.header.base_offset()));
    }
  }
}

TEST(Varint, EveryNumberComesBackAndWhatIsNoneDoesNot) {
  std::mt19937_64 random(3);
  for (int bits = 0; bits <= 64; ++bits) {
    const std::uint64_t value = bits == 0 ? 0 : random() >> (64 - bits);
    Bytes bytes;
    put_varint(bytes, value);
    EXPECT_LE(bytes.size(), kVarintBytesMax);
    VarintReader reader(bytes);
    EXPECT_EQ(reader.next(), value);
    EXPECT_TRUE(reader.good() && reader.rest().empty());
    EXPECT_EQ(unzigzag(zigzag(value)), value);
    bytes.pop_back();
    VarintReader cut(bytes);
    EXPECT_EQ(cut.next(), 0U);
    EXPECT_FALSE(cut.good());
  }
  EXPECT_EQ(zigzag(0 - std::uint64_t{1}), 1U);
  const Bytes endless(20, std::byte{0xFF});
  VarintReader reader(endless);
  static_cast<void>(reader.next());
  EXPECT_FALSE(reader.good());
}

}  // namespace
}  // namespace spillway::uplink::test
