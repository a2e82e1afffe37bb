// Why the spill's append is a write and not stores into a mapping: bench_append_ways WAY --dir DIR
// --block BYTES [--ms N] [--interval-us N] [--rate BYTES_PER_S]. A JSON line on stdout.
//
// WAY is `mapping` (stores; the pages ahead made writable in one call, as one would), `mapping-plain`
// (stores, nothing ahead), or `write` (one pwrite for each block). One thread appends to a file that
// was written before, again and again from its beginning; a second one calls fdatasync each interval.
// Beside the rate it tells what the block device of DIR has written meanwhile, everybody's writes
// included: run it on an idle machine.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/harness/cores.h"
#include "bench/harness/json_line.h"
#include "bench/harness/timer.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; older C libraries lack the name
#endif

namespace spillway::bench {
namespace {

constexpr std::size_t kFileBytes = 64U << 20;
constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kAheadBytes = 256U * 1024;
constexpr std::uint64_t kSectorBytes = 512;

struct Setup {
  std::string way;
  std::string directory;
  std::size_t block_bytes = 8000;
  std::uint64_t ms = 2000;
  std::uint64_t interval_us = 1000;
  std::uint64_t rate = 0;  // bytes a second; 0: as fast as it goes
};

/// What the block device below `path` has written since boot; nothing where it tells nothing.
std::optional<std::uint64_t> device_bytes(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
  std::ifstream file("/sys/dev/block/" + std::to_string(major(facts.st_dev)) + ":" +
                     std::to_string(minor(facts.st_dev)) + "/stat");
  std::uint64_t value = 0;
  for (int field = 0; field < 7; ++field) file >> value;
  if (!file) return std::nullopt;
  return value * kSectorBytes;
}

class Appender {
 public:
  explicit Appender(const Setup& setup) : setup_(setup), block_(setup.block_bytes, std::byte{2}) {
    const std::string path = setup.directory + "/append-ways";
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file_ < 0) die("cannot open " + path);
    ::unlink(path.c_str());
    const std::vector<std::byte> chunk(1U << 20, std::byte{1});
    for (std::size_t at = 0; at < kFileBytes; at += chunk.size()) put(chunk, at);
    ::fdatasync(file_);
    if (setup.way == "write") return;
    void* const map = ::mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (map == MAP_FAILED) die("cannot map " + path);
    map_ = static_cast<std::byte*>(map);
  }

  void append() {
    if (tail_ + block_.size() > kFileBytes) tail_ = ahead_ = 0;
    if (map_ == nullptr) {
      put(block_, tail_);
    } else {
      if (setup_.way == "mapping" && tail_ + block_.size() > ahead_) populate();
      std::memcpy(map_ + tail_, block_.data(), block_.size());
    }
    tail_ += block_.size();
  }
  /// Bytes that a sync covers are never written again.
  void skip_to_next_page() {
    tail_ = (tail_ + kPageBytes - 1) / kPageBytes * kPageBytes;
    ahead_ = tail_;
  }
  [[nodiscard]] int file() const { return file_; }

 private:
  void put(std::span<const std::byte> bytes, std::size_t at) const {
    if (::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(at)) !=
        static_cast<ssize_t>(bytes.size())) {
      die("cannot write");
    }
  }
  void populate() {
    const std::size_t begin = tail_ / kPageBytes * kPageBytes;
    ahead_ = std::min(kFileBytes, tail_ + block_.size() + kAheadBytes);
    static_cast<void>(::madvise(map_ + begin, ahead_ - begin, MADV_POPULATE_WRITE));
  }

  const Setup& setup_;
  std::vector<std::byte> block_;
  std::byte* map_ = nullptr;
  std::size_t tail_ = 0;
  std::size_t ahead_ = 0;
  int file_ = -1;
};

enum class Sync : int { kNone, kWanted, kDone };

void measure(const Setup& setup) {
  Appender appender(setup);
  std::atomic<Sync> sync{Sync::kNone};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> syncs{0};
  std::thread worker([&] {
    while (!stop) {
      if (sync != Sync::kWanted) continue;
      ::fdatasync(appender.file());
      ++syncs;
      sync = Sync::kDone;
    }
  });
  const auto device_before = device_bytes(setup.directory);
  const std::uint64_t begin = clock_ns();
  const std::uint64_t end = begin + setup.ms * 1'000'000;
  std::uint64_t bytes = 0;
  std::uint64_t sync_at = begin + setup.interval_us * 1000;
  for (std::uint64_t now = begin; now < end; now = clock_ns()) {
    const bool due = setup.rate == 0 || bytes < setup.rate * ((now - begin) / 1000) / 1'000'000;
    if (due) {
      appender.append();
      bytes += setup.block_bytes;
    }
    if (now < sync_at || sync == Sync::kWanted) continue;
    sync_at = now + setup.interval_us * 1000;
    appender.skip_to_next_page();
    sync = Sync::kWanted;
  }
  stop = true;
  worker.join();
  ::fdatasync(appender.file());
  const auto seconds = static_cast<double>(clock_ns() - begin) / 1e9;
  JsonLine json;
  json.add("way", setup.way);
  json.add("block", std::uint64_t{setup.block_bytes});
  json.add("syncs", syncs.load());
  json.add("bytes_per_s", static_cast<double>(bytes) / seconds);
  if (const auto device = device_bytes(setup.directory); device && device_before) {
    json.add("device_bytes_per_byte",
             static_cast<double>(*device - *device_before) / static_cast<double>(bytes));
  }
  json.print();
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    die("not a number: " + std::string(text));
  }
  return value;
}

Setup read_setup(std::span<char*> words) {
  Setup setup;
  if (words.size() > 1) setup.way = words[1];
  for (std::size_t i = 2; i + 1 < words.size(); i += 2) {
    const std::string_view flag = words[i];
    if (flag == "--dir") setup.directory = words[i + 1];
    if (flag == "--block") setup.block_bytes = static_cast<std::size_t>(number(words[i + 1]));
    if (flag == "--ms") setup.ms = number(words[i + 1]);
    if (flag == "--interval-us") setup.interval_us = number(words[i + 1]);
    if (flag == "--rate") setup.rate = number(words[i + 1]);
  }
  const bool known = setup.way == "mapping" || setup.way == "mapping-plain" || setup.way == "write";
  if (!known || setup.directory.empty() || setup.block_bytes == 0 ||
      setup.block_bytes > kFileBytes) {
    die("usage: bench_append_ways mapping|mapping-plain|write --dir DIR [--block BYTES] [--ms N] "
        "[--interval-us N] [--rate BYTES_PER_S]");
  }
  return setup;
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  spillway::bench::measure(spillway::bench::read_setup({argv, static_cast<std::size_t>(argc)}));
}
