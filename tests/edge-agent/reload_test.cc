// What a configuration that was read anew changes: by keys, not by the file's text.
#include "edge-agent/daemon/reload.h"

#include <gtest/gtest.h>

namespace spillway::agent {
namespace {

core::Config parse(const std::string& streams, const std::string& gateway = "") {
  auto config = core::parse_config(
      "[gateway]\nname = \"g\"\nqueue_dir = \"/q\"\nspill_dir = \"/s\"\n" + gateway + streams,
      "f.toml");
  EXPECT_TRUE(config) << config.error().message;
  return config ? *config : core::Config{};
}

std::string stream(const std::string& name, const std::string& keys = "") {
  return "[[stream]]\nname = \"" + name + "\"\ntopics = [\"" + name + "\"]\n" + keys + "\n";
}

const std::string kUplink = "[[uplink]]\nname = \"u\"\nurl = \"ws://h:1\"\nstreams = [\"b\"]\n";

TEST(Reload, EachKeyOfAStreamIsTakenOverByThatStreamAlone) {
  const auto now = parse(stream("a") + stream("b"));
  for (const char* keys :
       {"sync_interval = 0", "segment_bytes = \"96KiB\"", "max_bytes = \"1GiB\"",
        "when_full = \"reject-new\"", "max_age = \"1h\"", "compress = \"never\"",
        "placement = \"memory-first\"", "placement = \"memory-first\"\nmemory_age = \"1m\""}) {
    const auto plan = plan_reload(now, parse(stream("a") + stream("b", keys)));
    EXPECT_EQ(plan.streams, std::vector<std::size_t>{1}) << keys;
    EXPECT_TRUE(plan.for_restart.empty()) << keys;
  }
  EXPECT_EQ(plan_reload(now, parse(stream("a") + stream("b") + kUplink)).streams,
            std::vector<std::size_t>{1})
      << "an uplink holds its segments from now on";
  EXPECT_TRUE(
      plan_reload(now, parse("\n\n" + stream("a") + "# a word\n" + stream("b"))).is_empty());
}

TEST(Reload, WhatOnlyARestartCanTakeOverIsNamed) {
  const auto now = parse(stream("a") + stream("b"));
  const std::vector<std::string> list{"the list of [[stream]]"};
  EXPECT_EQ(plan_reload(now, parse(stream("b") + stream("a"))).for_restart, list);
  EXPECT_EQ(plan_reload(now, parse(stream("a"))).for_restart, list);
  EXPECT_EQ(plan_reload(now, parse(stream("a") + stream("b") + stream("c"))).for_restart, list);
  const auto plan =
      plan_reload(now, parse(stream("a", "sync_interval = 0") + stream("b"), "nap = \"7ms\"\n"));
  EXPECT_EQ(plan.for_restart, std::vector<std::string>{"[gateway] nap"});
  EXPECT_EQ(plan.streams, std::vector<std::size_t>{0});
}

}  // namespace
}  // namespace spillway::agent
