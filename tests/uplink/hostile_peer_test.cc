// A peer that sends anything at all: each bit flipped, random bytes, impossible offsets. The
// session may refuse or ignore; what it applies is only ever what a valid spill held.
#include <gtest/gtest.h>

#include <random>

#include "uplink/consumer/session/consumer_session.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::ConsumerSession;

const core::Uuid kJournal = uuid_number(1);
constexpr std::uint64_t kSalt = 99;

std::unique_ptr<ConsumerSession> greeted() {
  auto session = std::make_unique<ConsumerSession>(consumer::ConsumerSessionOptions{});
  const auto hello = std::make_shared<const Bytes>(
      encode(Hello{1,
                   uuid_number(7),
                   "g",
                   "u",
                   {{"one", 0, {{kJournal, 0, 0, 100}}}, {"two", 0, {{kJournal, 0, 0, 100}}}}}));
  EXPECT_TRUE(session->on_message(hello, 1));
  EXPECT_TRUE(session->take_query());
  EXPECT_TRUE(session->on_positions(consumer::Positions{{}, {}}));
  static_cast<void>(session->take_output());
  return session;
}

Bytes valid_message() {
  return blocks_message(0, kJournal,
                        {make_clock_block(0, kSalt), make_lane_block(1, "a/b", 0, kSalt),
                         make_data_block("one", 1, 0, 4, kSalt)});
}

/// True if the message was refused, or did nothing, or exactly what the unaltered one does.
::testing::AssertionResult harmless(const Bytes& bytes) {
  const auto session = greeted();
  const auto outcome = session->on_message(std::make_shared<const Bytes>(bytes), 1);
  const auto batch = session->take_batch();
  if (!outcome)
    return batch ? ::testing::AssertionFailure() << "refused and applied"
                 : ::testing::AssertionSuccess();
  if (!batch || batch->records.empty()) return ::testing::AssertionSuccess();
  if (batch->records.size() != 4 || batch->next != 4)
    return ::testing::AssertionFailure() << "other offsets";
  for (std::size_t i = 0; i < batch->records.size(); ++i) {
    const auto& payload = batch->records[i].payload;
    const std::string text(reinterpret_cast<const char*>(payload.data()), payload.size());
    if (text != record_text("one", i))
      return ::testing::AssertionFailure() << "altered record " << i << ": " << text;
  }
  return ::testing::AssertionSuccess();
}

TEST(HostilePeer, TheUnalteredMessageIsApplied) {
  const auto session = greeted();
  ASSERT_TRUE(session->on_message(std::make_shared<const Bytes>(valid_message()), 1));
  EXPECT_EQ(session->take_batch()->records.size(), 4U);
}

TEST(HostilePeer, EveryFlippedBitOfABlocksMessageIsRefusedOrHarmless) {
  const Bytes valid = valid_message();
  for (std::size_t bit = 0; bit < valid.size() * 8; ++bit) {
    Bytes flipped = valid;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    ASSERT_TRUE(harmless(flipped)) << "bit " << bit;
  }
}

TEST(HostilePeer, EveryTruncationIsRefusedOrHarmless) {
  const Bytes valid = valid_message();
  for (std::size_t size = 0; size < valid.size(); ++size) {
    ASSERT_TRUE(harmless(Bytes(valid.begin(), valid.begin() + static_cast<std::ptrdiff_t>(size))))
        << size;
  }
}

TEST(HostilePeer, RandomBytesAndRandomDamageAreRefusedOrHarmless) {
  std::mt19937_64 random(11);
  const Bytes valid = valid_message();
  for (int i = 0; i < 5000; ++i) {
    Bytes damaged = valid;
    const std::uint64_t hits = 1 + random() % 16;
    for (std::uint64_t hit = 0; hit < hits; ++hit)
      damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    ASSERT_TRUE(harmless(damaged));
  }
}

TEST(HostilePeer, ImpossibleOffsetsWithARightChecksumAreRefused) {
  for (const std::uint64_t base :
       std::initializer_list<std::uint64_t>{~0ULL, ~0ULL - 2, kOffsetLimit, 1ULL << 63}) {
    OwnedBlock block = make_data_block("one", 1, 0, 4, kSalt);
    block.header.mutate_base_offset(base);
    seal(block);
    const auto session = greeted();
    EXPECT_FALSE(
        session->on_message(std::make_shared<const Bytes>(blocks_message(
                                0, kJournal, {make_lane_block(1, "a/b", 0, kSalt), block})),
                            1));
  }
}

TEST(HostilePeer, ACountThatIsNotTheFramesIsRefused) {
  for (const std::uint32_t count : {0U, 3U, 5U, 0xFFFFFFFFU}) {
    OwnedBlock block = make_data_block("one", 1, 0, 4, kSalt);
    block.header.mutate_count(count);
    seal(block);
    const auto session = greeted();
    EXPECT_FALSE(
        session->on_message(std::make_shared<const Bytes>(blocks_message(
                                0, kJournal, {make_lane_block(1, "a/b", 0, kSalt), block})),
                            1))
        << count;
  }
}

}  // namespace
}  // namespace spillway::uplink::test
