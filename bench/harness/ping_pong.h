// Half a round trip of one cache line between the two cores: what no transfer of a record can go
// below, and the tag by which measurements are comparable. Virtual machines move their cores: on
// some hosts the two are far apart in one second and near in the next.
#pragma once

#include <algorithm>
#include <array>

#include "bench/harness/shared_page.h"
#include "bench/harness/timer.h"

namespace spillway::bench {

inline constexpr std::size_t kPingPongBatches = 41;
inline constexpr std::uint64_t kTripsPerBatch = 100;
inline constexpr std::uint64_t kSecondBall = 1U << 30;  // where a second game begins

/// The consumer's side. `base` is the ball's value before; both sides give the same.
inline void pong(SharedPage& page, std::uint64_t base) {
  for (std::uint64_t trip = 0; trip < kPingPongBatches * kTripsPerBatch; ++trip) {
    while (page.ball.load(std::memory_order_acquire) != base + 2 * trip + 1) {
    }
    page.ball.store(base + 2 * trip + 2, std::memory_order_release);
  }
}

/// The producer's side: the median over batches, in ns, of half a round trip.
inline double ping(SharedPage& page, std::uint64_t base, double ns_per_tick) {
  std::array<double, kPingPongBatches> halves{};
  std::uint64_t trip = 0;
  for (double& half : halves) {
    const std::uint64_t from = ticks_begin();
    for (std::uint64_t i = 0; i < kTripsPerBatch; ++i, ++trip) {
      page.ball.store(base + 2 * trip + 1, std::memory_order_release);
      while (page.ball.load(std::memory_order_acquire) != base + 2 * trip + 2) {
      }
    }
    half = static_cast<double>(ticks_end() - from) * ns_per_tick / (2.0 * kTripsPerBatch);
  }
  std::sort(halves.begin(), halves.end());
  return halves[kPingPongBatches / 2];
}

}  // namespace spillway::bench
