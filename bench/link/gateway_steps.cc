// The gateway's side: a backlog to drain, and a producer at a steady rate.
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "bench/harness/cores.h"
#include "bench/harness/json_line.h"
#include "bench/harness/lane_identity.h"
#include "bench/link/steps.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/stream.h"
#include "spillway/producer.h"

namespace spillway::bench {

namespace {

constexpr std::uint64_t kLaneId = 7;
constexpr std::size_t kRunRecords = 768;  // 60 KiB: what the agent makes of a busy lane
constexpr const char* kStreamName = "bench";

void check(const core::Result<void>& outcome) {
  if (!outcome) die("stream: " + outcome.error().message);
}

std::unique_ptr<core::Stream> open_stream(const LinkStep& step) {
  auto& env = core::env::posix_env();
  core::StreamOptions options;
  options.name = kStreamName;
  options.directory = step.spill + "/" + kStreamName;
  options.journal_page_path = step.queue + "/journal/" + kStreamName;
  options.segment_bytes = 8ULL << 20;
  options.max_bytes = 4ULL << 30;
  options.compress = core::Compress::kNever;
  check(env.make_directories(options.directory));
  auto stream = core::Stream::open(env, options);
  if (!stream) die("stream: " + stream.error().message);
  return std::move(*stream);
}

std::vector<std::byte> make_run(std::uint64_t first, std::size_t records, std::uint64_t ticks) {
  const auto frame = static_cast<std::size_t>(core::frame_bytes(kLinkRecordBytes));
  std::vector<std::byte> run(records * frame);
  for (std::size_t i = 0; i < records; ++i) {
    std::byte* at = run.data() + i * frame;
    const format::FrameHeader header(kLinkRecordBytes + 1, 0, 0, ticks + i * 300);
    std::memcpy(at, &header, sizeof header);
    make_link_record(first + i, at + sizeof header);
  }
  return run;
}

void sync(core::Stream& stream) {
  if (const auto plan = stream.plan_sync()) check(stream.finish_sync(*plan, plan->run()));
}

}  // namespace

void fill_spill(const LinkStep& step) {
  const auto stream = open_stream(step);
  check(stream->declare_lane(make_lane_identity(kLaneId), 0, 0, false));
  core::FrameRun run;
  run.lane_id = kLaneId;
  for (std::uint64_t done = 0; done < step.records;) {
    const auto records =
        static_cast<std::size_t>(std::min<std::uint64_t>(kRunRecords, step.records - done));
    const auto frames = make_run(done, records, boottime_ns());
    run.frames = frames;
    run.lane_end += frames.size();
    run.anchor_boottime_ns = boottime_ns();
    run.anchor_ticks = run.anchor_boottime_ns;
    if (const auto appended = stream->append(run); !appended) {
      die("stream: " + appended.error().message);
    }
    done += records;
    if (stream->sync_is_urgent()) sync(*stream);
  }
  sync(*stream);
  check(stream->close());
  JsonLine json;
  json.add("records", stream->next_offset());
  json.print();
}

void produce_paced(const LinkStep& step) {
  Producer producer;
  if (producer.open(step.queue.c_str(), "bench/paced") != Status::kOk) die(error_detail());
  std::array<std::byte, kLinkRecordBytes> record{};
  const std::uint64_t interval_ns = 1'000'000'000 / std::max<std::uint64_t>(step.rate_hz, 1);
  timespec due{};
  ::clock_gettime(CLOCK_MONOTONIC, &due);
  std::uint64_t refused = 0;
  for (std::uint64_t i = 0; i < step.records; ++i) {
    make_link_record(boottime_ns(), record.data());
    if (producer.put(record) != Status::kOk) ++refused;
    due.tv_nsec += static_cast<long>(interval_ns);
    if (due.tv_nsec >= 1'000'000'000) {
      due.tv_nsec -= 1'000'000'000;
      ++due.tv_sec;
    }
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);
  }
  JsonLine json;
  json.add("records", step.records - refused);
  json.add("refused", refused);
  json.print();
}

}  // namespace spillway::bench
