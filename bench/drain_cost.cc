// What the drain costs beside the least that it could cost: bench_drain --dir DIR --size BYTES.
//
// The least: memcpy of a run of frames into a warm mapping, and XXH3-64 over it. Ours: what
// Stream::append does with each run (copy, check the frames in the copy, header, checksum, write),
// into one segment whose pages are all in the page cache, again and again from its beginning: the
// state that a recycled, warmed segment is in. Both use files of the same size in DIR and runs
// of 64 KiB, what the drain takes from a lane in one step.

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "bench/harness/cores.h"
#include "bench/harness/json_line.h"
#include "bench/harness/timer.h"
#include "bench/peers/mapped_file.h"
#include "core/format/checksum.h"
#include "core/spill/segment_writer.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::bench {
namespace {

constexpr std::size_t kRunBytes = 64U * 1024;
constexpr std::uint64_t kSegmentBytes = 8ULL << 20;  // the default
constexpr int kLaps = 40;
constexpr int kWarmUpLaps = 3;

std::vector<std::byte> make_run(std::size_t record_bytes, std::uint64_t& records) {
  const std::size_t frame = core::frame_bytes(record_bytes);
  std::vector<std::byte> run(kRunBytes / frame * frame, std::byte{0x5A});
  records = run.size() / frame;
  for (std::size_t at = 0; at < run.size(); at += frame) {
    const auto word = static_cast<std::uint32_t>(record_bytes + 1);
    std::memset(run.data() + at, 0, core::kFrameHeaderBytes);
    std::memcpy(run.data() + at, &word, sizeof word);
  }
  return run;
}

std::uint64_t g_checksums = 0;  // so that none is optimised away

/// One lap over the file: returns how many runs it took.
std::uint64_t lap_of_floor(std::byte* file, std::span<const std::byte> run) {
  std::uint64_t runs = 0;
  for (std::size_t at = 0; at + run.size() <= kSegmentBytes; at += run.size(), ++runs) {
    std::memcpy(file + at, run.data(), run.size());
    g_checksums += core::xxh3({file + at, run.size()}, at);
  }
  return runs;
}

std::uint64_t lap_of_ours(core::SegmentWriter& segment, core::BlockDraft& draft,
                          std::span<const std::byte> run) {
  std::uint64_t runs = 0;
  segment.set_tail(core::kSegmentHeaderBytes);
  for (; segment.fits(run.size()); ++runs) {
    const auto count = core::count_frames(draft.stage(run));
    if (!count) die("the run is not a run of frames: " + count.error().message);
    format::BlockHeader header;
    header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::data));
    header.mutate_count(*count);
    if (const auto written = segment.write(header, draft); !written) {
      die("cannot write: " + written.error().message);
    }
  }
  return runs;
}

struct Laps {
  std::array<double, kLaps> floor{};
  std::array<double, kLaps> ours{};
};

/// ns for each byte, lap by lap, the two in turn.
Laps time_laps(std::byte* file, core::SegmentWriter& segment, std::span<const std::byte> run) {
  const double ns_per_tick = measure_ns_per_tick();
  core::BlockDraft draft;
  const auto bytes = static_cast<double>(run.size());
  Laps laps;
  for (int lap = -kWarmUpLaps; lap < kLaps; ++lap) {
    const std::uint64_t from = ticks_begin();
    const std::uint64_t floor_runs = lap_of_floor(file, run);
    const std::uint64_t middle = ticks_begin();
    const std::uint64_t our_runs = lap_of_ours(segment, draft, run);
    const std::uint64_t to = ticks_end();
    if (lap < 0) continue;
    const auto index = static_cast<std::size_t>(lap);
    laps.floor[index] = static_cast<double>(middle - from) * ns_per_tick /
                        (static_cast<double>(floor_runs) * bytes);
    laps.ours[index] =
        static_cast<double>(to - middle) * ns_per_tick / (static_cast<double>(our_runs) * bytes);
  }
  std::sort(laps.floor.begin(), laps.floor.end());
  std::sort(laps.ours.begin(), laps.ours.end());
  return laps;
}

void run_all(const std::string& directory, std::size_t record_bytes) {
  pin_to(kConsumerCore);
  std::uint64_t records = 0;
  const auto run = make_run(record_bytes, records);
  const MappedFile file(directory + "/floor", kSegmentBytes);
  auto& env = core::env::posix_env();
  const std::string path = directory + "/segment";
  if (const auto made = core::make_blank_segment(env, path, kSegmentBytes); !made) {
    die("cannot make a segment: " + made.error().message);
  }
  core::SegmentInfo info;
  info.path = path;
  info.bytes = kSegmentBytes;
  auto segment = core::SegmentWriter::open(env, info, core::kSegmentHeaderBytes);
  if (!segment) die("cannot open the segment: " + segment.error().message);
  const Laps laps = time_laps(file.data(), **segment, run);
  const double record_share = static_cast<double>(run.size()) / static_cast<double>(records);
  JsonLine json;
  json.add("size", std::uint64_t{record_bytes});
  json.add("floor_ns_per_record", laps.floor[kLaps / 2] * record_share);
  json.add("ours_ns_per_record", laps.ours[kLaps / 2] * record_share);
  json.add("floor_bytes_per_s", 1e9 / laps.floor[kLaps / 2]);
  json.add("ours_bytes_per_s", 1e9 / laps.ours[kLaps / 2]);
  json.add("ratio", laps.ours[kLaps / 2] / laps.floor[kLaps / 2]);
  json.print();
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  std::string directory;
  std::size_t size = 64;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view value = argv[i + 1];
    if (std::string_view(argv[i]) == "--dir")
      directory = value;
    else
      std::from_chars(value.data(), value.data() + value.size(), size);
  }
  if (directory.empty() || size < 16)
    spillway::bench::die("usage: bench_drain --dir DIR --size BYTES", 2);
  spillway::bench::run_all(directory, size);
  return 0;
}
