#include "uplink/protocol/messages.h"

#include <gtest/gtest.h>

#include <random>

#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

template <typename T>
T through(const T& message) {
  const Bytes bytes = encode(message);
  const auto decoded = decode(bytes);
  EXPECT_TRUE(decoded) << decoded.error().message;
  return std::get<T>(*decoded);
}

TEST(Messages, ComeThroughUnaltered) {
  Hello hello{1,
              uuid_number(1),
              "site/pump",
              "cloud",
              {{"one", 5, {{uuid_number(2), 3, 4, 9}}}, {"two", 0, {}}}};
  const Hello same = through(hello);
  EXPECT_EQ(same.gateway, hello.gateway);
  EXPECT_EQ(same.gateway_name, "site/pump");
  ASSERT_EQ(same.streams.size(), 2U);
  EXPECT_EQ(same.streams[0].oldest_offset, 5U);
  EXPECT_EQ(same.streams[0].journals[0].next_offset, 9U);

  EXPECT_FALSE(same.zstd);
  hello.zstd = true;
  EXPECT_TRUE(through(hello).zstd);
  EXPECT_TRUE(through(Welcome{1, 77, {}, true}).zstd);

  const Welcome welcome = through(Welcome{1, 77, {{0, {{uuid_number(2), 6}}}}});
  EXPECT_FALSE(welcome.zstd);
  EXPECT_EQ(welcome.window_bytes, 77U);
  EXPECT_EQ(welcome.streams[0].journals[0].next_offset, 6U);

  const GapMessage gap = through(GapMessage{1, uuid_number(2), 5, 8, 1});
  EXPECT_EQ(gap.next_offset, 8U);
  const Ack ack = through(Ack{1, uuid_number(2), 8});
  EXPECT_EQ(ack.journal, uuid_number(2));
  const Refusal refusal = through(Refusal{RefusalCode::kFenced, "a newer one"});
  EXPECT_EQ(refusal.code, RefusalCode::kFenced);
  EXPECT_EQ(refusal.text, "a newer one");
}

TEST(Messages, RefuseWhatIsOutOfBounds) {
  EXPECT_FALSE(decode(encode(GapMessage{0, uuid_number(1), 9, 8, 1})));
  EXPECT_FALSE(decode(encode(Ack{0, uuid_number(1), kOffsetLimit})));
  Hello many{1, uuid_number(1), "g", "u", {}};
  many.streams.resize(kStreamsMax + 1, {"s", 0, {}});
  EXPECT_FALSE(decode(encode(many)));
  EXPECT_FALSE(decode(encode(Hello{1, uuid_number(1), std::string(300, 'x'), "u", {}})));
  EXPECT_FALSE(decode(encode(Hello{1, uuid_number(1), "line\nbreak", "u", {}})));
  EXPECT_FALSE(
      decode(encode(Hello{1, uuid_number(1), std::string(kControlBytesMax, 'x'), "u", {}})));
}

TEST(Messages, TextFromAPeerCannotBreakALogLine) {
  EXPECT_EQ(printable("a\r\nb\x1b[31m"), "a??b?[31m");
  EXPECT_EQ(printable(std::string(10'000, 'x')).size(), kTextBytesMax);
}

TEST(Messages, EveryTruncationAndRandomBytesAreRefusedWithoutHarm) {
  const Bytes whole =
      encode(Hello{1, uuid_number(1), "g", "u", {{"one", 5, {{uuid_number(2), 3, 4, 9}}}}});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(decode(part)) << size;
  }
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes(random() % 200);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    static_cast<void>(decode(bytes));
  }
}

TEST(Messages, EveryFlippedBitOfAControlMessageIsHandled) {
  const Bytes whole = encode(Welcome{1, 77, {{0, {{uuid_number(2), 6}}}}});
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    Bytes bytes = whole;
    bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    static_cast<void>(decode(bytes));  // refused or read: never a crash (the sanitizers watch)
  }
}

}  // namespace
}  // namespace spillway::uplink::test
