// Makes a lane file: preallocated, locked, filled in, and only then given its name. Private to the
// producer library.
//
// Any thread. Whatever fails, nothing is left behind, in the directory or in the process.
#pragma once

#include <cstdint>

#include "shm/lane/lane_layout.h"
#include "spillway/producer.h"

namespace spillway::shm {

struct LaneFile {
  LaneMapping* mapping = nullptr;
  int fd = -1;  // holds the lock
  std::uint64_t capacity = 0;
  std::uint64_t lane_id = 0;
  std::uint32_t record_bytes_max = 0;
  TickClock tick_clock = TickClock::kMonotonicCoarse;
};

/// `lanes_fd` is the open directory; `lanes_path` its name, for messages. `fencing` is noted in the
/// lane.
[[nodiscard]] Status make_lane_file(int lanes_fd, const char* lanes_path, const char* topic,
                                    const ProducerOptions& options, bool fencing, LaneFile& lane);
/// Unmaps and closes, which frees the lock.
void release_lane_file(LaneMapping* mapping, std::uint64_t capacity, int fd);

}  // namespace spillway::shm
