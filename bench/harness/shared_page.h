// SharedPage: what the two processes of a measurement share beside the subject: the cache line that
// they bounce, the one-way histogram, and how far the other one is.
//
// Made before the fork. Each word has one writer.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <new>

#include "bench/harness/cores.h"
#include "bench/harness/histogram.h"

namespace spillway::bench {

struct SharedPage {
  alignas(256) std::atomic<std::uint64_t> ball{0};         // both, in turn
  alignas(256) std::atomic<std::uint32_t> consumer_at{0};  // consumer
  alignas(256) std::atomic<std::uint32_t> producer_at{0};  // producer
  alignas(256) std::atomic<std::uint64_t> received{0};     // consumer
  alignas(256) Histogram one_way;                          // consumer

  static SharedPage* make() {
    void* address = mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) die("cannot map the page that the two processes share");
    return new (address) SharedPage();
  }
};

/// Waits until the other process has got so far. Its death ends this one, too (see run_peer).
inline void wait_for_step(const std::atomic<std::uint32_t>& at, std::uint32_t step) {
  while (at.load(std::memory_order_acquire) < step) usleep(100);
}

}  // namespace spillway::bench
