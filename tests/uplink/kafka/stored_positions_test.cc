#include "uplink/sinks/kafka/stored_positions.h"

#include <gtest/gtest.h>

namespace spillway::uplink::kafka {
namespace {

TEST(StoredPositionsTest, TextCarriesEveryPosition) {
  StoredPositions positions;
  positions.advance(0xABCDEF, 17);
  positions.advance(0xFFFFFFFFFFFFFFFF, 1ULL << 61U);
  const StoredPositions read(positions.text());
  EXPECT_EQ(17U, read.find(0xABCDEF));
  EXPECT_EQ(1ULL << 61U, read.find(0xFFFFFFFFFFFFFFFF));
  EXPECT_EQ(0U, read.find(1));
  EXPECT_EQ(1ULL << 61U, read.highest());
  EXPECT_EQ(positions.text(), read.text());
}

TEST(StoredPositionsTest, PositionNeverGoesBack) {
  StoredPositions positions;
  positions.advance(1, 20);
  positions.advance(1, 7);
  EXPECT_EQ(20U, positions.find(1));
}

TEST(StoredPositionsTest, AnotherJournalOfTheStreamHasNone) {
  Envelope envelope;
  envelope.stream = "telemetry";
  envelope.journal.bytes[0] = 1;
  Envelope other = envelope;
  other.journal.bytes[0] = 2;
  StoredPositions positions;
  positions.advance(StoredPositions::key_of(envelope), 9);
  EXPECT_EQ(9U, positions.find(StoredPositions::key_of(envelope)));
  EXPECT_EQ(0U, positions.find(StoredPositions::key_of(other)));
  other = envelope;
  other.gateway.bytes[3] = 1;
  EXPECT_EQ(0U, positions.find(StoredPositions::key_of(other)));
}

TEST(StoredPositionsTest, TheStreamsUsedLastStayAndTheTextFitsBesideAnOffset) {
  StoredPositions positions;
  constexpr std::uint64_t kStreams = StoredPositions::kStreamsMax + 10;
  for (std::uint64_t key = 1; key <= kStreams; ++key) {
    positions.advance(key, (1ULL << 62U) - key);
    positions.advance(1, key);  // used all the time
  }
  EXPECT_LE(positions.text().size(), StoredPositions::kTextBytesMax);
  EXPECT_NE(0U, positions.find(1));
  EXPECT_NE(0U, positions.find(kStreams));
  EXPECT_EQ(0U, positions.find(2));
}

TEST(StoredPositionsTest, WhatIsNotOursSaysNothing) {
  for (const char* text : {"", "sticky", "spillway 2 00000000000000ff=7", "spillway 1",
                           "spillway 1 ff=7", "spillway 1 00000000000000ff",
                           "spillway 1 00000000000000ff=", "spillway 1 00000000000000ff=7x",
                           "spillway 1 x0000000000000ff=7"}) {
    EXPECT_EQ(0U, StoredPositions(text).find(0xFF)) << text;
    EXPECT_EQ(0U, StoredPositions(text).highest()) << text;
  }
}

TEST(StoredPositionsTest, ANamesakeInTheTextDoesNotTakeThePlaceOfTheFirst) {
  EXPECT_EQ(7U, StoredPositions("spillway 1 00000000000000ff=7 00000000000000ff=9").find(0xFF));
}

}  // namespace
}  // namespace spillway::uplink::kafka
