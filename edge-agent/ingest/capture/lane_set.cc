#include "edge-agent/ingest/capture/lane_set.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include "edge-agent/ingest/lane_parts.h"
#include "edge-agent/schemas/builtin_schemas.h"
#include "spillway/core/format.h"
#include "spillway/core/frame.h"
#include "spillway/core/step.h"

namespace spillway::agent::capture {
namespace {

using core::Result;

/// So long is waited at a time, before the caller is asked.
constexpr std::chrono::milliseconds kTurn{100};

Producer::TimePoint turn_end() { return std::chrono::steady_clock::now() + kTurn; }

/// When the lane was made, as its own header says, which one of this process's descriptors can read: a
/// lane's file is made without a name, so no descriptor tells of the one that it was given.
std::optional<std::uint64_t> created_at(std::uint64_t lane_id) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", none)) {
    const int descriptor = std::atoi(entry.path().filename().c_str());
    format::LaneHeader header;
    const auto bytes = core::writable_bytes_of(header);
    if (::pread(descriptor, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      continue;
    }
    if (header.magic() == core::kLaneMagic && header.identity().lane_id() == lane_id) {
      return header.identity().created_boottime_ns();
    }
  }
  return std::nullopt;
}

/// The lane's file: by its end the next life sees that the lane is drained.
Result<std::string> path_of_lane(const std::string& queue_dir, std::uint64_t lane_id) {
  const auto created = created_at(lane_id);
  std::array<char, 64> name{};
  std::snprintf(name.data(), name.size(), "%016llx-%016llx.lane",
                static_cast<unsigned long long>(created.value_or(0)),
                static_cast<unsigned long long>(lane_id));
  std::string path = queue_dir + "/lanes/" + name.data();
  if (::access(path.c_str(), F_OK) == 0) return path;
  return core::fail_errno(errno, "the lane that was just made, " + path);
}

}  // namespace

std::string producer_name_of(const core::CaptureConfig& capture) {
  return "capture/" + capture.name;
}

Result<LaneSet::Lane*> LaneSet::lane_of(std::size_t entry, const std::string& topic) {
  auto& lane = lanes_[entry];
  if (lane) return lane.get();
  auto made = std::make_unique<Lane>();
  made->topic = topic;
  made->entry = entry;
  const std::string name = producer_name_of(capture_);
  ProducerOptions options;
  options.producer_name = name.c_str();
  options.lane_bytes = capture_.lane_bytes;
  options.max_record_bytes = static_cast<std::uint32_t>(capture_.max_record_bytes);
  options.schema = change_schema().bfbs;
  const Status status =
      made->producer.open(config_.gateway.queue_dir.c_str(), topic.c_str(), options);
  if (status != Status::kOk) return lane_error(status, topic);
  SPILLWAY_STEP("capture.lane_opened");
  SPILLWAY_TRY(path, path_of_lane(config_.gateway.queue_dir, made->producer.lane_id()));
  page_.set_lane(entry, path);
  lane = std::move(made);
  return lane.get();
}

tl::unexpected<core::Error> LaneSet::lost(const Lane& lane, Status status) {
  // What stood in a lane that was set aside does not arrive; nor does what the stream refused.
  if (status == Status::kSetAside || status == Status::kTooLarge) page_.distrust(lane.entry);
  return lane_error(status, lane.topic);
}

Result<void> LaneSet::wait_for_room(Lane& lane, std::size_t size) {
  Producer& producer = lane.producer;
  while (!has_room(producer, size)) {
    const Status status = producer.flush_until(turn_end(), Level::kProcessSafe);
    if (status != Status::kOk && status != Status::kTimeout) return lost(lane, status);
    SPILLWAY_CHECKED(go_on_());
  }
  return {};
}

Result<void> LaneSet::put(std::size_t entry, const std::string& topic, const Key& key,
                          std::span<const std::byte> record) {
  SPILLWAY_TRY(lane, lane_of(entry, topic));
  SPILLWAY_CHECKED(wait_for_room(*lane, record.size()));
  page_.intend(entry, key);
  const Status status = lane->producer.put(record);
  if (status != Status::kOk) {
    page_.withdraw(entry);
    return lost(*lane, status);
  }
  page_.confirm(entry);
  lane->unsafe = true;
  return {};
}

Result<void> LaneSet::flush(Level level) {
  for (auto& [entry, lane] : lanes_) {
    while (lane && lane->unsafe) {
      const Status status = lane->producer.flush_until(turn_end(), level);
      if (status == Status::kOk) {
        lane->unsafe = false;
        break;
      }
      if (status != Status::kTimeout) return lost(*lane, status);
      SPILLWAY_CHECKED(go_on_());
    }
  }
  return {};
}

}  // namespace spillway::agent::capture
