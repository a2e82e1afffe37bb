// The keys of links, their cost and their preference, and the streams' shares.
#include <gtest/gtest.h>

#include <string>

#include "spillway/core/config.h"

namespace spillway::core {
namespace {

Config good(const std::string& text) {
  auto config = parse_config(text, "f.toml");
  EXPECT_TRUE(config) << config.error().message;
  return config ? *config : Config{};
}

void expect_complaint(const std::string& text, const std::string& place, const std::string& words) {
  const auto config = parse_config(text, "f.toml");
  ASSERT_FALSE(config) << text;
  EXPECT_TRUE(config.error().message.starts_with(place)) << config.error().message;
  EXPECT_NE(config.error().message.find(words), std::string::npos) << config.error().message;
}

std::string uplink(const std::string& rest) {
  return "[[uplink]]\nname=\"u\"\nurl=\"wss://h:1\"\n" + rest + "\n";
}

TEST(LinkConfig, APlainUplinkIsOneLink) {
  const auto links = good(uplink("rate_limit=\"2Mbit/s\"\nbudget_per_day=\"50MB\"\n"
                                 "budget_per_month=\"1GiB\"\nwindows=[\"22:00-06:00\"]\n"
                                 "interface=\"eth0\""))
                         .uplinks.at(0)
                         .links;
  ASSERT_EQ(links.size(), 1U);
  EXPECT_EQ(links[0].name, "link");
  EXPECT_EQ(links[0].url, "wss://h:1");
  EXPECT_EQ(links[0].interface, "eth0");
  EXPECT_EQ(links[0].rate_limit_bytes_per_s, 250'000U);
  EXPECT_EQ(links[0].budget_per_day_bytes, 50'000'000U);
  EXPECT_EQ(links[0].budget_per_month_bytes, 1U << 30);
  ASSERT_EQ(links[0].windows.size(), 1U);
  EXPECT_EQ(links[0].windows[0].begin_minute, 22 * 60);
  EXPECT_FALSE(links[0].windows_are_local);
}

TEST(LinkConfig, WhatALinkDoesNotSayItsUplinkSays) {
  const auto links =
      good(uplink("rate_limit=\"1Mbit/s\"\nwindows=[\"01:00-02:00\"]\n"
                  "[uplink.tls]\nca=\"/ca\"\n"
                  "[[uplink.link]]\nname=\"ethernet\"\ninterface=\"eth0\"\nwindows=[]\n"
                  "[[uplink.link]]\nname=\"lte\"\nurl=\"wss://lte:2\"\n"
                  "rate_limit=\"128kbit/s\"\nbudget_per_month=\"1GB\"\n"
                  "window_times=\"local\"\n[uplink.link.tls]\nca=\"/other\"\n"
                  "[[uplink.link]]\nname=\"plain\"\nurl=\"ws://lan:3\"\n"))
          .uplinks.at(0)
          .links;
  ASSERT_EQ(links.size(), 3U);
  EXPECT_EQ(links[0].name, "ethernet");
  EXPECT_EQ(links[0].url, "wss://h:1");
  EXPECT_EQ(links[0].rate_limit_bytes_per_s, 125'000U);
  EXPECT_TRUE(links[0].windows.empty());
  EXPECT_EQ(links[0].tls.ca, "/ca");
  EXPECT_EQ(links[1].url, "wss://lte:2");
  EXPECT_EQ(links[1].rate_limit_bytes_per_s, 16'000U);
  EXPECT_EQ(links[1].windows.size(), 1U);
  EXPECT_TRUE(links[1].windows_are_local);
  EXPECT_EQ(links[1].tls.ca, "/other");
  EXPECT_EQ(links[2].tls.ca, "");
}

TEST(LinkConfig, ALinkMayHaveAProxyOfItsOwn) {
  const auto links = good(uplink("proxy=\"http://p:1\"\nproxy_credentials_file=\"/secret\"\n"
                                 "ping_interval=\"9s\"\n"
                                 "[[uplink.link]]\nname=\"same\"\n"
                                 "[[uplink.link]]\nname=\"none\"\nproxy=\"\"\n"
                                 "[[uplink.link]]\nname=\"other\"\nproxy=\"http://q:2\"\n"
                                 "ping_interval=\"1m\"\n"))
                         .uplinks.at(0)
                         .links;
  ASSERT_EQ(links.size(), 3U);
  EXPECT_EQ(links[0].proxy.url, "http://p:1");
  EXPECT_EQ(links[0].proxy.credentials_file, "/secret");
  EXPECT_EQ(links[0].ping_interval_ns, 9'000'000'000U);
  EXPECT_EQ(links[1].proxy.url, "");
  EXPECT_EQ(links[2].proxy.url, "http://q:2");
  EXPECT_EQ(links[2].proxy.credentials_file, "");
  EXPECT_EQ(links[2].ping_interval_ns, 60'000'000'000U);
}

TEST(LinkConfig, AnUplinkNeedsNoUrlIfEachLinkHasOne) {
  const std::string text = "[[uplink]]\nname=\"u\"\n[[uplink.link]]\nname=\"a\"\n";
  EXPECT_EQ(good(text + "url=\"ws://h:1\"\n").uplinks.at(0).links.size(), 1U);
  expect_complaint(text, "f.toml:3: ", "url is missing");
}

TEST(LinkConfig, ALinkThatCouldNotWorkIsRefused) {
  expect_complaint(uplink("rate_limit=\"fast\""), "f.toml:4: ", "2Mbit/s");
  expect_complaint(uplink("rate_limit=\"100bit/s\""), "f.toml:4: ", "1kbit/s");
  expect_complaint(uplink("budget_per_day=\"1KiB\""), "f.toml:4: ", "64KiB");
  expect_complaint(uplink("budget_per_month=\"much\""), "f.toml:4: ", "budget_per_month");
  expect_complaint(uplink("windows=\"22:00-06:00\""), "f.toml:4: ", "list of strings");
  expect_complaint(uplink("window_times=\"mars\""), "f.toml:4: ", "local");
  expect_complaint(uplink("interface=\"a/b\""), "f.toml:4: ", "wwan0");
  const std::string link = "[[uplink.link]]\nname=\"a\"\n";
  expect_complaint(uplink("[[uplink.link]]\nname=\"A\""), "f.toml:5: ", "name must be");
  expect_complaint(uplink(link + link), "f.toml:7: ", "another link");
  expect_complaint(uplink(link + "url=\"ftp://h\""), "f.toml:6: ", "url: ");
  expect_complaint(uplink(link + "prefer=1"), "f.toml:6: ", "unknown key");
  expect_complaint(uplink(link + "url=\"ws://h\"\n[uplink.link.tls]\nca=\"x\""),
                   "f.toml:8: ", "wss://");
  std::string many;
  for (int i = 0; i < 9; ++i) many += "[[uplink.link]]\nname=\"l" + std::to_string(i) + "\"\n";
  expect_complaint(uplink(many), "f.toml:4: ", "at most 8");
}

TEST(LinkConfig, RatesReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_link_rate("2Mbit/s").value(), 250'000U);
  EXPECT_EQ(parse_link_rate("64kbit/s").value(), 8'000U);
  EXPECT_EQ(parse_link_rate("250kB/s").value(), 250'000U);
  EXPECT_EQ(parse_link_rate("1MiB/s").value(), 1U << 20);
  for (const char* text : {"", "2", "2M", "Mbit/s", "2 Mbit/s", "-1kbit/s", "1.5Mbit/s"}) {
    EXPECT_FALSE(parse_link_rate(text)) << text;
  }
}

TEST(LinkConfig, TimeWindowsReadAsPeopleWriteThem) {
  for (const char* text :
       {"22:00-06:00", "00:00-24:00", "sat,sun 00:00-24:00", "mon 01:02-03:04"}) {
    const auto window = parse_time_window(text);
    ASSERT_TRUE(window) << text;
    EXPECT_EQ(text_of(*window), text);
  }
  EXPECT_EQ(parse_time_window("mon-fri 08:00-18:00").value().days, 0x1F);
  EXPECT_EQ(parse_time_window("sat-mon 08:00-18:00").value().days, 0x61);
  for (const char* text :
       {"", "22:00", "22:00-", "22-06", "24:00-06:00", "22:00-24:01", "22:60-06:00", "1:00-02:00",
        "08:00-08:00", "xyz 08:00-09:00", "mon, 08:00-09:00", "mon-xyz 08:00-09:00",
        "08:00-09:00 mon", " 08:00-09:00", "mon  08:00-09:00"}) {
    EXPECT_FALSE(parse_time_window(text)) << text;
  }
}

TEST(LinkConfig, StreamsHaveAPriorityAndAWeight) {
  const std::string stream = "[[stream]]\nname=\"a\"\ntopics=[\"#\"]\n";
  EXPECT_EQ(good(stream).streams.at(0).priority, 0);
  EXPECT_EQ(good(stream).streams.at(0).weight, 1U);
  const auto config = good(stream + "priority=-5\nweight=7\n");
  EXPECT_EQ(config.streams.at(0).priority, -5);
  EXPECT_EQ(config.streams.at(0).weight, 7U);
  expect_complaint(stream + "priority=\"high\"\n", "f.toml:4: ", "whole number");
  expect_complaint(stream + "priority=1001\n", "f.toml:4: ", "from -1000 to 1000");
  expect_complaint(stream + "weight=0\n", "f.toml:4: ", "above 0");
  expect_complaint(stream + "weight=1001\n", "f.toml:4: ", "from 1 to 1000");
}

}  // namespace
}  // namespace spillway::core
