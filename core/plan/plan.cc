#include "spillway/core/plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "core/spill/segment_writer.h"
#include "spillway/core/format.h"
#include "spillway/core/stream.h"

namespace spillway::core {

namespace {

constexpr double kDayS = 86'400;
constexpr double kYearDays = 365.25;
constexpr double kMonthDays = 30;

constexpr std::uint64_t kSegmentBytesMin = 128U << 10;  // a power of two
constexpr std::uint64_t kSegmentBytesUsual = 8U << 20;
constexpr std::uint64_t kSegmentBytesMax = 1U << 30;
constexpr double kSegmentsWanted = 16;  // so that little is given up at a time when a quota drops
constexpr std::uint64_t kSegmentsMin = 4;
constexpr double kSpillBytesMax = 1ULL << 50;

/// What a step of the drain takes of one lane.
constexpr std::uint64_t kBlockBytesMax = 64U << 10;
constexpr std::uint64_t kLaneBytesMin = 256U << 10;
constexpr std::uint64_t kLaneBytesMax = 64U << 20;
constexpr std::uint64_t kHalfLaneReserve = 32;
constexpr double kLaneSWanted = 10;  // an agent's restart, generously

/// The stream's control page is dirty after each append, and the kernel writes a dirty page back when
/// it is this old (vm.dirty_expire_centisecs). An uplink's cursor likewise.
constexpr double kWriteBackS = 30;

/// On the wire: IPv4 and TCP with timestamps take 52 bytes of each 1500.
constexpr double kWireFactor = 1500.0 / 1448.0;
/// A message's own: its FlatBuffer (about 96), a WebSocket header (14), a TLS 1.3 record (22).
constexpr double kMessageBytes = 96 + 14 + 22;
constexpr double kMessageBytesTarget = 256 * 1024;

double up(double value, double step) { return std::ceil(value / step) * step; }

/// Where the bytes of one segment go.
struct Filling {
  double blocks = 0;
  double written_bytes = 0;
};

class Planner {
 public:
  explicit Planner(const PlanInput& input)
      : in_(input), frame_(static_cast<double>(frame_bytes(input.record_bytes))) {}

  Result<Plan> run() {
    SPILLWAY_CHECKED(check());
    shape_blocks();
    SPILLWAY_CHECKED(size_spill());
    SPILLWAY_CHECKED(size_lane());
    plan_flash();
    plan_link();
    return std::move(plan_);
  }

 private:
  [[nodiscard]] Result<void> check() const;
  void shape_blocks();
  [[nodiscard]] double head() const;
  [[nodiscard]] Filling fill(std::uint64_t segment_bytes) const;
  [[nodiscard]] std::uint64_t choose_segment(double wanted_bytes) const;
  [[nodiscard]] Result<void> size_spill();
  [[nodiscard]] Result<void> size_lane();
  void plan_flash();
  void plan_link();

  PlanInput in_;
  double frame_;
  double block_ = 0;  // bytes of an average block in its segment
  double blocks_per_sync_ = 0;
  double beside_per_s_ = 0;  // the small files' pages
  Plan plan_;
};

Result<void> Planner::check() const {
  const auto wrong = [](const char* why) { return fail(ErrorCode::kInvalidArgument, why); };
  if (!(in_.records_per_s > 0) || in_.records_per_s > 1e9) {
    return wrong("the rate must be above 0 and at most 10^9 records a second");
  }
  if (in_.record_bytes == 0 || in_.record_bytes > kRecordBytesLimit - kHalfLaneReserve) {
    return wrong("a record has 1 byte to 32 MiB (less 32 bytes)");
  }
  if (!(in_.outage_s >= 0)) return wrong("the outage must not be negative");
  if (!(in_.link_bits_per_s >= 0)) return wrong("the link's rate must not be negative");
  if (in_.lanes == 0 || in_.lanes > 100'000) return wrong("1 to 100,000 producers can be planned");
  if (in_.nap_ns == 0) return wrong("the nap must be above 0");
  return {};
}

/// How many records a block holds, how large it is, and how many of them a sync covers.
void Planner::shape_blocks() {
  const double rate = in_.records_per_s;
  const double lanes = static_cast<double>(in_.lanes);
  const double looks_per_s = 1e9 / static_cast<double>(in_.nap_ns);
  const double most = std::max(1.0, std::floor(static_cast<double>(kBlockBytesMax) / frame_));
  plan_.records_per_block = std::clamp(rate / lanes / looks_per_s, 1.0, most);
  plan_.blocks_per_s = rate / plan_.records_per_block;
  // An average of 1.5 records is blocks of one and blocks of two.
  const double few = std::floor(plan_.records_per_block);
  const double part = plan_.records_per_block - few;
  const auto size = [this](double records) {
    return up(static_cast<double>(kBlockHeaderBytes) + records * frame_,
              static_cast<double>(kBlockAlignment));
  };
  block_ = size(few) * (1 - part) + size(few + 1) * part;
  const double interval_s = static_cast<double>(in_.sync_interval_ns) / 1e9;
  blocks_per_sync_ = plan_.blocks_per_s * interval_s + 1;
  plan_.syncs_per_s = plan_.blocks_per_s / blocks_per_sync_;
}

double Planner::head() const {
  return static_cast<double>(block_bytes(sizeof(format::ClockReading)) +
                             in_.lanes * block_bytes(sizeof(format::LaneDeclaration)));
}

/// The first sync's blocks stand behind the head, each other sync's at a page's begin.
Filling Planner::fill(std::uint64_t segment_bytes) const {
  constexpr auto kPage = static_cast<double>(kPageBytes);
  const double room = static_cast<double>(segment_bytes - kSegmentHeaderBytes - kPageBytes);
  const double group = blocks_per_sync_ * block_;
  if (head() + group >= room) {
    const double blocks = std::max(1.0, std::floor((room - head()) / block_));
    return {blocks, 2 * kPage + up(head() + blocks * block_, kPage)};
  }
  const double first = up(head() + group, kPage);
  const double step = up(group, kPage);
  const double more = std::floor((room - first) / step);
  const double rest = room - first - more * step;
  const double last = std::min(blocks_per_sync_, std::floor(rest / block_));
  return {blocks_per_sync_ * (1 + more) + last,
          2 * kPage + first + more * step + up(last * block_, kPage)};
}

/// A power of two in which the largest run, the lanes' head and a schema or two find room.
std::uint64_t Planner::choose_segment(double wanted_bytes) const {
  const double largest_run = std::max(frame_, std::min(block_, 65536.0));
  const double least = std::max(
      2 * (largest_run + kBlockHeaderBytes + kSegmentHeaderBytes + kPageBytes), 4 * head());
  const double wanted = std::min(wanted_bytes / kSegmentsWanted, 1.0 * kSegmentBytesUsual);
  std::uint64_t bytes = kSegmentBytesMin;
  while (static_cast<double>(bytes) * 2 <= wanted) bytes *= 2;
  while (static_cast<double>(bytes) < least && bytes < kSegmentBytesMax) bytes *= 2;
  return bytes;
}

Result<void> Planner::size_spill() {
  plan_.outage_records = in_.records_per_s * in_.outage_s;
  const auto records_in = [this](const Filling& filling) {
    return filling.blocks * plan_.records_per_block;
  };
  // The size decides how much of a segment is head: once more with what came out.
  Filling filling = fill(kSegmentBytesUsual);
  for (int i = 0; i < 2; ++i) {
    const double bytes = plan_.outage_records / records_in(filling) * filling.written_bytes;
    plan_.segment_bytes = choose_segment(bytes);
    filling = fill(plan_.segment_bytes);
  }
  plan_.records_per_segment = records_in(filling);
  plan_.flash_bytes_per_record = filling.written_bytes / plan_.records_per_segment;
  plan_.segments = std::ceil(plan_.outage_records / plan_.records_per_segment);
  const double segment = static_cast<double>(plan_.segment_bytes);
  if ((plan_.segments + 2) * segment > kSpillBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "such an outage makes a spill of more than 1024 TiB: plan less");
  }
  plan_.spill_bytes = static_cast<std::uint64_t>(plan_.segments * segment);
  const std::uint64_t whole = plan_.spill_bytes + 2 * plan_.segment_bytes;
  plan_.max_bytes = std::max({whole, kSegmentsMin * plan_.segment_bytes, std::uint64_t{1} << 20});
  return {};
}

Result<void> Planner::size_lane() {
  const double rate = in_.records_per_s / static_cast<double>(in_.lanes);
  const double wanted = std::min(rate * frame_ * kLaneSWanted, 1.0 * kLaneBytesMax);
  const std::uint64_t least = std::max(kLaneBytesMin, 2 * (in_.record_bytes + kHalfLaneReserve));
  plan_.lane_bytes = std::bit_ceil(std::max(least, static_cast<std::uint64_t>(wanted)));
  plan_.max_record_bytes = std::max(in_.record_bytes, kRecordBytesUsual);
  plan_.lane_s = std::floor(static_cast<double>(plan_.lane_bytes) / frame_) / rate;
  return {};
}

void Planner::plan_flash() {
  const double files = in_.link_bits_per_s > 0 ? 2 : 1;
  beside_per_s_ =
      files * static_cast<double>(kPageBytes) * std::min(plan_.blocks_per_s, 1 / kWriteBackS);
  const double per_s = plan_.flash_bytes_per_record * in_.records_per_s + beside_per_s_;
  plan_.flash_bytes_per_day = per_s * kDayS;
  plan_.write_ratio = per_s / (in_.records_per_s * static_cast<double>(in_.record_bytes));
  if (in_.endurance_bytes == 0) return;
  plan_.flash_years =
      static_cast<double>(in_.endurance_bytes) / (plan_.flash_bytes_per_day * kYearDays);
}

void Planner::plan_link() {
  const double live = (block_ + kMessageBytes) * kWireFactor * plan_.blocks_per_s;
  plan_.uplink_bytes_per_day = live * kDayS;
  plan_.uplink_bytes_per_month = plan_.uplink_bytes_per_day * kMonthDays;
  if (in_.link_bits_per_s <= 0) return;
  const double message = 1 + kMessageBytes / kMessageBytesTarget;
  const double record_bytes = block_ / plan_.records_per_block * message * kWireFactor;
  plan_.link_records_per_s = in_.link_bits_per_s / 8 / record_bytes;
  const double spare = plan_.link_records_per_s - in_.records_per_s;
  if (spare > 0) {
    plan_.drain_s = plan_.outage_records / spare;
    return;
  }
  char text[160];
  std::snprintf(text, sizeof text,
                "the link carries %.4g records/s and %.4g/s come: it never catches up; "
                "it takes more than %.4g kbit/s",
                plan_.link_records_per_s, in_.records_per_s,
                in_.records_per_s * record_bytes * 8 / 1000);
  plan_.never_drains = text;
}

}  // namespace

Result<Plan> make_plan(const PlanInput& input) { return Planner(input).run(); }

}  // namespace spillway::core
