#include "shm/producer/tick_rate.h"

#include <time.h>

#include "spillway/core/atomic.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace spillway::shm {

namespace {

constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

#if defined(__x86_64__)

constexpr std::uint64_t kMeasureNs = 10'000'000;
constexpr int kPairsMax = 8;

struct Pair {
  std::uint64_t ticks = 0;
  std::uint64_t time_ns = 0;
};

std::uint64_t raw_time_ns() {
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNanosecondsPerSecond +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// The tightest of a few readings of both clocks, so that one preemption between them does no harm.
Pair read_pair() {
  Pair best;
  std::uint64_t best_width = ~std::uint64_t{0};
  for (int i = 0; i < kPairsMax; ++i) {
    const std::uint64_t before = __builtin_ia32_rdtsc();
    const std::uint64_t now = raw_time_ns();
    const std::uint64_t after = __builtin_ia32_rdtsc();
    if (after - before >= best_width) continue;
    best_width = after - before;
    best = {before + best_width / 2, now};
  }
  return best;
}

std::uint64_t measure_tsc_rate() {
  const Pair first = read_pair();
  struct timespec pause {};
  pause.tv_nsec = static_cast<long>(kMeasureNs);
  // A signal may cut it short: then the span is shorter, and measured all the same.
  nanosleep(&pause, nullptr);
  const Pair last = read_pair();
  const std::uint64_t span_ns = last.time_ns - first.time_ns;
  if (span_ns == 0 || last.ticks <= first.ticks) return 0;
  return static_cast<std::uint64_t>(static_cast<double>(last.ticks - first.ticks) *
                                    static_cast<double>(kNanosecondsPerSecond) /
                                    static_cast<double>(span_ns));
}

bool tsc_is_invariant() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(0x80000007U, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (edx & (1U << 8)) != 0;
}

core::Atomic<std::uint64_t> measured_rate_hz{0};  // 0: not yet

TickSource find_counter() {
  if (!tsc_is_invariant()) return {};
  // Two threads may both measure; the first one's result is kept, so that all lanes of a process
  // agree.
  std::uint64_t rate = measured_rate_hz.load(std::memory_order_relaxed);
  if (rate == 0) {
    const std::uint64_t measured = measure_tsc_rate();
    if (measured_rate_hz.compare_exchange_strong(rate, measured, std::memory_order_relaxed)) {
      rate = measured;
    }
  }
  return {TickClock::kTsc, rate};
}

#elif defined(__aarch64__)

TickSource find_counter() {
  std::uint64_t rate = 0;
  asm volatile("mrs %0, cntfrq_el0" : "=r"(rate));
  return {TickClock::kCntvct, rate};
}

#else

TickSource find_counter() { return {}; }

#endif

}  // namespace

TickSource find_tick_source() {
  const TickSource counter = find_counter();
  if (counter.rate_hz != 0) return counter;
  return {TickClock::kMonotonicCoarse, kNanosecondsPerSecond};
}

}  // namespace spillway::shm
