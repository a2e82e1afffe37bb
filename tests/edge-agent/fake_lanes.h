// Lanes in memory, for the simulated machine: they live as long as the test, as shared memory
// outlives a killed agent.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "edge-agent/drain/lane_source.h"

namespace spillway::agent::testing {

/// What would stand in the lane file. The ring is as long as the test needs: it never wraps.
struct FakeLaneFile {
  format::LaneIdentity identity;
  std::vector<std::byte> data;
  std::uint64_t consumed = 0;
  std::uint64_t durable = 0;
  std::uint64_t refused = 0;
  bool gone = false;
  bool waits = false;
  std::string last_record;  // committed just before the producer is asked for, and gone

  void put(const std::string& record, std::uint64_t ticks = 0) {
    const format::FrameHeader header(static_cast<std::uint32_t>(record.size()) + 1, 0, 0, ticks);
    const std::size_t at = data.size();
    data.resize(at + static_cast<std::size_t>(core::frame_bytes(record.size())));
    std::memcpy(data.data() + at, &header, sizeof header);
    std::memcpy(data.data() + at + sizeof header, record.data(), record.size());
  }
  [[nodiscard]] std::size_t records_below(std::uint64_t position) const {
    const auto count =
        core::count_frames(std::span(data).first(static_cast<std::size_t>(position)));
    return count ? *count : 0;
  }
};

class FakeLaneReader final : public shm::LaneReader {
 public:
  FakeLaneReader(std::string path, FakeLaneFile& file) : path_(std::move(path)), file_(file) {}

  const std::string& path() const override { return path_; }
  const format::LaneIdentity& identity() const override { return file_.identity; }
  std::uint64_t capacity() const override { return 1 << 20; }
  core::Result<void> resume(std::uint64_t spilled_end) override {
    position_ = std::max(file_.consumed, spilled_end);
    file_.consumed = position_;
    return {};
  }
  shm::Walk walk(std::uint64_t bytes_max) override {
    shm::Walk walk;
    const std::span<const std::byte> rest =
        std::span(file_.data).subspan(static_cast<std::size_t>(position_));
    std::size_t size = 0;
    while (size < rest.size()) {
      std::uint32_t word = 0;
      std::memcpy(&word, rest.data() + size, sizeof word);
      const std::size_t frame = static_cast<std::size_t>(core::frame_bytes(word - 1));
      if (size != 0 && size + frame > bytes_max) break;
      size += frame;
    }
    walk.frames = rest.first(size);
    walk.lane_end = position_ + size;
    walk.end = size < rest.size() ? shm::WalkEnd::kBounded : shm::WalkEnd::kEmpty;
    return walk;
  }
  void consume(std::uint64_t lane_end) override { file_.consumed = position_ = lane_end; }
  void refuse(std::uint64_t lane_end) override {
    ++file_.refused;
    consume(lane_end);
  }
  void set_durable(std::uint64_t lane_end) override { file_.durable = lane_end; }
  std::uint64_t position() const override { return position_; }
  std::uint64_t rejected() const override { return file_.refused; }
  std::uint64_t flush_wanted() const override { return 0; }
  bool producer_waits() const override { return file_.waits; }
  bool fencing() const override { return false; }
  bool producer_gone() override {
    if (!file_.last_record.empty()) file_.put(std::exchange(file_.last_record, {}));
    return file_.gone;
  }
  void set_stream_full(bool) override {}
  void set_quarantined() override {}

 private:
  std::string path_;
  FakeLaneFile& file_;
  std::uint64_t position_ = 0;
};

class FakeLanes final : public LaneSource {
 public:
  void add(const std::string& topic, const std::string& producer) {
    auto& identity = files_[topic].identity;
    identity.mutate_lane_id(files_.size());
    identity.mutate_tick_rate_hz(1'000'000'000);
    identity.mutate_max_record_bytes(1024);
    identity.mutate_clock_kind(static_cast<std::uint8_t>(format::ClockKind::tsc));
    identity.mutate_topic_size(static_cast<std::uint8_t>(topic.size()));
    identity.mutate_producer_size(static_cast<std::uint8_t>(producer.size()));
    std::memcpy(identity.mutable_topic()->data(), topic.data(), topic.size());
    std::memcpy(identity.mutable_producer()->data(), producer.data(), producer.size());
  }
  FakeLaneFile& file(const std::string& topic) { return files_.at(topic); }

  bool changed() override { return false; }
  core::Result<std::vector<std::string>> lanes() override {
    std::vector<std::string> paths;
    for (const auto& [path, file] : files_) paths.push_back(path);
    return paths;
  }
  core::Result<LaneFileFacts> facts(const std::string&) override { return LaneFileFacts{}; }
  core::Result<std::unique_ptr<shm::LaneReader>> attach(const std::string& path) override {
    return std::make_unique<FakeLaneReader>(path, files_.at(path));
  }
  core::Result<void> quarantine(const std::string&) override { return {}; }
  core::Result<void> remove(const std::string& path) override {
    files_.erase(path);
    return {};
  }
  core::Result<std::vector<std::byte>> read_schema(std::uint64_t) override {
    return core::fail(core::ErrorCode::kNotFound, "these lanes name no schemas");
  }
  void remove_schema(std::uint64_t) override {}
  void tidy_schemas(const std::set<std::uint64_t>&) override {}

 private:
  std::map<std::string, FakeLaneFile> files_;
};

}  // namespace spillway::agent::testing
