// Makes a stream with a backlog of so many bytes, for bench/start.py: bench_backlog --spill DIR
// --queue DIR --bytes N [--segment-bytes N]. A JSON line on stdout.
//
// Real segments of real blocks, by the stream that the agent writes with: 1,000-byte records in runs of
// 64 KiB, one lane, nothing compressed. The journal page is left in the queue directory, so that an
// agent that starts there in the same boot goes on with the journal. One thread.
#include <charconv>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/harness/cores.h"
#include "bench/harness/json_line.h"
#include "bench/harness/lane_identity.h"
#include "bench/harness/timer.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/stream.h"

namespace spillway::bench {
namespace {

constexpr std::uint64_t kLaneId = 7;
constexpr std::size_t kRecordBytes = 1000;
constexpr std::size_t kRunBytes = 60 * 1024;
constexpr std::uint64_t kSegmentBytes = 8ULL << 20;  // the default
constexpr const char* kStreamName = "bench";

struct Setup {
  std::string spill;
  std::string queue;
  std::uint64_t bytes = 0;
  std::uint64_t segment_bytes = kSegmentBytes;
};

void check(const core::Result<void>& outcome) {
  if (!outcome) die("stream: " + outcome.error().message);
}

std::unique_ptr<core::Stream> open_stream(const Setup& setup) {
  auto& env = core::env::posix_env();
  core::StreamOptions options;
  options.name = kStreamName;
  options.directory = setup.spill + "/" + kStreamName;
  options.journal_page_path = setup.queue + "/journal/" + kStreamName;
  options.segment_bytes = setup.segment_bytes;
  options.max_bytes = std::max(4 * setup.segment_bytes, 2 * setup.bytes);
  options.compress = core::Compress::kNever;
  check(env.make_directories(options.directory));
  auto stream = core::Stream::open(env, options);
  if (!stream) die("stream: " + stream.error().message);
  return std::move(*stream);
}

std::vector<std::byte> make_run() {
  const auto frame = static_cast<std::size_t>(core::frame_bytes(kRecordBytes));
  std::vector<std::byte> run(kRunBytes / frame * frame);
  const auto word = static_cast<std::uint32_t>(kRecordBytes + 1);
  for (std::size_t at = 0; at < run.size(); at += frame) {
    std::memcpy(run.data() + at, &word, sizeof word);
    std::memset(run.data() + at + core::kFrameHeaderBytes, 0x5A, kRecordBytes);
  }
  return run;
}

void sync(core::Stream& stream) {
  if (const auto plan = stream.plan_sync()) check(stream.finish_sync(*plan, plan->run()));
}

void fill(const Setup& setup) {
  const auto stream = open_stream(setup);
  check(stream->declare_lane(make_lane_identity(kLaneId), 0, 0, false));
  const auto frames = make_run();
  core::FrameRun run;
  run.lane_id = kLaneId;
  run.frames = frames;
  const std::uint64_t began = clock_ns();
  std::uint64_t appended = 0;
  while (appended + frames.size() <= setup.bytes) {
    run.lane_end += frames.size();
    run.anchor_boottime_ns = clock_ns();
    if (const auto done = stream->append(run); !done) die("stream: " + done.error().message);
    appended += frames.size();
    if (stream->sync_is_urgent()) sync(*stream);
  }
  sync(*stream);
  check(stream->close());
  JsonLine json;
  json.add("bytes", appended);
  json.add("held_bytes", stream->held_bytes());
  json.add("next_offset", stream->next_offset());
  json.add("seconds", static_cast<double>(clock_ns() - began) / 1e9);
  json.print();
}

Setup read_setup(std::span<char*> words) {
  Setup setup;
  for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
    const std::string_view flag = words[i];
    const std::string_view value = words[i + 1];
    if (flag == "--spill") setup.spill = value;
    if (flag == "--queue") setup.queue = value;
    std::uint64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    if (flag == "--bytes") setup.bytes = number;
    if (flag == "--segment-bytes") setup.segment_bytes = number;
  }
  if (setup.spill.empty() || setup.queue.empty() || setup.bytes < kRunBytes) {
    die("usage: bench_backlog --spill DIR --queue DIR --bytes N (at least 61440) [--segment-bytes "
        "N]");
  }
  return setup;
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  spillway::bench::fill(spillway::bench::read_setup({argv, static_cast<std::size_t>(argc)}));
}
