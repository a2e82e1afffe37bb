// The clock of the harness: a fenced pair of counter reads around what is measured.
//
// Any thread. The pair costs something itself; the subject `timer` measures it empty, and every
// figure is shown beside that. Where the counter steps coarsely (some virtual machines: 10 ns), one
// operation that is shorter than a step is only known by its distribution: what it costs is then
// read from batches (back to back).
#pragma once

#include <time.h>

#include <cstdint>

namespace spillway::bench {

[[nodiscard]] inline std::uint64_t clock_ns() {
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

#if defined(__x86_64__)

/// Nothing before it is still under way, nothing behind it has begun.
[[nodiscard]] inline std::uint64_t ticks_begin() {
  asm volatile("lfence" ::: "memory");
  const std::uint64_t ticks = __builtin_ia32_rdtsc();
  asm volatile("lfence" ::: "memory");
  return ticks;
}
/// Everything before it has been executed (stores may still stand in the store buffer).
[[nodiscard]] inline std::uint64_t ticks_end() {
  unsigned core = 0;
  const std::uint64_t ticks = __builtin_ia32_rdtscp(&core);
  asm volatile("lfence" ::: "memory");
  return ticks;
}
[[nodiscard]] inline std::uint64_t ticks_now() { return __builtin_ia32_rdtsc(); }

#elif defined(__aarch64__)

[[nodiscard]] inline std::uint64_t ticks_now() {
  std::uint64_t ticks = 0;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks)::"memory");
  return ticks;
}
[[nodiscard]] inline std::uint64_t ticks_begin() { return ticks_now(); }
[[nodiscard]] inline std::uint64_t ticks_end() { return ticks_now(); }

#else

[[nodiscard]] inline std::uint64_t ticks_now() { return clock_ns(); }
[[nodiscard]] inline std::uint64_t ticks_begin() { return ticks_now(); }
[[nodiscard]] inline std::uint64_t ticks_end() { return ticks_now(); }

#endif

/// Measured against CLOCK_MONOTONIC; takes 20 ms.
[[nodiscard]] inline double measure_ns_per_tick() {
  constexpr std::uint64_t kSpanNs = 20'000'000;
  const std::uint64_t from_ns = clock_ns();
  const std::uint64_t from = ticks_now();
  std::uint64_t now_ns = from_ns;
  while (now_ns - from_ns < kSpanNs) now_ns = clock_ns();
  return static_cast<double>(now_ns - from_ns) / static_cast<double>(ticks_now() - from);
}

}  // namespace spillway::bench
