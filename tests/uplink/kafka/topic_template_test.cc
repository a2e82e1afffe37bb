#include "uplink/sinks/kafka/topic_template.h"

#include <gtest/gtest.h>

namespace spillway::uplink::kafka {
namespace {

TEST(TopicTemplateTest, FillsInWhatStandsInBraces) {
  EXPECT_EQ("spillway", expand_topic("spillway", "g", "s", "t"));
  EXPECT_EQ("site-17.pump-3.telemetry.sensor.a",
            expand_topic("{gateway}.{stream}.{topic}", "site-17/pump-3", "telemetry", "sensor/a"));
  EXPECT_EQ("a-s", expand_topic("a-{stream}", "g", "s", "t"));
}

TEST(TopicTemplateTest, WhatKafkaTakesInNoNameIsReplaced) {
  EXPECT_EQ("a_b_.c", expand_topic("{topic}", "", "", "a b\xE4/c"));
  EXPECT_EQ("_unknown_", expand_topic("{unknown}", "g", "s", "t"));
  EXPECT_EQ(kTopicBytesMax, expand_topic("{topic}", "", "", std::string(1000, 'x')).size());
}

TEST(TopicTemplateTest, WhatIsFilledInIsNotFilledInAgain) {
  EXPECT_EQ("_topic_", expand_topic("{gateway}", "{topic}", "s", "t"));
}

TEST(TopicTemplateTest, KnowsWhetherNamesAreKnownBeforehand) {
  EXPECT_TRUE(is_plain("spillway"));
  EXPECT_FALSE(is_plain("{gateway}"));
  EXPECT_TRUE(follows_topics("a.{topic}"));
  EXPECT_FALSE(follows_topics("{gateway}.{stream}"));
}

}  // namespace
}  // namespace spillway::uplink::kafka
