#include "edge-agent/cli/torture_writer.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "spillway/core/cursor.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::cli {
namespace {

constexpr std::uint64_t kLanes = 4;
constexpr std::uint64_t kRecordBytesMax = 3000;
constexpr std::uint64_t kSegmentBytes = 256 * 1024;
constexpr std::uint64_t kMaxBytes = 2 << 20;

format::LaneIdentity identity_of(std::uint64_t lane_id) {
  format::LaneIdentity identity;
  identity.mutate_lane_id(lane_id);
  identity.mutate_tick_rate_hz(1'000'000'000);
  identity.mutate_max_record_bytes(kRecordBytesMax);
  identity.mutate_clock_kind(static_cast<std::uint8_t>(format::ClockKind::monotonic_coarse));
  identity.mutate_topic_size(7);
  identity.mutate_producer_size(7);
  std::memcpy(identity.mutable_topic()->data(), "torture", 7);
  std::memcpy(identity.mutable_producer()->data(), "torture", 7);
  return identity;
}

class Writer {
 public:
  Writer(std::unique_ptr<core::Stream> stream, std::uint64_t seed, std::uint64_t round, int pipe_fd)
      : stream_(std::move(stream)), seed_(seed), random_(seed ^ round << 32), pipe_(pipe_fd) {}

  core::Result<void> run();

 private:
  core::Result<void> append();
  core::Result<void> sync();
  core::Result<void> acknowledge();
  core::Result<void> keep_spare();
  core::Result<void> tell(std::uint64_t sync_ns);

  std::unique_ptr<core::Stream> stream_;
  std::unique_ptr<core::Cursor> cursor_;
  std::uint64_t seed_;
  std::mt19937_64 random_;
  int pipe_;
  std::uint64_t lane_end_ = 0;
  std::uint64_t acked_ = 0;
};

core::Result<void> Writer::run() {
  for (std::uint64_t lane = 1; lane <= kLanes; ++lane) {
    SPILLWAY_CHECKED(stream_->declare_lane(identity_of(lane), 0, 0, false));
  }
  while (true) {
    SPILLWAY_CHECKED(append());
    const std::uint64_t dice = random_() % 64;
    if (dice < 4 || stream_->sync_is_urgent()) SPILLWAY_CHECKED(sync());
    if (dice == 10) SPILLWAY_CHECKED(stream_->append_clock());
    if (dice >= 20 && dice < 24) SPILLWAY_CHECKED(acknowledge());
    if (dice >= 30 && dice < 36) SPILLWAY_CHECKED(keep_spare());
  }
}

core::Result<void> Writer::append() {
  std::vector<std::byte> frames;
  const std::uint64_t count = 1 + random_() % 8;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto record = torture_record(seed_, stream_->next_offset() + i);
    const format::FrameHeader header(static_cast<std::uint32_t>(record.size()) + 1, 0, 0, 0);
    const std::size_t at = frames.size();
    frames.resize(at + static_cast<std::size_t>(core::frame_bytes(record.size())));
    std::memcpy(frames.data() + at, &header, sizeof(header));
    std::memcpy(frames.data() + at + sizeof(header), record.data(), record.size());
  }
  lane_end_ += frames.size();
  SPILLWAY_CHECKED(stream_->append({1 + random_() % kLanes, lane_end_, frames, 0, 0}));
  return tell(0);
}

core::Result<void> Writer::sync() {
  auto plan = stream_->plan_sync();
  if (!plan) return {};
  auto& env = core::env::posix_env();
  const std::uint64_t began = env.boottime_ns();
  const auto outcome = plan->run();
  const std::uint64_t took = std::max<std::uint64_t>(env.boottime_ns() - began, 1);
  SPILLWAY_CHECKED(stream_->finish_sync(*plan, outcome));
  return tell(took);
}

/// As an uplink whose far end has everything but the last few.
core::Result<void> Writer::acknowledge() {
  const auto& options = stream_->options();
  if (options.uplinks.empty()) return {};
  auto& env = core::env::posix_env();
  if (!cursor_) {
    SPILLWAY_TRY(opened, core::Cursor::open(env, options.directory + "/cursors/far"));
    cursor_ = std::move(opened);
  }
  acked_ = stream_->durable_offset() - std::min<std::uint64_t>(stream_->durable_offset(), 300);
  SPILLWAY_CHECKED(cursor_->advance({stream_->journal(), 0, acked_}));
  // Told first: it may be acted on from here on.
  SPILLWAY_CHECKED(tell(0));
  return stream_->collect();
}

core::Result<void> Writer::keep_spare() {
  const auto order = stream_->order_spare();
  if (!order) return {};
  auto made = order->run();
  stream_->finish_spare(*order, made);
  return made;
}

core::Result<void> Writer::tell(std::uint64_t sync_ns) {
  const WriterReport report{stream_->next_offset(), stream_->durable_offset(), acked_, sync_ns};
  const ssize_t written = ::write(pipe_, &report, sizeof(report));
  if (written == static_cast<ssize_t>(sizeof(report))) return {};
  return core::fail_errno(errno, "reporting to the parent");
}

}  // namespace

std::vector<std::byte> torture_record(std::uint64_t seed, std::uint64_t offset) {
  std::mt19937_64 random(seed * 0x9E37'79B9'7F4A'7C15ULL + offset);
  std::vector<std::byte> record(16 + static_cast<std::size_t>(random() % (kRecordBytesMax - 16)));
  for (std::size_t at = 0; at < record.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t word = at == 0 ? offset : random();
    std::memcpy(record.data() + at, &word, std::min(sizeof(word), record.size() - at));
  }
  return record;
}

core::StreamOptions torture_stream(const std::string& folder, bool acknowledges) {
  core::StreamOptions options;
  options.name = "torture";
  options.directory = folder + "/spill/torture";
  options.journal_page_path = folder + "/run/journal/torture";
  options.segment_bytes = kSegmentBytes;
  options.max_bytes = kMaxBytes;
  if (acknowledges) options.uplinks = {"far"};
  return options;
}

core::Error run_writer(const core::StreamOptions& options, std::uint64_t seed, std::uint64_t round,
                       int pipe_fd) {
  auto stream = core::Stream::open(core::env::posix_env(), options);
  if (!stream) return stream.error();
  return Writer(std::move(*stream), seed, round, pipe_fd).run().error();
}

}  // namespace spillway::cli
