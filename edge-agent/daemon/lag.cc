#include "edge-agent/daemon/lag.h"

#include <algorithm>

#include "spillway/core/lane_clock.h"

namespace spillway::agent {
namespace {

constexpr std::uint64_t kLookBytesMax = 256 * 1024;        // into one lane
constexpr std::uint64_t kLookBytesTotalMax = 1024 * 1024;  // into all of them

/// Adds what stands in the lane. Returns the bytes that were looked at.
std::uint64_t look_into(const Lane& lane, std::uint64_t bytes_max, const Now& now, LaneLag& lag) {
  const auto walk = lane.reader->walk(bytes_max);
  if (walk.frames.empty()) return 0;
  lag.at_least = lag.at_least || walk.end == shm::WalkEnd::kBounded;
  lag.bytes += walk.frames.size();
  const auto& identity = lane.reader->identity();
  const auto kind = static_cast<std::size_t>(identity.clock_kind());
  core::FrameCursor frames(walk.frames);
  core::FrameView frame;
  for (bool first = true; frames.next(frame); first = false) {
    ++lag.records;
    if (!first || kind == 0 || kind >= now.ticks.size()) continue;
    const std::uint64_t since = core::boottime_of_ticks(frame.ticks, now.ticks.at(kind),
                                                        now.boottime_ns, identity.tick_rate_hz());
    lag.age_ns = std::max(lag.age_ns, now.boottime_ns - since);
  }
  return walk.frames.size();
}

LevelLag lag_behind(core::Stream& stream, std::uint64_t offset) {
  const std::uint64_t next = stream.next_offset();
  return {next - std::min(offset, next), stream.age_ns(offset)};
}

}  // namespace

std::vector<StreamLag> measure_lag(const std::vector<std::unique_ptr<core::Stream>>& streams,
                                   const Drain& drain, const Now& now) {
  std::vector<StreamLag> lags(streams.size());
  std::uint64_t looked_at = 0;
  for (std::size_t i = 0; i < drain.lanes().size(); ++i) {
    const Lane& lane = drain.lanes().at(i);
    if (!lane.stream) continue;
    // One record is always looked at: that there is one is worth knowing.
    const std::uint64_t left = kLookBytesTotalMax - std::min(looked_at, kLookBytesTotalMax);
    looked_at +=
        look_into(lane, std::min(left, kLookBytesMax), now, lags[*lane.stream].process_safe);
  }
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (!streams[i]) continue;
    core::Stream& stream = *streams[i];
    lags[i].power_safe = lag_behind(stream, stream.durable_offset());
    for (const std::string& uplink : stream.options().uplinks) {
      const auto delivered = stream.delivered_offset(uplink);
      lags[i].delivered.push_back(
          {uplink, delivered ? std::optional(lag_behind(stream, *delivered)) : std::nullopt});
    }
  }
  return lags;
}

}  // namespace spillway::agent
