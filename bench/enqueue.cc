// What one enqueue costs its producer, beside the least that it could cost: a memcpy and a release
// store into the same kind of mapping.
//
// Without a consumer, the lane is emptied between batches, outside the measured time, by the
// benchmark itself: what is left is the producer's own work. With one, a drain thread on the other
// core takes the records as the agent would (walk, copy, consume); a full lane is then waited out,
// so the number is the throughput of the pair and depends on how far apart the two cores are.
// Single operations are shorter than the clock's step: times are per batch, divided.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "spillway/producer.h"
#include "spillway/record_template.h"
#include "spillway/shm/lane_reader.h"
#include "spillway/shm/queue_directory.h"

namespace {

using spillway::Producer;
using spillway::Status;

constexpr std::uint64_t kLaneBytes = 256U * 1024;
constexpr std::uint64_t kWalkBytes = 64U * 1024;

/// A queue in memory with one lane, its producer and its reader.
class OneLane {
 public:
  OneLane() {
    char name[] = "/dev/shm/spillway-bench-XXXXXX";
    if (mkdtemp(name) == nullptr) std::abort();
    root_ = name;
    auto directory = spillway::shm::QueueDirectory::open(root_ + "/queue");
    if (!directory) std::abort();
    directory_ = std::move(*directory);
    if (producer_.open(directory_->path().c_str(), "bench", {.lane_bytes = kLaneBytes}) !=
        Status::kOk) {
      std::abort();
    }
    auto reader = spillway::shm::LaneReader::attach(directory_->lanes()->front());
    if (!reader || !(*reader)->resume(0)) std::abort();
    reader_ = std::move(*reader);
  }
  OneLane(const OneLane&) = delete;
  OneLane& operator=(const OneLane&) = delete;
  ~OneLane() {
    producer_.close();
    std::error_code error;
    std::filesystem::remove_all(root_, error);
  }

  Producer& producer() { return producer_; }
  spillway::shm::LaneReader& reader() { return *reader_; }
  void drop_all() { reader_->consume(producer_.position()); }

 private:
  std::string root_;
  std::unique_ptr<spillway::shm::QueueDirectory> directory_;
  Producer producer_;
  std::unique_ptr<spillway::shm::LaneReader> reader_;
};

void pin_to(unsigned core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core % std::max(1U, std::thread::hardware_concurrency()), &cores);
  pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
}

/// Half a lane of records a batch, so that no claim is refused and `consumed` is renewed as in real
/// life.
std::int64_t batch_of(std::size_t record) {
  return static_cast<std::int64_t>(kLaneBytes / 2 / ((record + 31) / 16 * 16));
}

template <typename Enqueue>
void without_consumer(benchmark::State& state, Enqueue enqueue) {
  pin_to(0);
  OneLane lane;
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::int64_t batch = batch_of(size);
  std::vector<std::byte> record(size, std::byte{0x5A});
  for (auto _ : state) {
    for (std::int64_t i = 0; i < batch; ++i) {
      if (enqueue(lane.producer(), record) != Status::kOk) state.SkipWithError("refused");
    }
    state.PauseTiming();
    lane.drop_all();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

Status put(Producer& producer, std::span<const std::byte> record) { return producer.put(record); }

Status claim_commit(Producer& producer, std::span<const std::byte> record) {
  const auto claim = producer.claim(record.size());
  if (!claim) return claim.status();
  // In place: the record is written where it stays.
  std::memset(claim.data(), 0x5A, claim.size());
  return producer.commit(claim, claim.size());
}

Status from_template(Producer& producer, std::span<const std::byte> record) {
  return spillway::RecordTemplate(record).put(producer, spillway::Patch{8, 21.5},
                                              spillway::Patch{16, std::uint64_t{7}});
}

void BM_put(benchmark::State& state) { without_consumer(state, put); }
void BM_claim_commit(benchmark::State& state) { without_consumer(state, claim_commit); }
void BM_template(benchmark::State& state) { without_consumer(state, from_template); }

/// The floor: the bytes and one release store, in a lane's own mapping, with no header, check,
/// clock or doorbell.
void BM_memcpy_and_release_store(benchmark::State& state) {
  pin_to(0);
  OneLane lane;
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::int64_t batch = batch_of(size);
  const std::size_t step = (size + 31) / 16 * 16;
  std::vector<std::byte> record(size, std::byte{0x5A});
  const auto claim = lane.producer().claim(lane.producer().record_bytes_max());
  std::byte* ring = claim.data() - 16;
  for (auto _ : state) {
    std::size_t at = 0;
    for (std::int64_t i = 0; i < batch; ++i) {
      std::memcpy(ring + at + 16, record.data(), size);
      reinterpret_cast<std::atomic<std::uint32_t>*>(ring + at)->store(
          static_cast<std::uint32_t>(size), std::memory_order_release);
      at += step;
    }
    state.PauseTiming();
    benchmark::ClobberMemory();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

void BM_put_with_drain(benchmark::State& state) {
  pin_to(0);
  OneLane lane;
  const auto size = static_cast<std::size_t>(state.range(0));
  std::vector<std::byte> record(size, std::byte{0x5A});
  std::atomic<bool> stop{false};
  std::thread drain([&lane, &stop] {
    pin_to(1);
    std::vector<std::byte> spill(kLaneBytes);
    while (!stop.load(std::memory_order_relaxed)) {
      const auto walk = lane.reader().walk(kWalkBytes);
      if (walk.frames.empty()) continue;
      std::memcpy(spill.data(), walk.frames.data(), walk.frames.size());
      benchmark::ClobberMemory();
      lane.reader().consume(walk.lane_end);
    }
  });
  std::uint64_t full = 0;
  for (auto _ : state) {
    while (lane.producer().put(record) != Status::kOk) ++full;
  }
  stop = true;
  drain.join();
  state.SetItemsProcessed(state.iterations());
  state.counters["full"] =
      benchmark::Counter(static_cast<double>(full), benchmark::Counter::kAvgIterations);
}

BENCHMARK(BM_memcpy_and_release_store)->Arg(64)->Arg(256)->Arg(1024);
BENCHMARK(BM_put)->Arg(64)->Arg(256)->Arg(1024);
BENCHMARK(BM_claim_commit)->Arg(64)->Arg(256)->Arg(1024);
BENCHMARK(BM_template)->Arg(64)->Arg(256)->Arg(1024);
BENCHMARK(BM_put_with_drain)->Arg(64)->Arg(256)->Arg(1024)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
