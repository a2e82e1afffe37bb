// What the drain's tests share: a queue, streams and a drain in a directory of their own, stepped
// by hand.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edge-agent/drain/drain.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/stream_reader.h"
#include "spillway/producer.h"
#include "spillway/shm/queue_directory.h"

namespace spillway::agent::testing {

struct TestStream {
  std::string name;
  std::vector<std::string> topics;
  std::uint64_t sync_interval_ns = 3'600'000'000'000;  // never by itself
  core::WhenFull when_full = core::WhenFull::kDropOldest;
  std::uint64_t max_bytes = 16 << 20;
  std::uint64_t segment_bytes = 1 << 20;
  core::Compress compress = core::Compress::kNever;
  core::Placement placement = core::Placement::kDisk;
};

/// Records by producer, in the order of the stream.
using Contents = std::map<std::string, std::vector<std::string>>;

inline void add_records(const core::Block& block, std::map<std::uint64_t, std::string>& lanes,
                        Contents& contents) {
  const auto kind = static_cast<format::BlockKind>(block.header.kind());
  if (kind == format::BlockKind::lane) {
    format::LaneDeclaration declaration;
    ASSERT_EQ(block.stored.size(), sizeof declaration);
    std::memcpy(&declaration, block.stored.data(), sizeof declaration);
    lanes[declaration.identity().lane_id()] = core::producer_of(declaration.identity());
  }
  if (kind != format::BlockKind::data) return;
  core::FrameCursor frames(block.stored);
  core::FrameView frame;
  while (frames.next(frame)) {
    contents[lanes[block.header.lane_id()]].emplace_back(
        reinterpret_cast<const char*>(frame.record.data()), frame.record.size());
  }
}

inline Contents read_contents(core::env::Env& env, const std::string& directory) {
  Contents contents;
  std::map<std::uint64_t, std::string> lanes;
  auto reader = core::StreamReader::open(env, directory);
  EXPECT_TRUE(reader) << (reader ? "" : reader.error().message);
  if (!reader) return contents;
  while (true) {
    const auto item = (*reader)->next();
    EXPECT_TRUE(item) << (item ? "" : item.error().message);
    if (!item || !*item) return contents;
    if (std::holds_alternative<core::Gap>(**item)) {
      contents["gap"].emplace_back("gap");
      continue;
    }
    add_records(std::get<core::Block>(**item), lanes, contents);
  }
}

class DrainFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "spillway-drain-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override {
    stop();
    std::error_code none;
    std::filesystem::remove_all(root_, none);
  }

  void start(std::vector<TestStream> streams, DrainOptions options = {}) {
    auto queue = shm::QueueDirectory::open(queue_dir());
    ASSERT_TRUE(queue) << queue.error().message;
    queue_ = std::move(*queue);
    std::vector<StreamSetup> setups;
    for (auto& stream : streams) {
      core::StreamOptions made;
      made.name = stream.name;
      made.directory = spill_of(stream.name);
      made.journal_page_path = queue_dir() + "/journal/" + stream.name;
      made.segment_bytes = stream.segment_bytes;
      made.max_bytes = stream.max_bytes;
      made.when_full = stream.when_full;
      made.compress = stream.compress;
      made.placement = stream.placement;
      made.memory_directory = queue_dir() + "/spill/" + stream.name;
      auto opened = core::Stream::open(env_, made);
      ASSERT_TRUE(opened) << opened.error().message;
      streams_.push_back(std::move(*opened));
      setups.push_back({streams_.back().get(), stream.topics, stream.sync_interval_ns});
    }
    source_ = make_queue_lane_source(*queue_);
    options.boot_id = env_.boot_id();
    drain_ = std::make_unique<Drain>(*source_, std::move(setups), std::move(options));
  }
  /// As a kill does: nothing is synced, sealed or said.
  void stop() {
    drain_.reset();
    source_.reset();
    streams_.clear();
    queue_.reset();
  }

  void open(Producer& producer, const std::string& topic, const std::string& name,
            std::uint64_t lane_bytes = 0) {
    if (!std::filesystem::exists(queue_dir())) FAIL() << "no queue yet";
    ProducerOptions options;
    options.producer_name = name.c_str();
    options.lane_bytes = lane_bytes;
    ASSERT_EQ(producer.open(queue_dir().c_str(), topic.c_str(), options), Status::kOk)
        << error_detail();
  }
  static Status put(Producer& producer, const std::string& record) {
    return producer.put(std::as_bytes(std::span(record)));
  }

  Now now() {
    Now time;
    time.boottime_ns = env_.boottime_ns() + advanced_ns_;
    time.utc_ns = env_.utc_ns() + advanced_ns_;
    return time;
  }
  /// One step, its orders left out.
  StepReport step() { return drain_->step(now()); }
  void run_orders() {
    for (auto& order : drain_->take_orders()) drain_->finish(order, order.run(), now());
  }
  /// Steps until nothing moves any more; time passes, so that dead producers are noticed.
  void settle() {
    for (int quiet = 0; quiet < 3;) {
      advanced_ns_ += 200'000'000;
      const auto report = step();
      run_orders();
      quiet = report.records == 0 ? quiet + 1 : 0;
    }
  }

  std::string queue_dir() const { return root_ + "/queue"; }
  std::string spill_of(const std::string& name) const { return root_ + "/spill/" + name; }
  Contents contents_of(const std::string& name) { return read_contents(env_, spill_of(name)); }
  std::size_t files_in(const std::string& folder) const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
    return count;
  }

  std::string root_;
  core::env::Env& env_ = core::env::posix_env();
  std::uint64_t advanced_ns_ = 0;
  std::unique_ptr<shm::QueueDirectory> queue_;
  std::vector<std::unique_ptr<core::Stream>> streams_;
  std::unique_ptr<LaneSource> source_;
  std::unique_ptr<Drain> drain_;
};

}  // namespace spillway::agent::testing
