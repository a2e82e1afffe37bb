// What may stand in a NATS subject, and what becomes of the rest.
#include "uplink/sinks/nats/nats_subject.h"

#include <gtest/gtest.h>

namespace spillway::uplink {
namespace {

std::string tokens(std::string_view value) {
  std::string subject;
  write_subject_tokens(value, subject);
  return subject;
}

TEST(NatsSubject, LevelsBecomeTokens) {
  EXPECT_EQ(tokens("sensor/boiler/t-1"), "sensor.boiler.t-1");
}

TEST(NatsSubject, WhatATokenMayNotHoldIsEscapedAndNothingCollides) {
  EXPECT_EQ(tokens("a.b"), "a%2Eb");
  EXPECT_EQ(tokens("a b\t*>"), "a%20b%09%2A%3E");
  EXPECT_EQ(tokens("a%2Eb"), "a%252Eb");
  EXPECT_EQ(tokens("caf\xC3\xA9"), "caf\xC3\xA9");
}

TEST(NatsSubject, AnEmptyLevelIsADash) {
  EXPECT_EQ(tokens(""), "-");
  EXPECT_EQ(tokens("a//b/"), "a.-.b.-");
}

}  // namespace
}  // namespace spillway::uplink
