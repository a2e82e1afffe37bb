#include "spillway/core/lane_clock.h"

#include <algorithm>
#include <cstring>

namespace spillway::core {

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

}  // namespace

std::uint64_t boottime_of_ticks(std::uint64_t ticks, std::uint64_t anchor_ticks,
                                std::uint64_t anchor_ns, std::uint64_t rate_hz) {
  if (ticks >= anchor_ticks || rate_hz == 0) return anchor_ns;
  const std::uint64_t before = anchor_ticks - ticks;
  const std::uint64_t seconds = before / rate_hz;
  if (seconds > anchor_ns / kNsPerSecond) return 0;
  // In two parts, each within 64 bits for any rate below 18 GHz; a lane that claims more gets its
  // anchor.
  const std::uint64_t rest = before % rate_hz;
  if (rest > UINT64_MAX / kNsPerSecond) return anchor_ns;
  const std::uint64_t ns = seconds * kNsPerSecond + rest * kNsPerSecond / rate_hz;
  return ns > anchor_ns ? 0 : anchor_ns - ns;
}

void LaneClock::learn_reading(const format::ClockReading& reading) {
  const bool certain = reading.certain() != 0;
  Reading& known = boots_[uuid_of(*reading.boot_id())];
  // A certain reading is the last word until there is a later certain one.
  if (known.certain && !certain) return;
  known = {reading.boottime_ns(), reading.utc_ns(), certain};
}

void LaneClock::learn_lane(const format::LaneIdentity& identity) {
  Lane& lane = lanes_[identity.lane_id()];
  lane.tick_rate_hz = identity.tick_rate_hz();
  lane.boot_id = uuid_of(*identity.boot_id());
}

void LaneClock::learn(const format::BlockHeader& header, std::span<const std::byte> stored) {
  const auto kind = static_cast<format::BlockKind>(header.kind());
  if (kind == format::BlockKind::lane && stored.size() == sizeof(format::LaneDeclaration)) {
    format::LaneDeclaration declaration;
    std::memcpy(&declaration, stored.data(), sizeof(declaration));
    learn_lane(declaration.identity());
  } else if (kind == format::BlockKind::clock && stored.size() == sizeof(format::ClockReading)) {
    format::ClockReading reading;
    std::memcpy(&reading, stored.data(), sizeof(reading));
    learn_reading(reading);
  }
}

ProducedAt LaneClock::produced_at(const format::BlockHeader& data_block, std::uint64_t ticks) {
  const auto found = lanes_.find(data_block.lane_id());
  if (found == lanes_.end()) return {};
  Lane& lane = found->second;
  // The counter's rate is a measured one: what it says of two blocks may overlap by a little.
  const std::uint64_t boottime = std::max(
      lane.last.boottime_ns, boottime_of_ticks(ticks, data_block.anchor_ticks(),
                                               data_block.anchor_boottime_ns(), lane.tick_rate_hz));
  lane.last.boottime_ns = boottime;
  const auto boot = boots_.find(lane.boot_id);
  if (boot == boots_.end()) return lane.last;
  const Reading& reading = boot->second;
  // Unsigned arithmetic wraps, and wraps back: utc + (boottime - reading) for either sign of the
  // difference.
  std::uint64_t utc = reading.utc_ns + (boottime - reading.boottime_ns);
  if (boottime < reading.boottime_ns && reading.boottime_ns - boottime > reading.utc_ns) utc = 0;
  const bool bound = lane.last.certain || !reading.certain;
  if (bound && utc < lane.last.utc_ns) utc = lane.last.utc_ns;
  lane.last = {utc, reading.certain, boottime};
  return lane.last;
}

}  // namespace spillway::core
