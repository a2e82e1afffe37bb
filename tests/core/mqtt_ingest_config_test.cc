// [mqtt] and [[mqtt.map]]: what they take, and what they refuse with the line and the reason.
#include <gtest/gtest.h>

#include <array>

#include "spillway/core/config.h"

namespace spillway::core {
namespace {

Result<Config> parse(const std::string& text) {
  return parse_config("[gateway]\nname = \"pump\"\nspill_dir = \"/s\"\n" + text, "test.toml");
}

const std::string kBroker = "[mqtt]\nurl = \"mqtt://127.0.0.1\"\n";
const std::string kMap = "[[mqtt.map]]\nfilter = \"sensor/#\"\n";

void expect_complaint(const std::string& text, const std::string& words) {
  const auto config = parse(text);
  ASSERT_FALSE(config) << text;
  EXPECT_NE(config.error().message.find(words), std::string::npos) << config.error().message;
}

TEST(MqttIngestConfig, has_defaults_that_lose_nothing) {
  const auto config = parse(kBroker + kMap);
  ASSERT_TRUE(config) << config.error().message;
  const MqttIngestConfig& mqtt = *config->mqtt;
  EXPECT_EQ(mqtt.client_id, "spillway-pump");
  EXPECT_EQ(mqtt.state_dir, "/s/.mqtt");
  EXPECT_EQ(mqtt.session_expiry_ns, 0U);
  EXPECT_EQ(mqtt.url.hosts.at(0).port, 1883);
  const MqttMapConfig& map = mqtt.maps.at(0);
  EXPECT_EQ(map.qos, 1);
  EXPECT_EQ(map.level, MqttLevel::kProcessSafe);
  EXPECT_FALSE(map.retained);
  EXPECT_FALSE(map.json);
  EXPECT_EQ(mqtt_topic(map, "sensor/boiler"), "sensor/boiler");
}

TEST(MqttIngestConfig, reads_every_key) {
  const auto config = parse(
      "[mqtt]\nurl = \"mqtts://user@broker:9\"\npassword_file = \"/p\"\nclient_id = \"c\"\n"
      "state_dir = \"/state\"\nsession_expiry = \"7d\"\nkeep_alive = \"5s\"\n"
      "receive_maximum = 10\nlanes_max = 3\ntls = { ca = \"/ca\" }\n"
      "[[mqtt.map]]\nfilter = \"a/+\"\ntopic = \"site/{topic}/x/{topic}\"\nschema = \"/a.bfbs\"\n"
      "payload = \"json\"\nqos = 0\nretained = true\nlevel = \"power-safe\"\n"
      "lane_bytes = \"64KiB\"\nmax_record_bytes = \"1KiB\"\n");
  ASSERT_TRUE(config) << config.error().message;
  const MqttIngestConfig& mqtt = *config->mqtt;
  EXPECT_EQ(mqtt.tls.ca, "/ca");
  EXPECT_EQ(mqtt.session_expiry_ns, 7ULL * 24 * 3600 * 1'000'000'000);
  EXPECT_EQ(mqtt.receive_maximum, 10U);
  EXPECT_EQ(mqtt.lanes_max, 3U);
  const MqttMapConfig& map = mqtt.maps.at(0);
  EXPECT_EQ(mqtt_topic(map, "a/b"), "site/a/b/x/a/b");
  EXPECT_TRUE(map.json);
  EXPECT_TRUE(map.retained);
  EXPECT_EQ(map.qos, 0);
  EXPECT_EQ(map.level, MqttLevel::kPowerSafe);
  EXPECT_EQ(map.max_record_bytes, 1U << 10);
}

TEST(MqttIngestConfig, says_what_is_wrong) {
  expect_complaint("[mqtt]\n" + kMap, "test.toml:4: [mqtt]: url must be mqtt://");
  expect_complaint("[mqtt]\nurl = \"http://h\"\n" + kMap, "url must be mqtt://");
  expect_complaint("[mqtt]\nurl = \"mqtt://h/path\"\n" + kMap, "url must be mqtt://");
  expect_complaint("[mqtt]\nurl = \"mqtt://a:b@h\"\n" + kMap, "url");
  expect_complaint(kBroker, "nothing would be subscribed");
  expect_complaint(kBroker + "password_file = \"/p\"\n" + kMap, "of no use without a user");
  expect_complaint(kBroker + "clientid = \"x\"\n" + kMap, "did you mean \"client_id\"?");
  expect_complaint(kBroker + "client_id = \"\"\n" + kMap, "client_id must be 1 to 255 bytes");
  expect_complaint(kBroker + "tls = { ca = \"/ca\" }\n" + kMap, "without TLS");
  expect_complaint(kBroker + "share = \"a/b\"\n" + kMap, "share must be");
  expect_complaint(kBroker + "share = \"a\"\n" + kMap + "retained = true\n", "no retained");
  expect_complaint(kBroker + "receive_maximum = 70000\n" + kMap, "from 1 to 65535");
  expect_complaint(kBroker + "keep_alive = \"1s\"\n" + kMap, "keep_alive must be");
  expect_complaint(kBroker + "[[mqtt.map]]\n", "filter must be");
  expect_complaint(kBroker + "[[mqtt.map]]\nfilter = \"a/#/b\"\n", "filter must be");
  expect_complaint(kBroker + "[[mqtt.map]]\nfilter = \"$share/g/a\"\n", "said by share");
  expect_complaint(kBroker + kMap + "topic = \"a/+\"\n", "topic must be");
  expect_complaint(kBroker + kMap + "topic = \"\"\n", "topic must be");
  expect_complaint(kBroker + kMap + "qos = 2\n", "qos must be 0 or 1");
  expect_complaint(kBroker + kMap + "level = \"safe\"\n", "level");
  expect_complaint(kBroker + kMap + "payload = \"json\"\n", "needs schema");
  expect_complaint(kBroker + kMap + "lane_bytes = \"100KiB\"\n", "power of two");
  expect_complaint(kBroker + kMap + "max_record_bytes = \"1MiB\"\n", "half of lane_bytes");
  expect_complaint(kBroker + kMap + "[[mqtt.map]]\nfilter = \"sensor/a\"\n",
                   "test.toml:9: [[mqtt.map]]: \"sensor/#\" takes messages");
}

TEST(MqttIngestConfig, filters_overlap_if_some_topic_matches_both) {
  struct Pair {
    const char* one;
    const char* other;
    bool overlap;
  };
  constexpr std::array<Pair, 16> kPairs{{{"a/#", "a/b", true},
                                         {"a/#", "a", true},
                                         {"a/+", "a", false},
                                         {"a/+", "a/b/c", false},
                                         {"+/b", "a/+", true},
                                         {"+/b", "a/c", false},
                                         {"+/b/#", "a/+", true},
                                         {"a/b", "a/b", true},
                                         {"a/b", "a/b/", false},
                                         {"/a", "+/a", true},
                                         {"/a", "a", false},
                                         {"#", "anything/at/all", true},
                                         {"#", "$SYS/broker", false},
                                         {"+/broker", "$SYS/broker", false},
                                         {"$SYS/#", "$SYS/broker", true},
                                         {"a/#", "b/#", false}}};
  for (const Pair& pair : kPairs) {
    EXPECT_EQ(mqtt_filters_overlap(pair.one, pair.other), pair.overlap)
        << pair.one << " " << pair.other;
    EXPECT_EQ(mqtt_filters_overlap(pair.other, pair.one), pair.overlap)
        << pair.other << " " << pair.one;
  }
}

/// All short filters and topics of three words: two filters overlap if and only if a topic shows it.
TEST(MqttIngestConfig, overlaps_are_exactly_what_topics_show) {
  std::vector<std::string> filters;
  std::vector<std::string> topics;
  const auto grow = [](std::vector<std::string>& texts, const std::vector<std::string>& words) {
    for (const std::string& one : words) {
      texts.push_back(one);
      for (const std::string& two : words) {
        texts.push_back(one + "/" + two);
        for (const std::string& three : words) texts.push_back(one + "/" + two + "/" + three);
      }
    }
  };
  grow(filters, {"a", "b", "+", "#", "$a", ""});
  grow(topics, {"a", "b", "$a", "", "c"});
  std::erase_if(filters, [](const auto& filter) {
    return filter.empty() || filter.find('#') < filter.size() - 1;
  });
  for (const std::string& one : filters) {
    for (const std::string& other : filters) {
      bool shown = false;
      for (const std::string& topic : topics) {
        shown = shown || (mqtt_filter_matches(one, topic) && mqtt_filter_matches(other, topic));
      }
      ASSERT_EQ(mqtt_filters_overlap(one, other), shown) << one << " and " << other;
    }
  }
}

}  // namespace
}  // namespace spillway::core
