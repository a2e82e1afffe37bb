// A stream's tail: what its control page publishes is there at that instant, for whoever reads the files as another process does.
// (That the publication is a release, and what that means to ARM: tests/arm/ordering_test.py, tests/model/arm_memory_test.py.)
#include <functional>

#include "forwarding_env.h"
#include "spill_helpers.h"
#include "spillway/core/stream.h"

namespace spillway::core {
namespace {

using testing::value_of;

// docs/format.md, the control page.
constexpr std::size_t kNextAt = 40;
constexpr std::size_t kDurableAt = 48;

using Watch = std::function<void(std::size_t offset, std::uint64_t value)>;

class WatchedMapping final : public testing::ForwardingMapping {
 public:
  WatchedMapping(std::unique_ptr<env::Mapping> mapping, const Watch& watch)
      : ForwardingMapping(std::move(mapping)), watch_(watch) {}
  void store_release(std::size_t offset, std::uint64_t value) override {
    watch_(offset, value);
    ForwardingMapping::store_release(offset, value);
  }

 private:
  const Watch& watch_;
};

class WatchedFile final : public testing::ForwardingFile {
 public:
  WatchedFile(std::unique_ptr<env::File> file, const Watch& watch)
      : ForwardingFile(std::move(file)), watch_(watch) {}
  Result<std::unique_ptr<env::Mapping>> map(std::uint64_t size, env::MapAccess access) override {
    SPILLWAY_TRY(mapping, ForwardingFile::map(size, access));
    return std::unique_ptr<env::Mapping>(
        std::make_unique<WatchedMapping>(std::move(mapping), watch_));
  }

 private:
  const Watch& watch_;
};

/// Calls `watch` before each word that is published in a stream's control page.
class WatchedEnv final : public testing::ForwardingEnv {
 public:
  explicit WatchedEnv(Watch watch) : watch_(std::move(watch)) {}
  Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override {
    auto file = ForwardingEnv::open(path, mode);
    if (!file || !path.ends_with("/control")) return file;
    return std::unique_ptr<env::File>(std::make_unique<WatchedFile>(std::move(*file), watch_));
  }

 private:
  Watch watch_;
};

TEST(StreamTail, WhatIsPublishedCanBeRead) {
  const testing::TemporaryDirectory root;
  const StreamOptions options = testing::small_options(root.path());
  std::uint64_t next = 0;
  std::uint64_t durable = 0;
  int publications = 0;
  WatchedEnv env([&](std::size_t offset, std::uint64_t value) {
    if (offset == kDurableAt) {
      EXPECT_LE(value, next) << "power-safe before it is process-safe";
      durable = value;
    }
    if (offset != kNextAt || value == next) return;
    const auto back = testing::read_all(env::posix_env(), options.directory, next);
    EXPECT_EQ(back.records.size(), value - next) << "from offset " << next;
    next = value;
    ++publications;
  });
  auto stream = value_of(Stream::open(env, options));
  value_of(stream->declare_lane(testing::make_identity(1), 0, 0, false));
  // Enough for several segments: the tail moves on over their ends, too.
  for (int i = 0; i < 100; ++i) {
    value_of(testing::append_records(*stream, 1, {std::string(1000, 'a'), std::string(500, 'b')}));
    if (i % 10 == 9) value_of(testing::sync_now(*stream));
  }
  EXPECT_EQ(next, 200U);
  EXPECT_EQ(durable, 200U);
  EXPECT_EQ(publications, 100);
}

}  // namespace
}  // namespace spillway::core
