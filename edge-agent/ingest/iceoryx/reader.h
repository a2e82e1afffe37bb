// The reader process: reads samples for one life of RouDi, until it is told to leave. What it counts
// stands in the page that it shares with its parent.
#pragma once

#include <string>

#include "edge-agent/ingest/iceoryx/bridge_page.h"
#include "spillway/core/config.h"

namespace spillway::agent::iceoryx {

/// How it ends, as its exit code. Beside these, 2: wrong use (a topic or a schema that can never
/// work).
inline constexpr int kReaderLeft = 0;
inline constexpr int kReaderWrongUse = 2;
inline constexpr int kReaderFailed = 3;
inline constexpr int kReaderForgotten = 4;

/// Called in the child of a fork, whose parent has no thread and no runtime. SIGTERM ends it, when
/// its queues are empty.
[[nodiscard]] int read_samples(const core::Config& config, const std::string& runtime_name,
                               BridgePage& page);

}  // namespace spillway::agent::iceoryx
