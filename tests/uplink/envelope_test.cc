// What a message in an engine says of itself: whoever reads it gets what was written, or a clear no.
#include "uplink/protocol/envelope.h"

#include <gtest/gtest.h>

#include <map>

namespace spillway::uplink {
namespace {

using Headers = std::map<std::string, std::string, std::less<>>;

Headers headers_of(const Envelope& envelope) {
  Headers headers;
  for (const auto& [name, value] : write_envelope(envelope)) {
    EXPECT_TRUE(headers.emplace(name, value).second) << name << " twice";
  }
  return headers;
}

core::Result<Envelope> read(const Headers& headers) {
  return read_envelope([&](std::string_view name) -> std::optional<std::string_view> {
    const auto at = headers.find(name);
    return at == headers.end() ? std::nullopt : std::optional<std::string_view>(at->second);
  });
}

Envelope of_kind(EnvelopeKind kind) {
  Envelope envelope;
  envelope.kind = kind;
  envelope.gateway = core::Uuid::from_random(1, 2);
  envelope.gateway_name = "site-17/pump-3";
  envelope.journal = core::Uuid::from_random(3, 4);
  envelope.journal_sequence = 2;
  envelope.journal_first_offset = 10;
  envelope.stream = "telemetry";
  return envelope;
}

Envelope record() {
  Envelope envelope = of_kind(EnvelopeKind::kRecord);
  envelope.offset = 4711;
  envelope.lane = 0xFEDC'BA98'7654'3210;
  envelope.topic = "sensor/boiler/temperature";
  envelope.producer = "boilerd";
  envelope.boot = core::Uuid::from_random(5, 6);
  envelope.schema = 0x0123'4567'89AB'CDEF;
  envelope.utc_ns = 1'800'000'000'000'000'000;
  return envelope;
}

TEST(Envelope, ARecordIsReadAsItWasWritten) {
  EXPECT_EQ(read(headers_of(record())).value(), record());
}

TEST(Envelope, ARecordWithoutATimeCarriesThatOfItsBoot) {
  Envelope untimed = record();
  untimed.utc_ns.reset();
  untimed.boottime_ns = 77;
  untimed.schema = 0;
  const Headers headers = headers_of(untimed);
  EXPECT_FALSE(headers.contains("spillway-time"));
  EXPECT_FALSE(headers.contains("spillway-schema"));
  EXPECT_EQ(read(headers).value(), untimed);
}

TEST(Envelope, TheOtherKindsAreReadAsTheyWereWritten) {
  Envelope blocks = of_kind(EnvelopeKind::kBlocks);
  blocks.offset = 20;
  blocks.next_offset = 30;
  blocks.salt = ~0ULL;
  Envelope of_a_lane = record();
  of_a_lane.kind = EnvelopeKind::kBlocks;
  of_a_lane.utc_ns.reset();
  of_a_lane.next_offset = of_a_lane.offset + 9;
  Envelope gap = of_kind(EnvelopeKind::kGap);
  gap.offset = 10;
  gap.next_offset = 4711;
  gap.reason = static_cast<std::uint8_t>(format::GapReason::quota);
  Envelope lane = record();
  lane.kind = EnvelopeKind::kLane;
  lane.offset = 0;
  lane.utc_ns.reset();
  lane.lane_end = 4096;
  lane.rejected = 3;
  lane.closed = true;
  Envelope clock = of_kind(EnvelopeKind::kClock);
  clock.boot = core::Uuid::from_random(5, 6);
  clock.utc_ns = 5;
  clock.boottime_ns = 4;
  Envelope schema = of_kind(EnvelopeKind::kSchema);
  schema.schema = 1;
  for (const Envelope& one : {blocks, of_a_lane, gap, lane, clock, schema}) {
    EXPECT_EQ(read(headers_of(one)).value(), one);
  }
}

TEST(Envelope, WhatIsMissingIsNamed) {
  for (const char* name :
       {"spillway-kind", "spillway-gateway", "spillway-journal", "spillway-stream",
        "spillway-offset", "spillway-topic", "spillway-lane"}) {
    Headers headers = headers_of(record());
    headers.erase(name);
    const auto outcome = read(headers);
    ASSERT_FALSE(outcome) << name;
    EXPECT_EQ(outcome.error().code, core::ErrorCode::kProtocol);
    EXPECT_NE(outcome.error().message.find(name), std::string::npos) << outcome.error().message;
  }
}

TEST(Envelope, WhatIsImpossibleIsRefused) {
  const std::pair<const char*, std::string> lies[] = {
      {"spillway-kind", "recipe"},      {"spillway-gateway", "me"},
      {"spillway-offset", "-1"},        {"spillway-offset", "12x"},
      {"spillway-offset", ""},          {"spillway-offset", "18446744073709551616"},
      {"spillway-schema", "cafe babe"}, {"spillway-topic", std::string(5000, 'x')},
      {"spillway-time", "soon"},        {"spillway-offset", "9223372036854775807"},
  };
  for (const auto& [name, value] : lies) {
    Headers headers = headers_of(record());
    headers[name] = value;
    EXPECT_FALSE(read(headers)) << name << "=" << value.substr(0, 40);
  }
  Envelope gap = of_kind(EnvelopeKind::kGap);
  gap.offset = gap.next_offset = 5;
  EXPECT_FALSE(read(headers_of(gap))) << "a gap of nothing";
}

TEST(Envelope, UnknownHeadersAndReasonsOfALaterVersionDoNotMatter) {
  Envelope gap = of_kind(EnvelopeKind::kGap);
  gap.next_offset = 5;
  gap.reason = static_cast<std::uint8_t>(format::GapReason::quota);
  Headers headers = headers_of(gap);
  headers["spillway-mood"] = "good";
  headers["spillway-reason"] = "eaten by a later version";
  const auto outcome = read(headers);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->reason, static_cast<std::uint8_t>(format::GapReason::damage));
}

}  // namespace
}  // namespace spillway::uplink
