// What a hostile uplink could make of short messages: each is refused, and none costs much memory.
#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

#include "core/codec_helpers.h"
#include "uplink/consumer/session/consumer_session.h"
#include "uplink/consumer/session/message_unpacker.h"
#include "uplink/protocol/short_form.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::ConsumerSession;
using consumer::MessageUnpacker;
using core::testing::train_dictionary;
using core::testing::value_of;

const core::Uuid kGateway = uuid_number(7);
const core::Uuid kJournal = uuid_number(3);
constexpr std::uint64_t kSalt = 9;

/// As the packer does: one zstd frame without its magic number.
Bytes frame_of(std::span<const std::byte> content, const core::Dictionary* dictionary = nullptr) {
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  if (dictionary != nullptr) ZSTD_CCtx_refCDict(context.get(), dictionary->zstd());
  Bytes frame(ZSTD_compressBound(content.size()));
  frame.resize(
      ZSTD_compress2(context.get(), frame.data(), frame.size(), content.data(), content.size()));
  frame.erase(frame.begin(), frame.begin() + 4);
  return frame;
}

std::uint32_t checksum_of(std::span<const std::byte> content) {
  return static_cast<std::uint32_t>(core::content_checksum(content));
}

Bytes good_content(std::size_t journal = 0) {
  Bytes run;
  for (const OwnedBlock& block : {make_clock_block(0, kSalt), make_lane_block(1, "a/b", 0, kSalt),
                                  make_data_block("one", 1, 0, 4, kSalt)}) {
    const auto header = core::bytes_of(block.header);
    run.insert(run.end(), header.begin(), header.end());
    run.insert(run.end(), block.stored.begin(), block.stored.end());
  }
  return *shorten(Blocks{0, kJournal, {{kSalt, run}}}, journal);
}

class HostileShortFormTest : public ::testing::Test {
 protected:
  HostileShortFormTest() { greet(kShortForm); }
  void greet(std::uint8_t short_form) {
    session_ = std::make_unique<ConsumerSession>(consumer::ConsumerSessionOptions{});
    Hello hello{1, kGateway, "g", "u", {{"one", 0, {{kJournal, 0, 0, 100}}}}, true, short_form};
    value_of(feed(encode(hello)));
    static_cast<void>(session_->take_query());
    value_of(session_->on_positions(consumer::Positions{std::nullopt}));
    const auto welcome = decode(*session_->take_output());
    EXPECT_EQ(std::get<Welcome>(*welcome).short_form, short_form);
  }
  core::Result<void> feed(Bytes message) {
    auto outcome = session_->on_message(std::make_shared<const Bytes>(std::move(message)), 1);
    if (outcome) batch_ = session_->take_batch();
    return outcome;
  }
  core::Result<void> feed_frame(std::span<const std::byte> frame, std::uint32_t checksum) {
    return feed(encode(ShortBlocks{0, true, checksum, frame}));
  }
  void expect_refused(const core::Result<void>& outcome, const std::string& word) {
    ASSERT_FALSE(outcome);
    EXPECT_NE(outcome.error().message.find(word), std::string::npos) << outcome.error().message;
    const auto refusal = decode(*session_->take_output());
    EXPECT_EQ(std::get<Refusal>(*refusal).code, RefusalCode::kProtocol);
  }

  std::unique_ptr<ConsumerSession> session_;
  std::optional<consumer::InboxBatch> batch_;
};

TEST_F(HostileShortFormTest, AGoodOneIsTakenCompressedOrNot) {
  const Bytes content = good_content();
  value_of(feed(encode(ShortBlocks{0, false, checksum_of(content), content})));
  ASSERT_TRUE(batch_);
  EXPECT_EQ(batch_->records.size(), 4U);
  greet(kShortForm);
  value_of(feed_frame(frame_of(content), checksum_of(content)));
  EXPECT_EQ(batch_->records.size(), 4U);
  session_->on_committed(*batch_);
  const auto ack = decode(*session_->take_output());
  EXPECT_EQ(std::get<ShortAck>(*ack).next_offset, 4U);
}

TEST_F(HostileShortFormTest, ABombIsRefusedBeforeItIsDecoded) {
  const Bytes zeros(64 << 20);
  const Bytes frame = frame_of(zeros);
  ASSERT_LT(frame.size(), 10'000U);
  expect_refused(feed_frame(frame, 0), "1048576");
}

TEST_F(HostileShortFormTest, AFrameWithoutItsSizeOrWithMoreBehindItIsRefused) {
  const Bytes content = good_content();
  Bytes more = frame_of(content);
  more.push_back(std::byte{0});
  expect_refused(feed_frame(more, checksum_of(content)), "whole zstd frame");
  greet(kShortForm);
  Bytes streamed(1000);
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, 0);
  streamed.resize(ZSTD_compress2(context.get(), streamed.data(), streamed.size(), content.data(),
                                 content.size()));
  expect_refused(feed_frame(std::span(streamed).subspan(4), checksum_of(content)), "says no size");
}

TEST_F(HostileShortFormTest, RecordsThatStandForMoreThanAMessageMayAreRefused) {
  // Many tiny records: each takes a few bytes here and 32 there.
  Bytes frames;
  std::uint32_t count = 0;
  for (; frames.size() < kShortBytesMax + 64; ++count) {
    const format::FrameHeader header(2, 0, 0, count);
    const auto bytes = core::bytes_of(header);
    frames.insert(frames.end(), bytes.begin(), bytes.end());
    frames.resize(frames.size() + 16);
  }
  const auto size = static_cast<std::uint32_t>(frames.size());
  OwnedBlock block{
      format::BlockHeader(0, size, size, 0, count,
                          static_cast<std::uint8_t>(format::BlockKind::data), 0, 0, 1, 0, 0, 0),
      frames, kSalt};
  const auto header = core::bytes_of(block.header);
  Bytes run(header.begin(), header.end());
  run.insert(run.end(), frames.begin(), frames.end());
  const auto content = shorten(Blocks{0, kJournal, {{kSalt, run}}}, 0);
  ASSERT_TRUE(content);
  ASSERT_LT(content->size(), kShortBytesMax / 4);
  expect_refused(feed(encode(ShortBlocks{0, false, checksum_of(*content), *content})),
                 "stands for more");
}

TEST_F(HostileShortFormTest, AWrongChecksumAStrangeJournalOrStreamIsRefused) {
  const Bytes content = good_content();
  expect_refused(feed(encode(ShortBlocks{0, false, checksum_of(content) + 1, content})),
                 "checksum");
  greet(kShortForm);
  const Bytes strange = good_content(1);
  expect_refused(feed(encode(ShortBlocks{0, false, checksum_of(strange), strange})), "journal");
  greet(kShortForm);
  expect_refused(feed(encode(ShortBlocks{1, false, checksum_of(content), content})), "stream");
}

TEST_F(HostileShortFormTest, ADictionaryThatWasNotToldIsRefusedAndOneThatWasIsUsed) {
  const auto dictionary = train_dictionary();
  const Bytes content = good_content();
  const Bytes frame = frame_of(content, dictionary.get());
  expect_refused(feed_frame(frame, checksum_of(content)), "dictionary");
  greet(kShortForm);
  value_of(feed(encode(DictionaryMessage{0, dictionary->bytes()})));
  value_of(feed_frame(frame, checksum_of(content)));
  EXPECT_EQ(batch_->records.size(), 4U);
}

TEST_F(HostileShortFormTest, ABadDictionaryIsRefused) {
  Bytes bad = train_dictionary()->bytes();
  bad[100] ^= std::byte{1};
  expect_refused(feed(encode(DictionaryMessage{0, bad})), "dictionary");
  greet(kShortForm);
  expect_refused(feed(encode(DictionaryMessage{0, Bytes(core::kDictionaryBytesMax + 1)})),
                 "dictionary");
}

TEST_F(HostileShortFormTest, NothingShortIsTakenThatWasNotAgreedOn) {
  const Bytes content = good_content();
  greet(0);
  expect_refused(feed(encode(ShortBlocks{0, false, checksum_of(content), content})), "rule out");
  greet(0);
  expect_refused(feed(encode(DictionaryMessage{0, train_dictionary()->bytes()})), "rule out");
}

TEST_F(HostileShortFormTest, EveryTruncationAndRandomDamageIsRefusedOrHarmless) {
  const Bytes content = good_content();
  const Bytes frame = frame_of(content);
  const Bytes whole = encode(ShortBlocks{0, true, checksum_of(content), frame});
  for (std::size_t size = 1; size < whole.size(); ++size) {
    greet(kShortForm);
    EXPECT_FALSE(feed(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))))
        << size;
  }
  std::mt19937_64 random(2);
  for (int i = 0; i < 3000; ++i) {
    Bytes damaged = whole;
    for (std::uint64_t hits = 1 + random() % 4; hits > 0; --hits) {
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1 + random() % 255);
    }
    greet(kShortForm);
    // The checksum finds what zstd does not.
    EXPECT_TRUE(!feed(damaged) || damaged == whole) << i;
  }
}

TEST(MessageUnpacker, KeepsTheLatestTwoOfAStreamAndForgetsWhoWasNotSeenForLongest) {
  MessageUnpacker unpacker;
  consumer::UnpackDictionaries held;
  std::vector<std::uint64_t> checksums;
  for (std::uint64_t i = 0; i < 3; ++i) {
    const auto dictionary = train_dictionary(i);
    checksums.push_back(core::content_checksum(dictionary->bytes()));
    value_of(unpacker.learn(kGateway, "one", dictionary->bytes(), held));
  }
  EXPECT_EQ(consumer::checksums_of(unpacker.known(kGateway, "one")),
            (std::vector{checksums[1], checksums[2]}));
  const auto dictionary = train_dictionary();
  std::uint64_t gateways = 0;
  while (!unpacker.known(kGateway, "one").empty() && gateways < 10'000) {
    // The first is used again and again: it stays while others come and go.
    if (gateways == 5000) break;
    consumer::UnpackDictionaries others;
    value_of(unpacker.learn(uuid_number(100 + ++gateways), "one", dictionary->bytes(), others));
    ASSERT_LE(unpacker.kept_bytes(), MessageUnpacker::kKeptBytesMax);
  }
  EXPECT_EQ(gateways, 5000U);
  EXPECT_TRUE(unpacker.known(uuid_number(101), "one").empty());
}

}  // namespace
}  // namespace spillway::uplink::test
