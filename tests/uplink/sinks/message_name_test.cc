// How messages are called in engines, and the identity by which one that comes twice is told.
#include "uplink/sinks/message_name.h"

#include <gtest/gtest.h>

#include <set>

namespace spillway::uplink {
namespace {

Envelope record() {
  Envelope envelope;
  envelope.gateway = core::Uuid::from_random(1, 2);
  envelope.gateway_name = "site-17/pump-3";
  envelope.journal = core::Uuid::from_random(3, 4);
  envelope.stream = "telemetry";
  envelope.topic = "sensor/boiler";
  envelope.offset = 17;
  return envelope;
}

void write_in_brackets(std::string_view value, std::string& name) {
  name += '[';
  name += value;
  name += ']';
}

TEST(MessageName, ATemplateIsFilledInWithWhatTheEngineAllows) {
  EXPECT_EQ(fill_in("a.{gateway}.{stream}/{topic}", record(), write_in_brackets),
            "a.[site-17/pump-3].[telemetry]/[sensor/boiler]");
  EXPECT_EQ(fill_in("{topic}{topic}", record(), write_in_brackets),
            "[sensor/boiler][sensor/boiler]");
  EXPECT_EQ(fill_in("", record(), write_in_brackets), "");
  EXPECT_EQ(fill_in("fixed", record(), write_in_brackets), "fixed");
}

TEST(MessageName, AGatewayWithoutANameIsCalledByItsId) {
  Envelope unnamed = record();
  unnamed.gateway_name.clear();
  EXPECT_EQ(fill_in("{gateway}", unnamed, write_in_brackets), "[" + unnamed.gateway.text() + "]");
}

TEST(MessageName, WhatIsNoRecordHasASubjectOfItsOwn) {
  Envelope gap = record();
  gap.kind = EnvelopeKind::kGap;
  gap.topic.clear();
  EXPECT_EQ(fill_in("{topic}", gap, write_in_brackets), "[_spillway/gap]");
}

TEST(MessageName, ARecordsIdIsItsIdentity) {
  EXPECT_EQ(message_id(record()),
            record().gateway.text() + "/" + record().journal.text() + "/telemetry/17");
}

TEST(MessageName, DifferentMessagesHaveDifferentIds) {
  std::set<std::string> ids;
  std::size_t made = 0;
  for (const auto kind : {EnvelopeKind::kRecord, EnvelopeKind::kBlocks, EnvelopeKind::kGap,
                          EnvelopeKind::kLane, EnvelopeKind::kClock, EnvelopeKind::kSchema}) {
    Envelope envelope = record();
    envelope.kind = kind;
    envelope.next_offset = 19;
    ids.insert(message_id(envelope));
    ++made;
  }
  Envelope lane = record();
  lane.kind = EnvelopeKind::kLane;
  lane.lane_end = 4096;  // a later count of the same lane
  ids.insert(message_id(lane));
  lane.closed = true;
  ids.insert(message_id(lane));
  EXPECT_EQ(ids.size(), made + 2);
}

}  // namespace
}  // namespace spillway::uplink
