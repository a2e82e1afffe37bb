// fault_producer QUEUE_DIR TOPIC NAME INCARNATION TALLY PHASE[:COUNT]...: a producer that does what it
// is told, in order, and keeps its own count outside the queue.
//
//   single:N   N records, one by one          batch:N    N batches of 5
//   large:N    N large records: waits for room again and again
//   refused    one record that is too large   dropped    one claim that is never committed
//   flush      until process-safe             power      until power-safe
//   silence:N  N ms of it                     hold       until standard input ends
//   close      (without it the process just exits)
//
// TALLY is a mapped file of two u64: intent is stored before each enqueue, done behind it, so that
// done <= records of this incarnation <= intent whenever the process dies. A record: u32
// incarnation, u32 its own size, u64 number, then bytes that follow from the number.
#include "spillway/producer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>

namespace {

using spillway::Status;

constexpr std::uint64_t kLaneBytes = 16U * 1024;  // so that it wraps and fills
constexpr std::size_t kHeadBytes = 16;
constexpr std::size_t kBatch = 5;
constexpr std::size_t kLargeBytes = 3000;
constexpr std::size_t kRecordBytesMax = 4096;
constexpr auto kPatience = std::chrono::seconds(30);

struct Tally {
  spillway::core::Atomic<std::uint64_t> intent;
  spillway::core::Atomic<std::uint64_t> done;
};

[[noreturn]] void give_up(const char* what, Status status) {
  std::fprintf(stderr, "fault_producer: %s: %s (%s)\n", what, spillway::status_text(status),
               spillway::error_detail());
  std::exit(3);
}

Tally& map_tally(const char* path) {
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(Tally)) != 0) give_up(path, Status::kSystem);
  void* page = mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) give_up(path, Status::kSystem);
  close(fd);
  return *static_cast<Tally*>(page);
}

class Script {
 public:
  Script(spillway::Producer& producer, std::uint32_t incarnation, Tally& tally)
      : producer_(producer), incarnation_(incarnation), tally_(tally) {}

  void run(std::string_view phase, unsigned long count) {
    if (phase == "single") return repeat(count, [this] { put(size_of(number_)); });
    if (phase == "batch") return repeat(count, [this] { put_batch(); });
    if (phase == "large") return repeat(count, [this] { put(kLargeBytes); });
    if (phase == "refused") return put_too_large();
    if (phase == "dropped") return drop_claim();
    if (phase == "flush") return flush(spillway::Level::kProcessSafe);
    if (phase == "power") return flush(spillway::Level::kPowerSafe);
    if (phase == "silence") return be_silent(count);
    if (phase == "hold") return hold();
    if (phase == "close") return producer_.close();
    give_up("no such phase", Status::kInvalid);
  }

 private:
  template <typename Body>
  static void repeat(unsigned long count, const Body& body) {
    for (unsigned long i = 0; i < count; ++i) body();
  }
  /// 16 to 615 bytes.
  static std::size_t size_of(std::uint64_t number) { return kHeadBytes + number * 73 % 600; }

  void fill(std::byte* room, std::size_t size, std::uint64_t number) const {
    const auto stated = static_cast<std::uint32_t>(size);
    std::memcpy(room, &incarnation_, 4);
    std::memcpy(room + 4, &stated, 4);
    std::memcpy(room + 8, &number, 8);
    for (std::size_t i = kHeadBytes; i < size; ++i) {
      room[i] = static_cast<std::byte>((number * 31 + i * 7) & 0xFF);
    }
  }
  void put(std::size_t size) {
    tally_.intent.store(number_ + 1);
    spillway::Claim room = producer_.claim(size);
    if (room.status() == Status::kFull) {
      room = producer_.claim_until(size, std::chrono::steady_clock::now() + kPatience);
    }
    if (!room) give_up("claim", room.status());
    fill(room.data(), size, number_);
    if (const auto status = producer_.commit(room, size); status != Status::kOk) {
      give_up("commit", status);
    }
    tally_.done.store(++number_);
  }
  void put_batch() {
    // With room for all of it, so that it wraps in its middle, too.
    flush(spillway::Level::kProcessSafe);
    std::array<std::array<std::byte, kRecordBytesMax>, kBatch> storage;
    std::array<std::span<const std::byte>, kBatch> records;
    for (std::size_t i = 0; i < kBatch; ++i) {
      const std::size_t size = size_of(number_ + i);
      fill(storage[i].data(), size, number_ + i);
      records[i] = std::span(storage[i]).first(size);
    }
    tally_.intent.store(number_ + kBatch);
    const std::size_t taken = producer_.put_many(records).records;
    tally_.done.store(number_ += taken);
    for (std::size_t i = taken; i < kBatch; ++i) put(records[i].size());
  }
  void put_too_large() {
    const Status status = producer_.claim(kLaneBytes).status();
    if (status != Status::kTooLarge) give_up("a record that is too large", status);
  }
  void drop_claim() {
    const spillway::Claim room = producer_.claim(kLargeBytes);
    if (room) std::memset(room.data(), 0xFF, room.size());
  }
  void flush(spillway::Level level) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    if (const auto status = producer_.flush_until(deadline, level); status != Status::kOk) {
      give_up("flush", status);
    }
  }
  static void be_silent(unsigned long ms) {
    timespec time{static_cast<time_t>(ms / 1000), static_cast<long>(ms % 1000 * 1'000'000)};
    while (nanosleep(&time, &time) != 0) {
    }
  }
  static void hold() {
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
  }

  spillway::Producer& producer_;
  std::uint32_t incarnation_;
  Tally& tally_;
  std::uint64_t number_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) return 2;
  Tally& tally = map_tally(argv[5]);
  spillway::Producer producer;
  const auto status =
      producer.open(argv[1], argv[2], {.producer_name = argv[3], .lane_bytes = kLaneBytes});
  if (status != Status::kOk) give_up("open", status);
  Script script(producer, static_cast<std::uint32_t>(std::strtoul(argv[4], nullptr, 10)), tally);
  for (int i = 6; i < argc; ++i) {
    const std::string_view phase(argv[i]);
    const std::size_t colon = phase.find(':');
    const unsigned long count =
        colon == phase.npos ? 1 : std::strtoul(argv[i] + colon + 1, nullptr, 10);
    script.run(phase.substr(0, colon), count);
  }
  return 0;
}
