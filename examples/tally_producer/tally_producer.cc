// tally-producer: a whole producer in one file, and the honest witness of the demo and the system
// tests.
//
// It builds one FlatBuffer, then patches the fields of each sample into a copy that goes straight
// into the lane, at a set rate, until SIGTERM, --count or --seconds. Its tally (tally.h) says how
// many it tried and how many it enqueued. Exits 0, 2 (wrong use) or 3 (the queue cannot be opened).

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>

#include "examples/tally_producer/tally.h"
#include "spillway/example/measurement_generated.h"
#include "spillway/producer.h"

namespace {

using spillway::example::Tally;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::uint64_t kLatencySampleEvery = 8;  // timing each record would slow what it measures

struct Options {
  const char* queue_dir = nullptr;
  const char* tally = nullptr;
  std::uint32_t index = 0;
  std::uint32_t incarnation = 0;
  std::uint64_t rate = 10'000;  // records a second
  std::uint64_t count = UINT64_MAX;
  std::uint64_t seconds = 0;  // 0: until told to stop
  std::uint64_t lane_bytes = 0;
  std::size_t record_bytes = 64;
  bool random_filling = false;  // bytes that no compressor makes smaller, other ones in each record
};

volatile std::sig_atomic_t stop_asked = 0;

std::uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNsPerSecond +
         static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t parse_size(const char* text) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text, &end, 10);
  if (std::strcmp(end, "KiB") == 0) return value << 10;
  if (std::strcmp(end, "MiB") == 0) return value << 20;
  return value;
}

bool parse(int count, char** words, Options& options) {
  for (int i = 1; i < count; ++i) {
    if (i + 1 >= count) return false;
    const std::string_view flag = words[i];
    const char* value = words[++i];
    if (flag == "--queue-dir")
      options.queue_dir = value;
    else if (flag == "--tally")
      options.tally = value;
    else if (flag == "--index")
      options.index = static_cast<std::uint32_t>(parse_size(value));
    else if (flag == "--incarnation")
      options.incarnation = static_cast<std::uint32_t>(parse_size(value));
    else if (flag == "--rate")
      options.rate = parse_size(value);
    else if (flag == "--count")
      options.count = parse_size(value);
    else if (flag == "--seconds")
      options.seconds = parse_size(value);
    else if (flag == "--lane-bytes")
      options.lane_bytes = parse_size(value);
    else if (flag == "--record-bytes")
      options.record_bytes = static_cast<std::size_t>(parse_size(value));
    else if (flag == "--random-filling")
      options.random_filling = std::string_view(value) == "yes";
    else
      return false;
  }
  return options.tally != nullptr && options.rate != 0;
}

/// The value that a reader can compute again from the record's identity.
std::uint64_t check_of(const Options& options, std::uint64_t sequence) {
  const std::uint64_t mixed =
      sequence * 0x9E3779B97F4A7C15 + options.index * 0xD1B54A32D192ED03 + options.incarnation;
  return mixed ^ (mixed >> 29);
}

/// The samples of one producer: a finished FlatBuffer of (at least) the size asked for, and where
/// its fields stand in it.
class Samples {
 public:
  explicit Samples(const Options& options) : options_(options) {
    builder_.ForceDefaults(true);  // so that each field has a place that can be patched
    build(0);
    const std::size_t bare = builder_.GetSize();
    if (options.record_bytes > bare) build(options.record_bytes - bare);
  }

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {reinterpret_cast<const std::byte*>(builder_.GetBufferPointer()), builder_.GetSize()};
  }

  void set(std::uint64_t sequence) {
    auto* measurement =
        flatbuffers::GetMutableRoot<spillway::example::Measurement>(builder_.GetBufferPointer());
    measurement->mutate_sequence(sequence);
    measurement->mutate_check(check_of(options_, sequence));
    measurement->mutate_value(static_cast<double>(sequence % 1000) * 0.1);
    if (options_.random_filling) fill(*measurement->mutable_filling());
  }

 private:
  void build(std::size_t filling_bytes) {
    builder_.Clear();
    std::uint8_t* filling = nullptr;
    const auto filler = builder_.CreateUninitializedVector(filling_bytes, &filling);
    if (filling_bytes != 0) std::memset(filling, 0x5A, filling_bytes);
    spillway::example::FinishMeasurementBuffer(
        builder_, spillway::example::CreateMeasurement(builder_, options_.index,
                                                       options_.incarnation, 0, 0, 0.0, filler));
  }

  /// xorshift64 (Marsaglia, 2003).
  void fill(flatbuffers::Vector<std::uint8_t>& filling) {
    for (flatbuffers::uoffset_t i = 0; i < filling.size(); ++i) {
      random_ ^= random_ << 13U;
      random_ ^= random_ >> 7U;
      random_ ^= random_ << 17U;
      filling.Mutate(i, static_cast<std::uint8_t>(random_ >> 56U));
    }
  }

  const Options& options_;
  std::uint64_t random_ = 0x9E3779B97F4A7C15;
  flatbuffers::FlatBufferBuilder builder_;
};

/// One record, tallied before and after; timed now and then.
void put_one(spillway::Producer& producer, Samples& samples, std::uint64_t sequence,
             Tally::Page& tally) {
  samples.set(sequence);
  tally.intent.store(sequence + 1, std::memory_order_release);
  const bool timed = sequence % kLatencySampleEvery == 0;
  const std::uint64_t began = timed ? now_ns() : 0;
  const spillway::Status status = producer.put(samples.bytes());
  if (timed) ++tally.latency[Tally::bucket_of(now_ns() - began)];
  if (status == spillway::Status::kOk) {
    tally.done.store(sequence + 1, std::memory_order_release);
  } else {
    tally.rejected.store(producer.rejected(), std::memory_order_release);
  }
}

/// Puts records at the set rate in small bursts, sleeping between them.
void produce(spillway::Producer& producer, const Options& options, Tally::Page& tally) {
  Samples samples(options);
  const std::uint64_t began = now_ns();
  const std::uint64_t end =
      options.seconds == 0 ? UINT64_MAX : began + options.seconds * kNsPerSecond;
  for (std::uint64_t sequence = 0; sequence < options.count && stop_asked == 0;) {
    const std::uint64_t now = now_ns();
    if (now >= end) break;
    const auto due = static_cast<std::uint64_t>(static_cast<double>(now - began) / kNsPerSecond *
                                                static_cast<double>(options.rate)) +
                     1;
    for (; sequence < due && sequence < options.count; ++sequence) {
      put_one(producer, samples, sequence, tally);
    }
    const timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
}

int run(const Options& options) {
  Tally::Page* tally = Tally::open(options.tally);
  if (tally == nullptr) {
    std::fprintf(stderr, "tally-producer: cannot make the tally file %s: %s\n", options.tally,
                 std::strerror(errno));
    return 3;
  }
  char name[32];
  std::snprintf(name, sizeof name, "tally-%u", options.index);
  char topic[32];
  std::snprintf(topic, sizeof topic, "demo/producer/%u", options.index);
  spillway::Producer producer;
  const auto status = producer.open(options.queue_dir, topic,
                                    {.producer_name = name, .lane_bytes = options.lane_bytes});
  if (status != spillway::Status::kOk) {
    std::fprintf(stderr, "tally-producer: %s\n", spillway::error_detail());
    return 3;
  }
  produce(producer, options, *tally);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  Options options;
  if (!parse(count, words, options)) {
    std::fputs(
        "usage: tally-producer --tally FILE [--queue-dir DIR] [--index N] [--incarnation N] "
        "[--rate R]\n"
        "                      [--count N] [--seconds S] [--lane-bytes 16MiB] [--record-bytes N]\n"
        "                      [--random-filling yes]\n",
        stderr);
    return 2;
  }
  std::signal(SIGTERM, [](int) { stop_asked = 1; });
  std::signal(SIGINT, [](int) { stop_asked = 1; });
  return run(options);
}
