// What compression costs the drain: bench_compression --dir DIR.
//
// Stream::append of runs of 1, 4 and 20 records of about 200 bytes that look like a sensor's, into a
// stream that stores them as they are and into one that compresses with a dictionary trained from
// them, in turns; and how fast a reader decodes what came of it.

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "bench/harness/cores.h"
#include "bench/harness/json_line.h"
#include "bench/harness/lane_identity.h"
#include "bench/harness/timer.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/stream.h"
#include "spillway/core/stream_reader.h"

namespace spillway::bench {
namespace {

constexpr std::uint64_t kLaneId = 7;
constexpr std::uint64_t kSegmentBytes = 8ULL << 20;
constexpr std::uint64_t kQuotaBytes = 256ULL << 20;
constexpr int kLaps = 15;
constexpr std::uint64_t kLapRecords = 4000;

void check(const core::Result<void>& outcome) {
  if (!outcome) die("stream: " + outcome.error().message);
}

/// Words that stay and numbers that move.
std::string record_text(std::uint64_t number) {
  return "site-17/pump-3 {\"sequence\":" + std::to_string(number) +
         ",\"bearing_celsius\":" + std::to_string(40 + number * 7919 % 97) +
         ",\"inlet_bar\":" + std::to_string(number * 104'729 % 1000) +
         ",\"outlet_bar\":" + std::to_string(number * 1'299'709 % 5000) +
         R"(,"state":"running","operator":"none","alarm":"cleared","valve":"open"})";
}

void add_frame(std::vector<std::byte>& run, const std::string& record, std::uint64_t ticks) {
  const std::size_t at = run.size();
  run.resize(at + static_cast<std::size_t>(core::frame_bytes(record.size())));
  const auto word = static_cast<std::uint32_t>(record.size() + 1);
  std::memcpy(run.data() + at, &word, sizeof word);
  std::memcpy(run.data() + at + 8, &ticks, sizeof ticks);
  std::memcpy(run.data() + at + core::kFrameHeaderBytes, record.data(), record.size());
}

class Log {
 public:
  Log(const std::string& directory, const std::string& name, core::Compress compress) {
    auto& env = core::env::posix_env();
    core::StreamOptions options;
    options.name = name;
    options.directory = directory + "/" + name;
    options.journal_page_path = directory + "/journal-" + name;
    options.segment_bytes = kSegmentBytes;
    options.max_bytes = kQuotaBytes;
    options.compress = compress;
    auto stream = core::Stream::open(env, options);
    if (!stream) die("stream: " + stream.error().message);
    stream_ = std::move(*stream);
    check(stream_->declare_lane(make_lane_identity(kLaneId), 0, 0, false));
  }

  /// One lap: the ticks that its appends took.
  std::uint64_t lap(std::uint64_t records_per_run) {
    std::uint64_t ticks = 0;
    for (std::uint64_t done = 0; done < kLapRecords; done += records_per_run) {
      run_.clear();
      for (std::uint64_t i = 0; i < records_per_run; ++i) {
        add_frame(run_, record_text(number_), number_ * 10'007);
        ++number_;
      }
      lane_end_ += run_.size();
      bytes_ += run_.size();
      const std::uint64_t from = ticks_begin();
      const auto appended = stream_->append({kLaneId, lane_end_, run_, from, 1});
      ticks += ticks_end() - from;
      if (!appended) die("stream: " + appended.error().message);
    }
    keep();
    return ticks;
  }
  [[nodiscard]] const core::CompressionTotals& totals() const { return stream_->compression(); }
  [[nodiscard]] std::uint64_t take_bytes() { return std::exchange(bytes_, 0); }
  [[nodiscard]] const std::string& directory() const { return stream_->options().directory; }

 private:
  /// What the worker does for an agent, here between the laps.
  void keep() {
    if (auto spare = stream_->order_spare()) stream_->finish_spare(*spare, spare->run());
    if (auto training = stream_->order_training()) {
      stream_->finish_training(*training, training->run());
    }
    if (auto plan = stream_->plan_sync()) check(stream_->finish_sync(*plan, plan->run()));
  }

  std::unique_ptr<core::Stream> stream_;
  std::vector<std::byte> run_;
  std::uint64_t lane_end_ = 0;
  std::uint64_t number_ = 0;
  std::uint64_t bytes_ = 0;
};

double median(std::array<double, kLaps> values) {
  std::sort(values.begin(), values.end());
  return values[kLaps / 2];
}

void compare(Log& plain, Log& small, std::uint64_t records_per_run) {
  const double ns_per_tick = measure_ns_per_tick();
  std::array<double, kLaps> plain_ns{};
  std::array<double, kLaps> small_ns{};
  static_cast<void>(plain.take_bytes());
  static_cast<void>(small.take_bytes());
  const core::CompressionTotals before = small.totals();
  for (std::size_t lap = 0; lap < kLaps; ++lap) {
    plain_ns[lap] = static_cast<double>(plain.lap(records_per_run)) * ns_per_tick / kLapRecords;
    small_ns[lap] = static_cast<double>(small.lap(records_per_run)) * ns_per_tick / kLapRecords;
  }
  const core::CompressionTotals& after = small.totals();
  const double record_bytes = static_cast<double>(small.take_bytes()) / (kLapRecords * kLaps);
  JsonLine json;
  json.add("records_per_run", records_per_run);
  json.add("record_bytes", record_bytes);
  json.add("plain_ns_per_record", median(plain_ns));
  json.add("compressed_ns_per_record", median(small_ns));
  json.add("compressed_bytes_per_s", record_bytes * 1e9 / median(small_ns));
  json.add("times_smaller", static_cast<double>(after.raw_bytes - before.raw_bytes) /
                                static_cast<double>(after.stored_bytes - before.stored_bytes));
  json.print();
}

/// A reader's speed over everything that the quota still holds.
void read_back(const Log& log, std::string_view name) {
  auto reader = core::StreamReader::open(core::env::posix_env(), log.directory());
  if (!reader) die("reader: " + reader.error().message);
  const std::uint64_t from = clock_ns();
  std::uint64_t bytes = 0;
  while (true) {
    auto item = (*reader)->next();
    if (!item) die("reader: " + item.error().message);
    if (!*item) break;
    if (const auto* block = std::get_if<core::Block>(&**item)) bytes += block->stored.size();
  }
  JsonLine json;
  json.add("reader", std::string(name));
  json.add("bytes", bytes);
  json.add("bytes_per_s",
           static_cast<double>(bytes) * 1e9 / static_cast<double>(clock_ns() - from));
  json.print();
}

void run_all(const std::string& directory) {
  pin_to(kConsumerCore);
  Log plain(directory, "plain", core::Compress::kNever);
  Log small(directory, "small", core::Compress::kAlways);
  for (int lap = 0; lap < 3; ++lap) {  // until there is a dictionary
    plain.lap(4);
    small.lap(4);
  }
  if (small.totals().dictionaries == 0) die("no dictionary was trained");
  for (const std::uint64_t records_per_run : {1, 4, 20}) compare(plain, small, records_per_run);
  read_back(plain, "plain");
  read_back(small, "compressed");
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "--dir") {
    spillway::bench::die("usage: bench_compression --dir DIR", 2);
  }
  spillway::bench::run_all(argv[2]);
  return 0;
}
