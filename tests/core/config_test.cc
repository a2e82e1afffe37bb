#include "spillway/core/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace spillway::core {
namespace {

Config good(std::string_view text) {
  auto config = parse_config(text, "f.toml");
  EXPECT_TRUE(config) << config.error().message;
  return config ? *config : Config{};
}

std::string complaint(std::string_view text) {
  const auto config = parse_config(text, "f.toml");
  if (config) return "accepted";
  EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(config.error().message.find('\n'), std::string::npos);
  return config.error().message;
}

void expect_complaint(std::string_view text, const std::string& place, const std::string& words) {
  const std::string message = complaint(text);
  EXPECT_TRUE(message.starts_with(place)) << message;
  EXPECT_NE(message.find(words), std::string::npos) << message;
}

constexpr std::string_view kWhole = R"([gateway]
name = "site-17/pump-3"
queue_dir = "/run/q"
spill_dir = "/var/s"
nap = "2ms"
lanes_per_user_max = 7
lane_bytes_per_user_max = "1MiB"

[[stream]]
name = "telemetry"
topics = ["sensor/#", "system/#"]
sync_interval = "250ms"
placement = "disk"
segment_bytes = "96KiB"
max_bytes = "1MiB"
when_full = "reject-new"
compress = "always"

[[stream]]
name = "rest"
topics = ["#"]
sync_interval = 0

[[uplink]]
name = "cloud"
streams = ["telemetry"]
url = "wss://consumer.example:7443/in"
compress = "never"
gather = "250ms"
window_bytes = "1MiB"
reconnect_min = "10ms"
reconnect_max = "2s"
[uplink.tls]
ca = "/ca"
certificate = "/cert"
key = "/key"

[[uplink]]
name = "other"
url = "ws://[::1]:80"

[consumer]
listen = "ws://127.0.0.1:0"
inbox = "sqlite:/tmp/inbox.db"
)";

TEST(Config, every_key_is_read) {
  const Config config = good(kWhole);
  EXPECT_EQ(config.gateway.name, "site-17/pump-3");
  EXPECT_EQ(config.gateway.queue_dir, "/run/q");
  EXPECT_EQ(config.gateway.spill_dir, "/var/s");
  EXPECT_EQ(config.gateway.nap_ns, 2'000'000U);
  EXPECT_EQ(config.gateway.lanes_per_user_max, 7U);
  EXPECT_EQ(config.gateway.lane_bytes_per_user_max, 1U << 20);
  ASSERT_EQ(config.streams.size(), 2U);
  EXPECT_EQ(config.streams[0].topics, (std::vector<std::string>{"sensor/#", "system/#"}));
  EXPECT_EQ(config.streams[0].sync_interval_ns, 250'000'000U);
  EXPECT_EQ(config.streams[0].segment_bytes, 96U << 10);
  EXPECT_EQ(config.streams[0].max_bytes, 1U << 20);
  EXPECT_EQ(config.streams[0].when_full, WhenFull::kRejectNew);
  EXPECT_EQ(config.streams[1].sync_interval_ns, 0U);
  EXPECT_EQ(config.streams[1].when_full, WhenFull::kDropOldest);
  EXPECT_EQ(config.streams[0].compress, Compress::kAlways);
  EXPECT_EQ(config.streams[1].compress, Compress::kBacklog);
  ASSERT_EQ(config.uplinks.size(), 2U);
  EXPECT_FALSE(config.uplinks[0].compress);
  EXPECT_EQ(config.uplinks[0].gather_ns, 250'000'000U);
  EXPECT_EQ(config.uplinks[0].window_bytes, 1U << 20);
  EXPECT_EQ(config.uplinks[0].reconnect_ns_min, 10'000'000U);
  EXPECT_EQ(config.uplinks[0].reconnect_ns_max, 2'000'000'000U);
  EXPECT_EQ(config.uplinks[0].tls.certificate, "/cert");
  ASSERT_TRUE(config.consumer.has_value());
  EXPECT_EQ(config.consumer->listen, "ws://127.0.0.1:0");
  EXPECT_EQ(config.consumer->inbox, "sqlite:/tmp/inbox.db");
}

TEST(Config, uplink_without_streams_takes_all_of_them) {
  EXPECT_EQ(good(kWhole).uplinks[1].streams, (std::vector<std::string>{"telemetry", "rest"}));
}

TEST(Config, without_a_word_everything_goes_to_one_stream) {
  for (const Config& config : {good(""), default_config()}) {
    ASSERT_EQ(config.streams.size(), 1U);
    EXPECT_EQ(config.streams[0].name, "default");
    EXPECT_EQ(config.streams[0].topics, std::vector<std::string>{"#"});
    EXPECT_FALSE(config.gateway.name.empty());
    EXPECT_TRUE(config.gateway.queue_dir.starts_with('/'));
    EXPECT_TRUE(config.gateway.spill_dir.starts_with('/'));
    EXPECT_FALSE(config.consumer.has_value());
  }
}

TEST(Config, unknown_key_names_its_line_and_the_nearest_known_one) {
  expect_complaint("[gateway]\nname = \"a\"\nspil_dir = \"/x\"\n",
                   "f.toml:3: ", "unknown key \"spil_dir\"; did you mean \"spill_dir\"?");
  expect_complaint("\n[gatway]\n", "f.toml:2: ", "did you mean \"gateway\"?");
  expect_complaint("[[stream]]\nname=\"a\"\ntopic=[\"#\"]\n",
                   "f.toml:3: ", "did you mean \"topics\"?");
  expect_complaint("[[uplink]]\nname=\"a\"\nurl=\"wss://h\"\n[uplink.tls]\ncert=\"x\"\n",
                   "f.toml:5: ", "unknown key \"cert\"");
}

TEST(Config, iceoryx_maps_events_to_topics) {
  const auto config = parse_config(
      "[[iceoryx.map]]\nservice = \"Radar\"\ninstance = \"Front\"\nevent = \"Object\"\n"
      "topic = \"radar/front\"\nqueue_full_policy = \"block-producer\"\nhistory = 4\n",
      "test.toml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->iceoryx->maps.size(), 1U);
  const auto& map = config->iceoryx->maps.front();
  EXPECT_EQ(map.topic, "radar/front");
  EXPECT_TRUE(map.block_producer);
  EXPECT_EQ(map.history, 4U);
  EXPECT_EQ(map.queue_capacity, 256U);
}

TEST(Config, key_of_a_later_version_is_refused_as_such) {
  expect_complaint("[gateway]\nname=\"a\"\n[workflow]\n",
                   "f.toml:3: ", "not supported by this version");
}

TEST(Config, mistake_of_grammar_or_type_names_its_line) {
  expect_complaint("[gateway]\nname = \n", "f.toml:2: ", "");
  expect_complaint("[gateway]\nname = \"a\"\nname = \"b\"\n", "f.toml:3: ", "");
  expect_complaint("[gateway]\nname = 5\n", "f.toml:2: ", "must be a string");
  expect_complaint("[gateway]\nnap = 5\n", "f.toml:2: ", "unit");
  expect_complaint("[stream]\nname = \"a\"\n", "f.toml:1: ", "[[stream]]");
  expect_complaint("[[gateway]]\nname = \"a\"\n", "f.toml:1: ", "single brackets");
  expect_complaint("stream = [1]\n", "f.toml:1: ", "[[stream]]");
  expect_complaint("[[stream]]\nname=\"a\"\ntopics=\"#\"\n", "f.toml:3: ", "list of strings");
  expect_complaint("[[stream]]\nname=\"a\"\ntopics=[\"#\", 1]\n", "f.toml:3: ", "list of strings");
}

std::string stream_with(const std::string& line) {
  return "[[stream]]\nname=\"a\"\ntopics=[\"#\"]\n" + line + "\n";
}

TEST(Config, stream_that_could_not_work_is_refused) {
  expect_complaint("[[stream]]\ntopics=[\"#\"]\n", "f.toml:1: ", "name must be");
  expect_complaint("[[stream]]\nname=\"Telemetry\"\ntopics=[\"#\"]\n",
                   "f.toml:2: ", "name must be");
  expect_complaint("[[stream]]\nname=\"../a\"\ntopics=[\"#\"]\n", "f.toml:2: ", "name must be");
  expect_complaint("[[stream]]\nname=\"a\"\n", "f.toml:1: ", "topics is missing");
  expect_complaint("[[stream]]\nname=\"a\"\ntopics=[\"a#\"]\n", "f.toml:3: ", "not a topic filter");
  expect_complaint(stream_with("max_bytes=\"1023KiB\""), "f.toml:4: ", "at least 1MiB");
  expect_complaint(stream_with("segment_bytes=\"92KiB\""), "f.toml:4: ", "from 96KiB");
  expect_complaint(stream_with("segment_bytes=98305"), "f.toml:4: ", "multiple of 4KiB");
  expect_complaint(stream_with("segment_bytes=\"65MiB\""), "f.toml:4: ", "a quarter");
  expect_complaint(stream_with("when_full=\"block\""), "f.toml:4: ", "drop-oldest");
  expect_complaint(stream_with("compress=\"zip\""), "f.toml:4: ", "backlog");
  expect_complaint(stream_with("max_bytes=\"many\""), "f.toml:4: ", "8MiB");
  expect_complaint(stream_with("max_bytes=-1"), "f.toml:4: ", "above 0");
  expect_complaint(stream_with("sync_interval=\"1\""), "f.toml:4: ", "5ms");
  expect_complaint(stream_with("") + stream_with(""), "f.toml:6: ", "another stream");
}

TEST(Config, small_quota_alone_makes_smaller_segments) {
  EXPECT_EQ(good(stream_with("max_bytes=\"1MiB\"")).streams[0].segment_bytes, 256U << 10);
  EXPECT_EQ(good(stream_with("max_bytes=\"1GiB\"")).streams[0].segment_bytes, 8U << 20);
}

TEST(Config, memory_first_holds_two_segments_at_least_and_four_by_itself) {
  const auto stream = good(stream_with("placement=\"memory-first\"")).streams[0];
  EXPECT_EQ(stream.placement, Placement::kMemoryFirst);
  EXPECT_EQ(stream.memory_bytes, 16U << 20);
  EXPECT_EQ(stream.memory_age_ns, 3'600'000'000'000U);
  EXPECT_EQ(stream.segment_bytes, 4U << 20);
  const auto tuned =
      good(stream_with("placement=\"memory-first\"\nmemory_bytes=\"64MiB\"\n"
                       "memory_age=\"5m\"\nsegment_bytes=\"32MiB\""));
  EXPECT_EQ(tuned.streams[0].memory_bytes, 64U << 20);
  EXPECT_EQ(tuned.streams[0].memory_age_ns, 300'000'000'000U);
  expect_complaint(stream_with("placement=\"ram\""), "f.toml:4: ", "\"memory-first\"");
  expect_complaint(stream_with("placement=\"memory-first\"\nmemory_bytes=\"1MiB\"\n"
                               "segment_bytes=\"1MiB\""),
                   "f.toml:5: ", "two segments");
  expect_complaint(stream_with("placement=\"memory-first\"\nmemory_age=\"1ms\""),
                   "f.toml:5: ", "at least \"1s\"");
  expect_complaint(stream_with("memory_age=\"1h\""), "f.toml:4: ", "memory-first");
  expect_complaint(stream_with("memory_bytes=\"1MiB\""), "f.toml:4: ", "memory-first");
}

TEST(Config, gateway_that_could_not_work_is_refused) {
  expect_complaint("[gateway]\nspill_dir=\"x\"\n", "f.toml:2: ", "absolute");
  expect_complaint("[gateway]\nqueue_dir=\"/x\"\nspill_dir=\"/x\"\n", "f.toml:3: ", "same");
  expect_complaint("[gateway]\nname=\"\"\n", "f.toml:2: ", "name must be");
  expect_complaint("[gateway]\nnap=\"0s\"\n", "f.toml:2: ", "nap");
  expect_complaint("[gateway]\nlanes_per_user_max=0\n", "f.toml:2: ", "above 0");
}

TEST(Config, a_links_proxy_and_ping_interval_are_read_and_checked) {
  const auto uplink = [](const std::string& rest) {
    return "[[uplink]]\nname=\"u\"\nurl=\"wss://h\"\n" + rest + "\n";
  };
  const Config config = good(
      uplink("proxy=\"http://[::1]:3128\"\nproxy_credentials_file=\"/f\"\nping_interval=\"60s\""));
  EXPECT_EQ(config.uplinks[0].proxy.url, "http://[::1]:3128");
  EXPECT_EQ(config.uplinks[0].proxy.credentials_file, "/f");
  EXPECT_EQ(config.uplinks[0].ping_interval_ns, 60'000'000'000U);
  for (const char* bad : {"socks5://h:1", "https://h:1", "h:1", "http://", "http://h:0",
                          "http://h:x", "http://h/p"}) {
    expect_complaint(uplink("proxy=\"" + std::string(bad) + "\""), "f.toml:4: ", "proxy: ");
  }
  expect_complaint(uplink("proxy=\"http://user:word@h:1\""),
                   "f.toml:4: ", "proxy_credentials_file");
  expect_complaint(uplink("proxy_credentials_file=\"/f\""), "f.toml:4: ", "without proxy");
  expect_complaint(uplink("ping_interval=\"10ms\""), "f.toml:4: ", "from \"1s\" to \"10m\"");
}

TEST(Config, uplink_that_could_not_work_is_refused) {
  const auto uplink = [](const std::string& rest) {
    return "[[uplink]]\nname=\"u\"\n" + rest + "\n";
  };
  expect_complaint("[[uplink]]\nurl=\"ws://h\"\n", "f.toml:1: ", "name must be");
  expect_complaint(uplink(""), "f.toml:1: ", "url is missing");
  expect_complaint(uplink("[[uplink.link]]\nname=\"l\"\nurl=\"kafka://h:9092\""),
                   "f.toml:5: ", "an engine's");
  for (const char* url : {"h:80", "ftp://h", "ws://", "ws://h:", "ws://h:0", "ws://h:65536",
                          "ws://h:80x", "ws://a b", "ws://h:80/a b", "ws://[::1", "ws:///path"}) {
    expect_complaint(uplink("url=\"" + std::string(url) + "\""), "f.toml:3: ", "url: ");
  }
  expect_complaint(uplink("url=\"ws://h\"\nstreams=[\"none\"]"), "f.toml:4: ", "no stream named");
  expect_complaint(uplink("url=\"ws://h\"\nstreams=[]"), "f.toml:4: ", "empty");
  expect_complaint(uplink("url=\"ws://h\"\nstreams=[\"default\",\"default\"]"),
                   "f.toml:4: ", "twice");
  expect_complaint(uplink("url=\"ws://h\"") + uplink("url=\"ws://h\""),
                   "f.toml:5: ", "another uplink");
  expect_complaint(uplink("url=\"ws://h\"\nwindow_bytes=1"), "f.toml:4: ", "64KiB");
  expect_complaint(uplink("url=\"ws://h\"\ncompress=\"always\""), "f.toml:4: ", "never");
  expect_complaint(uplink("url=\"ws://h\"\ngather=\"2m\""), "f.toml:4: ", "60s");
  expect_complaint(uplink("url=\"ws://h\"\nreconnect_min=\"5m\""), "f.toml:4: ", "reconnect_max");
  expect_complaint(uplink("url=\"ws://h\"\n[uplink.tls]\nca=\"x\""), "f.toml:5: ", "wss://");
  expect_complaint(uplink("url=\"wss://h\"\n[uplink.tls]\nkey=\"x\""), "f.toml:5: ", "together");
}

TEST(Config, consumer_that_could_not_work_is_refused) {
  const std::string inbox = "inbox=\"sqlite:/i\"\n";
  expect_complaint("[consumer]\n" + inbox, "f.toml:1: ", "listen is missing");
  expect_complaint("[consumer]\nlisten=\"ws://127.0.0.1\"\n" + inbox, "f.toml:2: ", "listen: ");
  expect_complaint("[consumer]\nlisten=\"ws://h:1/p\"\n" + inbox, "f.toml:2: ", "listen: ");
  expect_complaint("[consumer]\nlisten=\"wss://h:1\"\n" + inbox, "f.toml:2: ", "certificate");
  expect_complaint("[consumer]\nlisten=\"ws://h:1\"\n", "f.toml:1: ", "inbox must be given");
  expect_complaint("[consumer]\nlisten=\"ws://h:1\"\ninbox=\"sqlite:\"\n", "f.toml:3: ", "inbox");
  expect_complaint("[consumer]\nlisten=\"ws://h:1\"\ninbox=\"postgresql://u:secret@h/d\"\n",
                   "f.toml:3: ", "inbox_password_file");
  expect_complaint("[consumer]\nlisten=\"ws://h:1\"\ninbox_password_file=\"/f\"\n" + inbox,
                   "f.toml:3: ", "goes with postgresql://");
}

TEST(Config, sources_of_a_consumer_stand_beside_its_listener_or_instead) {
  const std::string consumer = "[consumer]\ninbox=\"sqlite:/tmp/inbox.db\"\n";
  const Config config = *parse_config(
      consumer +
          "[[consumer.source]]\nurl=\"amqps://reader@rabbit.example/fleet\"\nqueue=\"all\"\n"
          "prefetch=500\npassword_file=\"/etc/secret\"\n[consumer.source.tls]\nca=\"/ca.pem\"\n"
          "[[consumer.source]]\nurl=\"amqp://10.0.0.7:5673\"\n",
      "f.toml");
  ASSERT_EQ(config.consumer->sources.size(), 2U);
  const SourceConfig& first = config.consumer->sources[0];
  EXPECT_EQ(first.url.user, "reader");
  EXPECT_EQ(first.url.path, "fleet");
  EXPECT_EQ(first.queue, "all");
  EXPECT_EQ(first.prefetch, 500U);
  EXPECT_EQ(first.tls.ca, "/ca.pem");
  EXPECT_EQ(config.consumer->sources[1].url.hosts[0].port, 5673);
  EXPECT_EQ(config.consumer->sources[1].queue, "spillway");
  const std::string source = consumer + "[[consumer.source]]\n";
  expect_complaint(source, "f.toml:3: ", "url is missing");
  expect_complaint(source + "url=\"ftp://h\"\n", "f.toml:4: ", "url: ");
  expect_complaint(source + "url=\"amqp://u:p@h\"\n", "f.toml:4: ", "password_file");
  expect_complaint(source + "url=\"amqp://h\"\nqueu=\"q\"\n", "f.toml:5: ", "queue");
  expect_complaint(source + "url=\"amqp://h\"\nprefetch=0\n", "f.toml:5: ", "prefetch");
  expect_complaint(source + "url=\"kafka://h\"\nqueue=\"q\"\n", "f.toml:5: ", "goes with amqp");
  expect_complaint(source + "url=\"amqp://h\"\npassword_file=\"/f\"\n",
                   "f.toml:5: ", "without a user");
  expect_complaint("[consumer]\ninbox=\"spill:/r\"\n[[consumer.source]]\nurl=\"amqp://h\"\n",
                   "f.toml:3: ", "relay");
}

TEST(Config, an_mqtt_source_needs_a_name_of_its_own_and_takes_shared_subscriptions) {
  const std::string source = "[consumer]\ninbox=\"sqlite:/i\"\n[[consumer.source]]\n";
  const std::string url = source + "url=\"mqtts://reader@broker.example\"\n";
  const auto config =
      parse_config(url +
                       "client_id=\"one\"\nfilters=[\"$share/fleet/spillway/#\",\"a/+/b\"]\n"
                       "session_expiry=\"7d\"\nreceive_maximum=50\nkeep_alive=\"30s\"\n",
                   "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  const SourceConfig& read = config->consumer->sources.at(0);
  EXPECT_EQ(read.url.hosts[0].port, 8883);
  EXPECT_EQ(read.client_id, "one");
  EXPECT_EQ(read.filters.size(), 2U);
  EXPECT_EQ(read.session_expiry_ns, 7ULL * 86400 * 1'000'000'000);
  EXPECT_EQ(read.receive_maximum, 50U);
  EXPECT_EQ(read.keep_alive_ns, 30'000'000'000U);
  const auto plain = parse_config(url + "client_id=\"one\"\n", "f.toml");
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->consumer->sources.at(0).filters, std::vector<std::string>{"spillway/#"});
  EXPECT_EQ(plain->consumer->sources.at(0).session_expiry_ns, 0U);
  expect_complaint(url, "f.toml:4: ", "client_id must be");
  const std::string named = url + "client_id=\"one\"\n";
  for (const char* filter :
       {"", "a/#/b", "$share/spillway", "$share//a", "$share/g+/a", "$share/g/"}) {
    expect_complaint(named + "filters=[\"" + filter + "\"]\n", "f.toml:6: ", "filters must be");
  }
  expect_complaint(named + "filters=[]\n", "f.toml:6: ", "filters must be");
  expect_complaint(named + "receive_maximum=0\n", "f.toml:6: ", "receive_maximum must be");
  expect_complaint(named + "receive_maximum=65536\n", "f.toml:6: ", "receive_maximum must be");
  expect_complaint(named + "keep_alive=\"1s\"\n", "f.toml:6: ", "keep_alive must be");
  expect_complaint(named + "session_expiry=\"5ms\"\n", "f.toml:6: ", "session_expiry must be");
  expect_complaint(named + "group=\"g\"\n", "f.toml:6: ", "goes with kafka");
  expect_complaint(source + "url=\"amqp://h\"\nclient_id=\"one\"\n",
                   "f.toml:5: ", "goes with mqtt");
}

TEST(Config, consumer_rules_are_read_and_bounded) {
  const std::string head = "[consumer]\nlisten=\"ws://h:1\"\ninbox=\"sqlite:/i\"\n";
  const auto plain = parse_config(head, "f.toml");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->consumer->max_record_bytes, kRecordBytesLimit);
  EXPECT_FALSE(plain->consumer->validate);
  EXPECT_FALSE(plain->consumer->known_gateways_only);
  const auto strict = parse_config(
      head + "max_record_bytes=\"64KiB\"\nvalidate=true\ngateways=\"known\"\n", "f.toml");
  ASSERT_TRUE(strict) << strict.error().message;
  EXPECT_EQ(strict->consumer->max_record_bytes, 65536U);
  EXPECT_TRUE(strict->consumer->validate);
  EXPECT_TRUE(strict->consumer->known_gateways_only);
  const auto short_lived = parse_config(head + "retain=\"30d\"\nmax_bytes=\"1GiB\"", "f.toml");
  ASSERT_TRUE(short_lived) << short_lived.error().message;
  EXPECT_EQ(short_lived->consumer->retain_ns, 30ULL * 86400 * 1'000'000'000);
  EXPECT_EQ(short_lived->consumer->max_bytes, 1U << 30);
  expect_complaint(head + "max_bytes=\"1KiB\"", "f.toml:4: ", "at least 1MiB");
  expect_complaint(head + "max_record_bytes=1", "f.toml:4: ", "from 1KiB to 32MiB");
  expect_complaint(head + "validate=\"yes\"", "f.toml:4: ", "true or false");
  expect_complaint(head + "gateways=\"some\"", "f.toml:4: ", "\"known\"");
  expect_complaint(head + "bind_certificates=true", "f.toml:4: ", "needs ca");
}

TEST(Config, relay_reads_with_its_bounds_and_its_uplink) {
  const std::string consumer = "[consumer]\nlisten=\"ws://h:1\"\ninbox=\"spill:/relay\"\n";
  const auto plain = parse_config(consumer, "f.toml");
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->consumer->relay.directory, "/relay");
  EXPECT_EQ(plain->consumer->relay.when_full, WhenFull::kRejectNew) << "it drops nothing unasked";
  const auto full =
      parse_config(consumer +
                       "relays=[\"site-1\"]\n[consumer.relay]\nstream_bytes=\"4MiB\"\n"
                       "max_bytes=\"8MiB\"\nwhen_full=\"drop-oldest\"\nmax_age=\"7d\"\n"
                       "[[uplink]]\nname=\"u\"\nurl=\"ws://h\"\nrelay=\"/relay\"\n",
                   "f.toml");
  ASSERT_TRUE(full) << full.error().message;
  EXPECT_EQ(full->consumer->relay.segment_bytes, 1U << 20) << "a small quota, smaller segments";
  EXPECT_EQ(full->consumer->relay.when_full, WhenFull::kDropOldest);
  EXPECT_EQ(full->consumer->relays, std::vector<std::string>{"site-1"});
  EXPECT_EQ(full->uplinks[0].relay, "/relay");
  EXPECT_TRUE(full->uplinks[0].streams.empty()) << "the machine's own streams are another uplink's";
}

TEST(Config, relay_that_could_not_work_is_refused) {
  const std::string listen = "[consumer]\nlisten=\"ws://h:1\"\n";
  const std::string relay = listen + "inbox=\"spill:/relay\"\n[consumer.relay]\n";
  expect_complaint(listen + "inbox=\"spill:relative\"\n", "f.toml:3: ", "absolute path");
  expect_complaint("[gateway]\nspill_dir=\"/relay\"\n" + listen + "inbox=\"spill:/relay\"\n",
                   "f.toml:5: ", "its own");
  expect_complaint(listen + "inbox=\"sqlite:/i\"\n[consumer.relay]\n", "f.toml:4: ", "goes with");
  for (const std::string rule : {"retain=\"30d\"", "gateways=\"known\"", "validate=true"}) {
    expect_complaint(listen + "inbox=\"spill:/relay\"\n" + rule, "f.toml:4: ", "at the end has");
  }
  expect_complaint(relay + "segment_bytes=\"64KiB\"\n", "f.toml:5: ", "256KiB");
  expect_complaint(relay + "stream_bytes=\"512KiB\"\n", "f.toml:5: ", "four segments");
  expect_complaint(relay + "max_bytes=\"1MiB\"\n", "f.toml:5: ", "below stream_bytes");
  expect_complaint(relay + "when_full=\"wait\"\n", "f.toml:5: ", "when_full must be");
  expect_complaint("[[uplink]]\nname=\"u\"\nurl=\"ws://h\"\nrelay=\"x\"\n",
                   "f.toml:4: ", "absolute path");
  expect_complaint("[[uplink]]\nname=\"u\"\nurl=\"ws://h\"\nrelay=\"/r\"\nstreams=[\"default\"]\n",
                   "f.toml:5: ", "another [[uplink]]");
}

TEST(Config, sizes_and_durations_read_as_people_write_them) {
  EXPECT_EQ(parse_bytes("512").value(), 512U);
  EXPECT_EQ(parse_bytes("64KiB").value(), 65536U);
  EXPECT_EQ(parse_bytes("1GiB").value(), 1U << 30);
  EXPECT_EQ(parse_duration_ns("5ms").value(), 5'000'000U);
  EXPECT_EQ(parse_duration_ns("2m").value(), 120'000'000'000U);
  EXPECT_EQ(parse_duration_ns("7d").value(), 7ULL * 86400 * 1'000'000'000);
  EXPECT_EQ(parse_duration_ns("0").value(), 0U);
  for (const char* text : {"", "MiB", "-1", "+1", " 1", "1 MiB", "1.5MiB", "1kb", "1MB",
                           "99999999999999999999", "18446744073709551615KiB"}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
  for (const char* text : {"", "5", "s", "-1s", "1 s", "1.5s", "1w", "999999999d"}) {
    EXPECT_FALSE(parse_duration_ns(text)) << text;
  }
}

TEST(Config, file_that_is_not_there_is_named) {
  const std::string path = testing::TempDir() + "/spillway_none_" + std::to_string(::getpid());
  const auto config = load_config(path);
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().code, ErrorCode::kNotFound);
  EXPECT_NE(config.error().message.find(path), std::string::npos);
}

}  // namespace
}  // namespace spillway::core
