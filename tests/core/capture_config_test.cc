// [[capture]]: what it takes, and what it refuses with the line and the reason.
#include <gtest/gtest.h>

#include "spillway/core/config.h"

namespace spillway::core {
namespace {

Result<Config> parse(const std::string& keys) {
  return parse_config("[[capture]]\n" + keys + "\n", "test.toml");
}

const std::string kSqlite =
    "name = \"shop\"\nsource = \"sqlite:/var/lib/shop.db\"\ntables = [\"orders\"]\n";

TEST(CaptureConfig, HasDefaultsThatAreSafe) {
  const auto config = parse(kSqlite);
  ASSERT_TRUE(config) << config.error().message;
  const CaptureConfig& capture = config->captures.at(0);
  EXPECT_TRUE(capture.power_safe);
  EXPECT_TRUE(capture.snapshot);
  EXPECT_EQ(capture_topic(capture, "orders"), "db/orders");
  EXPECT_EQ(capture.state_dir, config->gateway.spill_dir + "/.capture");
}

TEST(CaptureConfig, ReadsEveryKey) {
  const auto config = parse(
      "name = \"shop\"\nsource = \"postgresql://u@localhost/shop\"\ntables = [\"a\", \"s.b\"]\n"
      "topic = \"{capture}/{table}/x\"\nlevel = \"process-safe\"\nmode = \"outbox\"\nsnapshot = "
      "false\n"
      "install = false\nold_values = \"key\"\nstate_dir = \"/var/lib/x\"\npoll_interval = \"1s\"\n"
      "lane_bytes = \"128KiB\"\nmax_record_bytes = \"8KiB\"\npassword_file = \"/etc/p\"");
  ASSERT_TRUE(config) << config.error().message;
  const CaptureConfig& capture = config->captures.at(0);
  EXPECT_EQ(capture_topic(capture, "s.b"), "shop/s.b/x");
  EXPECT_FALSE(capture.power_safe);
  EXPECT_EQ(capture.mode, CaptureMode::kOutbox);
  EXPECT_FALSE(capture.full_old_values);
  EXPECT_EQ(capture.max_record_bytes, 8U << 10);
}

TEST(CaptureConfig, RefusesWhatCanNeverWork) {
  for (const auto& [keys, reason] : std::vector<std::pair<std::string, std::string>>{
           {kSqlite + "tabels = 1", "tables"},
           {kSqlite + "mode = \"outbox\"", "postgresql://"},
           {kSqlite + "level = \"accepted\"", "power-safe"},
           {kSqlite + "topic = \"db/#\"", "is no topic"},
           {kSqlite + "max_record_bytes = \"100KiB\"", "64KiB"},
           {kSqlite + "lane_bytes = \"100KiB\"", "power of two"},
           {kSqlite + "state_dir = \"here\"", "absolute"},
           {kSqlite + "poll_interval = \"0\"", "poll_interval"},
           {"name = \"shop\"\nsource = \"sqlite:relative.db\"\ntables = [\"a\"]", "absolute"},
           {"name = \"shop\"\nsource = \"sqlite:/a.db\"\ntables = []", "1 to 64"},
           {"name = \"shop\"\nsource = \"sqlite:/a.db\"\ntables = [\"a\", \"a\"]", "twice"},
           {"name = \"Shop\"\nsource = \"sqlite:/a.db\"\ntables = [\"a\"]", "a-z"},
           {kSqlite + "[[capture]]\n" + kSqlite, "another capture"}}) {
    const auto config = parse(keys);
    ASSERT_FALSE(config) << keys;
    EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(config.error().message.find(reason), std::string::npos) << config.error().message;
    EXPECT_TRUE(config.error().message.starts_with("test.toml:")) << config.error().message;
  }
}

}  // namespace
}  // namespace spillway::core
