// The parts of the MQTT adapter that need no broker.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "edge-agent/ingest/mqtt/redeliveries.h"
#include "edge-agent/ingest/mqtt/routes.h"
#include "edge-agent/ingest/mqtt/session_note.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::agent::mqtt {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(MqttRedeliveries, knows_what_was_put_by_packet_id_topic_and_bytes) {
  Redeliveries redeliveries;
  EXPECT_FALSE(redeliveries.knows(1, "a", bytes_of("on")));
  redeliveries.on_put(1, "a", bytes_of("on"));
  EXPECT_TRUE(redeliveries.knows(1, "a", bytes_of("on")));
  EXPECT_FALSE(redeliveries.knows(2, "a", bytes_of("on")));
  EXPECT_FALSE(redeliveries.knows(1, "b", bytes_of("on")));
  EXPECT_FALSE(redeliveries.knows(1, "a", bytes_of("off")));
  redeliveries.on_put(1, "a", bytes_of("off"));
  EXPECT_FALSE(redeliveries.knows(1, "a", bytes_of("on")));
  redeliveries.forget();
  EXPECT_FALSE(redeliveries.knows(1, "a", bytes_of("off")));
}

class MqttParts : public testing::Test {
 protected:
  MqttParts() {
    std::string name = "/tmp/spillway-mqtt-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    config_.state_dir = folder_ + "/state";
    config_.client_id = "c";
    config_.url.hosts = {{"broker", 1883}};
  }
  ~MqttParts() override { std::filesystem::remove_all(folder_); }
  SessionNote note() {
    auto note = SessionNote::read(core::env::posix_env(), config_);
    EXPECT_TRUE(note) << note.error().message;
    return *note;
  }

  std::string folder_;
  core::MqttIngestConfig config_;
};

using Filters = std::vector<std::string>;

TEST_F(MqttParts, session_note_keeps_what_may_be_subscribed_until_it_is_certain) {
  auto& env = core::env::posix_env();
  EXPECT_FALSE(note().had_session());
  ASSERT_TRUE(note().add(env, {"a", "b"}));
  EXPECT_TRUE(note().had_session());
  EXPECT_EQ(note().former({"a", "c"}), Filters{"b"});
  // Killed between the two: all three may be there.
  ASSERT_TRUE(note().add(env, {"a", "c"}));
  EXPECT_EQ(note().former({"d"}), (Filters{"a", "b", "c"}));
  ASSERT_TRUE(note().settle(env, {"a", "c"}));
  EXPECT_EQ(note().former({"d"}), (Filters{"a", "c"}));
}

TEST_F(MqttParts, session_note_of_another_session_or_of_rubbish_counts_for_nothing) {
  auto& env = core::env::posix_env();
  ASSERT_TRUE(note().add(env, {"a"}));
  config_.client_id = "other";
  EXPECT_FALSE(note().had_session());
  config_.client_id = "c";
  EXPECT_TRUE(note().had_session());
  for (const char* rubbish :
       {"", "{", "[]", "{}", "{\"broker\": 1}",
        "{\"broker\": \"broker:1883\", \"client_id\": \"c\", \"filters\": [1]}"}) {
    std::ofstream(config_.state_dir + "/session.json") << rubbish;
    EXPECT_FALSE(note().had_session()) << rubbish;
  }
}

TEST_F(MqttParts, routes_find_the_map_and_make_records_by_its_schema) {
  const std::string schema = folder_ + "/s.fbs";
  std::ofstream(schema) << "table T { v: int; }\nroot_type T;\n";
  config_.maps.resize(2);
  config_.maps[0].filter = "json/#";
  config_.maps[0].schema = schema;
  config_.maps[0].json = true;
  config_.maps[1].filter = "+/raw/" + std::string(100, 'x');
  auto routes = Routes::make(config_);
  ASSERT_TRUE(routes) << routes.error().message;
  const Route* json = routes->find("json/a/b");
  const Route* raw = routes->find("a/raw/" + std::string(100, 'x'));
  ASSERT_NE(json, nullptr);
  ASSERT_NE(raw, nullptr);
  EXPECT_EQ(routes->find("other"), nullptr);
  EXPECT_EQ(json->producer_name, "mqtt/json/**");
  EXPECT_LE(raw->producer_name.size(), 63U);
  EXPECT_EQ(record_of(*raw, bytes_of("{}"))->size(), 2U);
  EXPECT_TRUE(record_of(*json, bytes_of("{\"v\": 5}")));
  EXPECT_FALSE(record_of(*json, bytes_of("{\"w\": 5}")));
  EXPECT_FALSE(record_of(*json, bytes_of(std::string_view("{\"v\": 5}\0", 9))));
  std::ofstream(schema) << "table T { v: nonsense; }\n";
  const auto wrong = Routes::make(config_);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find(schema), std::string::npos) << wrong.error().message;
}

}  // namespace
}  // namespace spillway::agent::mqtt
