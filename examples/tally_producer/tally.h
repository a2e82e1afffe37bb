// Tally: a producer's own count in a mapped file, so that it outlives a kill -9. The checker
// (tests/system) reads it.
//
// One writer. Layout: u64 intent, done, rejected, process_safe; from byte 64 on 1024 u64 latency
// buckets. `intent` is stored before a record is enqueued and `done` after it: whenever the
// producer dies, the number n of records that were really enqueued is in [done, intent].
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cstdint>

namespace spillway::example {

class Tally {
 public:
  struct Page {
    std::atomic<std::uint64_t> intent;
    std::atomic<std::uint64_t> done;
    std::atomic<std::uint64_t> rejected;
    std::atomic<std::uint64_t> process_safe;
    std::uint64_t reserved[4];
    std::uint64_t latency[1024];
  };
  static_assert(sizeof(Page) == 64 + 1024 * 8);

  /// Maps a new file; nullptr with errno set if that cannot be done.
  static Page* open(const char* path) {
    const int fd = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return nullptr;
    void* at = MAP_FAILED;
    if (ftruncate(fd, sizeof(Page)) == 0) {
      at = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    }
    close(fd);
    return at == MAP_FAILED ? nullptr : static_cast<Page*>(at);
  }

  /// Log-linear buckets, 16 to each power of two: exact below 16 ns, within 6 % above.
  static unsigned bucket_of(std::uint64_t ns) {
    if (ns < 16) return static_cast<unsigned>(ns);
    const unsigned exponent = static_cast<unsigned>(std::bit_width(ns)) - 1;
    const unsigned step = static_cast<unsigned>(ns >> (exponent - 4)) - 16;
    return (exponent - 3) * 16 + step;
  }
};

}  // namespace spillway::example
