#include "spillway/core/topic.h"

#include <gtest/gtest.h>

#include <string>

namespace spillway::core {
namespace {

TEST(Topic, takes_levels_of_utf8_up_to_255_bytes) {
  EXPECT_TRUE(is_valid_topic("sensor/boiler/temperature"));
  EXPECT_TRUE(is_valid_topic("a"));
  EXPECT_TRUE(is_valid_topic("/"));
  EXPECT_TRUE(is_valid_topic("K\xC3\xBChlung/\xE6\xB0\xB4/\xF0\x9F\x94\xA5"));
  EXPECT_TRUE(is_valid_topic(std::string(255, 'a')));
}

TEST(Topic, refuses_wildcards_nul_emptiness_and_excess) {
  EXPECT_FALSE(is_valid_topic(""));
  EXPECT_FALSE(is_valid_topic(std::string(256, 'a')));
  EXPECT_FALSE(is_valid_topic("a/+"));
  EXPECT_FALSE(is_valid_topic("a#"));
  EXPECT_FALSE(is_valid_topic(std::string_view("a\0b", 3)));
}

TEST(Topic, refuses_what_is_not_utf8) {
  for (const char* text : {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
                           "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE6\xB0", "a\xFF"}) {
    EXPECT_FALSE(is_valid_topic(text)) << testing::PrintToString(std::string(text));
  }
}

TEST(TopicFilter, wildcards_are_whole_levels_and_the_rest_comes_last) {
  for (const char* filter : {"#", "+", "a/#", "a/+/b", "+/+", "a", "/#"}) {
    EXPECT_TRUE(is_valid_topic_filter(filter)) << filter;
  }
  for (const char* filter : {"", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b#"}) {
    EXPECT_FALSE(is_valid_topic_filter(filter)) << filter;
  }
}

TEST(TopicFilter, matches_as_mqtt_does) {
  const auto yes = [](const char* filter, const char* topic) {
    EXPECT_TRUE(topic_matches(filter, topic)) << filter << " " << topic;
  };
  const auto no = [](const char* filter, const char* topic) {
    EXPECT_FALSE(topic_matches(filter, topic)) << filter << " " << topic;
  };
  yes("#", "a");
  yes("#", "a/b/c");
  yes("a/#", "a");
  yes("a/#", "a/b/c");
  yes("a/b", "a/b");
  yes("+/b", "a/b");
  yes("a/+", "a/");
  yes("a/+/c", "a/b/c");
  yes("+", "a");
  yes("/+", "/a");
  yes("+/#", "a");
  no("a/#", "ab");
  no("a/b/#", "a");
  no("a", "a/b");
  no("a/b", "a");
  no("a/+", "a");
  no("a/+", "a/b/c");
  no("+", "a/b");
  no("+", "/a");
  no("b/#", "a/b");
}

}  // namespace
}  // namespace spillway::core
