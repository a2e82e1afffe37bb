// Uplinks to engines: their addresses, their keys, and the native link's keys that they do not have.
#include <gtest/gtest.h>

#include <string>

#include "spillway/core/config.h"

namespace spillway::core {
namespace {

UplinkConfig good(const std::string& text) {
  auto config = parse_config("[[uplink]]\nname=\"u\"\n" + text, "f.toml");
  EXPECT_TRUE(config) << config.error().message;
  return config ? config->uplinks.at(0) : UplinkConfig{};
}

void expect_complaint(const std::string& text, const std::string& words) {
  const auto config = parse_config("[[uplink]]\nname=\"u\"\n" + text, "f.toml");
  ASSERT_FALSE(config) << text;
  EXPECT_NE(config.error().message.find(words), std::string::npos) << config.error().message;
}

EngineUrl url_of(const std::string& text) {
  auto url = parse_engine_url(text);
  EXPECT_TRUE(url) << url.error().message;
  return url.value_or(EngineUrl{});
}

TEST(EngineConfig, AnAddressIsTakenApart) {
  const auto url = url_of("amqps://gate%2Fway@rabbit.example/plant%2F1");
  EXPECT_EQ(url.scheme, "amqps");
  EXPECT_EQ(url.user, "gate/way");
  EXPECT_EQ(url.path, "plant/1");
  ASSERT_EQ(url.hosts.size(), 1U);
  EXPECT_EQ(url.hosts[0].host, "rabbit.example");
  EXPECT_EQ(url.hosts[0].port, 5671);
  EXPECT_TRUE(url.secure());
  EXPECT_FALSE(url_of("amqp://h:1").secure());
  EXPECT_FALSE(url_of("amqp://h:1").has_path);
  EXPECT_EQ(url_of("amqp://[::1]:5673").hosts[0].host, "::1");
  EXPECT_EQ(url_of("amqp://[::1]:5673").hosts_text(), "[::1]:5673");
  EXPECT_EQ(url_of("kafka://a:1,b,c:3").hosts_text(), "a:1,b:9092,c:3");
}

TEST(EngineConfig, WhatIsNoAddressSaysHowOneLooks) {
  for (const char* text :
       {"amqp://", "amqp://h:0", "amqp://h:99999", "amqp://a b", "amqp://@h", "amqp://h/%zz",
        "amqp://h/%2", "amqp://a,b", "kafka://a,", "amqp://h?x=1"}) {
    const auto url = parse_engine_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_NE(url.error().message.find("is not an address such as"), std::string::npos) << text;
  }
  const auto with_password = parse_engine_url("amqp://user:secret@h");
  ASSERT_FALSE(with_password);
  EXPECT_NE(with_password.error().message.find("password_file"), std::string::npos);
  EXPECT_EQ(with_password.error().message.find("secret"), std::string::npos);
}

TEST(EngineConfig, TheKeysOfARabbitMqAreRead) {
  const auto uplink = good(
      "url=\"amqps://user@h/v\"\npayload=\"json\"\nwindow_messages=10\npassword_file=\"/p\"\n"
      "rate_limit=\"1Mbit/s\"\nwindows=[\"01:00-02:00\"]\n"
      "[uplink.tls]\nca=\"/ca\"\n"
      "[uplink.rabbitmq]\nexchange=\"e\"\nrouting_key=\"{topic}\"\nqueue=\"q\"\nbinding=\"a.#\"\n"
      "queue_max_bytes=\"1GiB\"\nheartbeat=\"10s\"\n");
  EXPECT_TRUE(uplink.engine.used());
  EXPECT_EQ(uplink.engine.payload, EnginePayload::kJson);
  EXPECT_EQ(uplink.engine.window_messages, 10U);
  EXPECT_EQ(uplink.engine.password_file, "/p");
  EXPECT_EQ(uplink.engine.rabbitmq.exchange, "e");
  EXPECT_EQ(uplink.engine.rabbitmq.routing_key, "{topic}");
  EXPECT_EQ(uplink.engine.rabbitmq.queue_max_bytes, 1U << 30);
  EXPECT_EQ(uplink.tls.ca, "/ca");
  ASSERT_EQ(uplink.links.size(), 1U);
  EXPECT_EQ(uplink.links[0].rate_limit_bytes_per_s, 125'000U);
  EXPECT_EQ(uplink.links[0].windows.size(), 1U);
}

TEST(EngineConfig, TheKeysOfAKafkaAreRead) {
  const auto uplink = good(
      "url=\"kafka://user@a,b:9093\"\npassword_file=\"/p\"\n[uplink.tls]\nca=\"/ca\"\n"
      "[uplink.kafka]\ntopic=\"site.{gateway}.{topic}\"\ncompression=\"zstd\"\ntransactions=false\n"
      "commit_interval=\"20ms\"\nmessage_bytes_max=\"64KiB\"\nsasl=\"scram-sha-512\"\n"
      "partitions=12\nreplication=3\nretention=\"7d\"\n");
  const KafkaConfig& kafka = uplink.engine.kafka;
  EXPECT_EQ(uplink.engine.url.hosts_text(), "a:9092,b:9093");
  EXPECT_EQ(kafka.topic, "site.{gateway}.{topic}");
  EXPECT_EQ(kafka.compression, "zstd");
  EXPECT_FALSE(kafka.transactions);
  EXPECT_TRUE(kafka.tls);
  EXPECT_EQ(kafka.commit_interval_ns, 20'000'000U);
  EXPECT_EQ(kafka.message_bytes_max, 65'536U);
  EXPECT_EQ(kafka.sasl, "scram-sha-512");
  EXPECT_EQ(kafka.partitions, 12U);
  EXPECT_EQ(kafka.replication, 3U);
  EXPECT_EQ(kafka.retention_ns, 7 * 86'400'000'000'000U);
}

TEST(EngineConfig, AKafkasWindowIsLargerForItsOutcomesComeWithTheCommits) {
  const auto uplink = good("url=\"kafka://h\"\n");
  EXPECT_TRUE(uplink.engine.kafka.transactions);
  EXPECT_FALSE(uplink.engine.kafka.tls);
  EXPECT_EQ(uplink.engine.window_messages, 16'384U);
  EXPECT_EQ(uplink.window_bytes, 16U << 20U);
  EXPECT_EQ(good("url=\"kafka://h\"\nwindow_messages=5\n").engine.window_messages, 5U);
  EXPECT_TRUE(good("url=\"kafka://h\"\n[uplink.tls]\n").engine.kafka.tls);
}

TEST(EngineConfig, WhatNoKafkaCouldDoIsRefused) {
  const std::string kafka = "url=\"kafka://h\"\n[uplink.kafka]\n";
  expect_complaint(kafka + "topic=\"a b\"", "topic must be");
  expect_complaint(kafka + "topic=\"\"", "topic must be");
  expect_complaint(kafka + "topic=\"{topics}\"", "topic must be");
  expect_complaint(kafka + "compression=\"brotli\"", "\"zstd\"");
  expect_complaint(kafka + "sasl=\"oauth\"", "\"plain\"");
  expect_complaint(kafka + "commit_interval=\"1us\"", "commit_interval");
  expect_complaint(kafka + "commit_interval=\"11s\"", "\"10s\"");
  expect_complaint(kafka + "message_bytes_max=5", "1KiB");
  expect_complaint(kafka + "partitions=0", "partitions");
  expect_complaint(kafka + "replication=101", "replication");
  expect_complaint(kafka + "tpoic=\"a\"", "topic");
  expect_complaint("url=\"amqp://h\"\n[uplink.kafka]\ntopic=\"a\"", "goes with kafka://");
}

TEST(EngineConfig, WithoutKeysItHasItsDefaults) {
  const auto uplink = good("url=\"amqp://h\"\n");
  EXPECT_EQ(uplink.engine.payload, EnginePayload::kRaw);
  EXPECT_EQ(uplink.engine.window_messages, 4096U);
  EXPECT_EQ(uplink.engine.rabbitmq.exchange, "spillway");
  EXPECT_FALSE(good("url=\"ws://h\"\n").engine.used());
}

TEST(EngineConfig, APayloadIsReadAsItIsNamed) {
  for (const auto payload : {EnginePayload::kRaw, EnginePayload::kJson, EnginePayload::kBlocks}) {
    const std::string said = "payload=\"" + std::string(name_of(payload)) + "\"\n";
    EXPECT_EQ(good("url=\"amqp://h\"\n" + said).engine.payload, payload);
  }
}

TEST(EngineConfig, WhatCouldNotWorkIsRefused) {
  const std::string url = "url=\"amqp://user@h\"\n";
  expect_complaint(url + "payload=\"xml\"", "\"raw\", \"json\" or \"blocks\"");
  expect_complaint(url + "window_messages=2000000", "window_messages");
  expect_complaint("url=\"amqp://h\"\npassword_file=\"/p\"", "without a user");
  expect_complaint(url + "[uplink.tls]\nca=\"/ca\"", "amqps://");
  expect_complaint(url + "[uplink.rabbitmq]\nexchnage=\"e\"", "exchange");
  expect_complaint(url + "[uplink.rabbitmq]\nexchange=\"\"", "1 to 255");
  expect_complaint(url + "[uplink.rabbitmq]\nrouting_key=\"{topics}\"", "{topic}");
  expect_complaint(url + "[uplink.rabbitmq]\nrouting_key=\"a}\"", "{topic}");
  expect_complaint(url + "[uplink.rabbitmq]\nheartbeat=\"1s\"", "heartbeat");
  expect_complaint(url + "[uplink.rabbitmq]\nqueue_max_bytes=5", "1MiB");
  expect_complaint("url=\"nats://h\"\n[uplink.rabbitmq]\nexchange=\"e\"", "goes with amqp://");
}

TEST(EngineConfig, WhatOnlyTheNativeLinkHasIsRefusedAndTheOtherWayRound) {
  for (const char* key : {"compress=\"never\"", "gather=\"1s\"", "proxy=\"http://p:1\"",
                          "interface=\"eth0\"", "ping_interval=\"2s\"", "budget_per_day=\"1GB\"",
                          "[[uplink.link]]\nname=\"l\"\nurl=\"ws://h\""}) {
    expect_complaint("url=\"amqp://h\"\n" + std::string(key), "amqp:// does not have it");
  }
  for (const char* key : {"payload=\"raw\"", "window_messages=5", "password_file=\"/p\"",
                          "[uplink.rabbitmq]\nexchange=\"e\""}) {
    expect_complaint("url=\"ws://h\"\n" + std::string(key), "goes with an engine");
  }
}

}  // namespace
}  // namespace spillway::core
