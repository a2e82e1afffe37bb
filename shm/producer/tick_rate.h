// Which counter this machine's lanes use, and how fast it runs. Private to the producer library.
#pragma once

#include <cstdint>

#include "spillway/ticks.h"

namespace spillway::shm {

struct TickSource {
  TickClock clock = TickClock::kMonotonicCoarse;
  std::uint64_t rate_hz = 0;
};

/// Any thread. The TSC's rate is measured once in a process, over about 10 ms against
/// CLOCK_MONOTONIC_RAW, to about one part in 10^4 or better. That is enough: the agent anchors each
/// block to a time, and a frame is rarely further than some milliseconds from its anchor. Where the
/// TSC is not invariant, and on 32-bit ARM, the coarse clock is used.
[[nodiscard]] TickSource find_tick_source();

}  // namespace spillway::shm
