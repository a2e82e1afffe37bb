// The counter that stands in each frame: read without a system call, turned into time by the
// agent's anchors.
//
// Any thread. x86-64 reads the TSC where it is invariant, arm64 reads CNTVCT; everything else
// (32-bit ARM, an old TSC) reads CLOCK_MONOTONIC_COARSE in nanoseconds, which steps every 1 to 10
// ms but costs a few nanoseconds where the kernel offers it in the vDSO.
#pragma once

#include <time.h>

#include <cstdint>

namespace spillway {

/// The values of ClockKind in format.fbs.
enum class TickClock : std::uint8_t { kTsc = 1, kCntvct = 2, kMonotonicCoarse = 3 };

[[nodiscard]] inline std::uint64_t read_coarse_ticks() {
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// `clock` is one that this machine has: the one that its lane names.
[[nodiscard]] inline std::uint64_t read_tick_clock([[maybe_unused]] TickClock clock) {
#if defined(__x86_64__)
  if (clock == TickClock::kTsc) [[likely]]
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  if (clock == TickClock::kCntvct) [[likely]] {
    std::uint64_t ticks = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
  }
#endif
  return read_coarse_ticks();
}

}  // namespace spillway
