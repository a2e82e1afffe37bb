// Ten producers against one: bench_producers --producers K --records N --size BYTES --scratch DIR.
//
// K processes share one core and put N records together, each into its own lane; one bare spinning
// drain on the other core takes them all. What is measured is the time from the first put to the
// last: a JSON line with records/s. A full lane is asked again, as in bench_latency.
#include <charconv>
#include <memory>
#include <string_view>

#include "bench/harness/json_line.h"
#include "bench/harness/loops.h"
#include "bench/harness/ping_pong.h"
#include "bench/harness/processes.h"
#include "bench/peers/mapped_file.h"
#include "bench/peers/ring_drain.h"
#include "shm/lane/lane_layout.h"
#include "spillway/producer.h"
#include "spillway/shm/queue_directory.h"

namespace spillway::bench {
namespace {

constexpr std::size_t kProducersMax = 64;

struct Run {
  std::string scratch;
  std::uint64_t producers = 10;
  std::uint64_t records = 1'000'000;
  std::uint64_t record_bytes = 64;
};

/// Beside the page of two: how many are ready, and when each began and ended.
struct Board {
  std::atomic<std::uint32_t> ready{0};
  std::atomic<std::uint32_t> go{0};
  std::atomic<std::uint32_t> done{0};
  std::atomic<std::uint64_t> refused{0};
  std::uint64_t began[kProducersMax] = {};
  std::uint64_t ended[kProducersMax] = {};
};

struct DrainedLane {
  explicit DrainedLane(const std::string& path)
      : file(path, 0),
        drain(reinterpret_cast<shm::LaneMapping*>(file.data())->data(),
              file.size() - shm::kLaneDataOffset,
              reinterpret_cast<shm::LaneMapping*>(file.data())->agent.consumed) {}
  MappedFile file;
  RingDrain drain;
};

void drain_all(const Run& run, Board& board, SharedPage& page) {
  auto directory = shm::QueueDirectory::open(run.scratch + "/queue");
  if (!directory) die("cannot make a queue: " + directory.error().message);
  page.consumer_at.store(1, std::memory_order_release);
  while (board.ready.load(std::memory_order_acquire) < run.producers) usleep(100);
  const auto paths = (*directory)->lanes();
  if (!paths || paths->size() != run.producers) die("the queue has not one lane for each producer");
  std::vector<std::unique_ptr<DrainedLane>> lanes;
  for (const auto& path : *paths) lanes.push_back(std::make_unique<DrainedLane>(path));
  board.go.store(1, std::memory_order_release);
  for (std::uint64_t taken = 0; taken < run.records;) {
    for (auto& lane : lanes) lane->drain.drain([&taken](std::span<const std::byte>) { ++taken; });
  }
  page.consumer_at.store(2, std::memory_order_release);
}

void put_all(const Run& run, Board& board, std::uint64_t index) {
  Producer producer;
  if (producer.open((run.scratch + "/queue").c_str(), "bench") != Status::kOk) {
    die(std::string("cannot open a lane: ") + error_detail());
  }
  const std::vector<std::byte> record(run.record_bytes, std::byte{0x5A});
  const std::uint64_t share = run.records / run.producers;
  board.ready.fetch_add(1, std::memory_order_acq_rel);
  while (board.go.load(std::memory_order_acquire) == 0) usleep(100);
  std::uint64_t refused = 0;
  board.began[index] = ticks_now();
  for (std::uint64_t i = 0; i < share; ++i) {
    while (producer.put(record) != Status::kOk) {
      ++refused;
      pause();
    }
  }
  board.ended[index] = ticks_now();
  board.refused.fetch_add(refused, std::memory_order_relaxed);
  board.done.fetch_add(1, std::memory_order_acq_rel);
}

Board* make_board() {
  void* address = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (address == MAP_FAILED) die("cannot map the board that the processes share");
  return new (address) Board();
}

void print(const Run& run, const Board& board, double ns_per_tick, double before, double after) {
  const std::uint64_t from = *std::min_element(board.began, board.began + run.producers);
  const std::uint64_t to = *std::max_element(board.ended, board.ended + run.producers);
  const double ns = static_cast<double>(to - from) * ns_per_tick;
  JsonLine json;
  json.add("producers", run.producers);
  json.add("size", run.record_bytes);
  json.add("records_per_s", static_cast<double>(run.records) / ns * 1e9);
  json.add("ns", ns / static_cast<double>(run.records));
  json.add("refused", board.refused.load());
  json.begin("ping_pong");
  json.add("before", before);
  json.add("after", after);
  json.end();
  json.print();
}

void run_all(const Run& run) {
  alarm(kWatchdogSeconds);
  SharedPage& page = *SharedPage::make();
  Board& board = *make_board();
  pin_to(kProducerCore);
  start_child([&run, &page, &board] {
    pin_to(kConsumerCore);
    pong(page, 0);
    drain_all(run, board, page);
    pong(page, kSecondBall);
  });
  const double ns_per_tick = measure_ns_per_tick();
  const double before = ping(page, 0, ns_per_tick);
  wait_for_step(page.consumer_at, 1);
  for (std::uint64_t i = 0; i < run.producers; ++i) {
    start_child([&run, &board, i] { put_all(run, board, i); });
  }
  while (board.done.load(std::memory_order_acquire) < run.producers) usleep(1000);
  wait_for_step(page.consumer_at, 2);
  print(run, board, ns_per_tick, before, ping(page, kSecondBall, ns_per_tick));
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  spillway::bench::Run run;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i];
    const std::string_view value = argv[i + 1];
    if (key == "--scratch") {
      run.scratch = value;
      continue;
    }
    auto& number = key == "--producers" ? run.producers
                   : key == "--size"    ? run.record_bytes
                                        : run.records;
    std::from_chars(value.data(), value.data() + value.size(), number);
  }
  if (run.producers == 0 || run.producers > spillway::bench::kProducersMax || run.scratch.empty()) {
    spillway::bench::die(
        "usage: bench_producers --producers 1..64 --records N --size BYTES --scratch DIR", 2);
  }
  run.records -= run.records % run.producers;
  spillway::bench::run_all(run);
  return 0;
}
