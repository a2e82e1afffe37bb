// Order: work of the drain that may block on the disk or take long; a worker thread runs it, a simulator runs it
// in place.
//
// Any one thread may run an order while the drain goes on; the result goes back through
// Drain::finish.
#pragma once

#include <cstddef>
#include <variant>

#include "spillway/core/stream.h"

namespace spillway::agent {

struct Order {
  std::size_t stream = 0;  // index of the stream that asked
  std::variant<core::SyncPlan, core::SpareOrder, core::TrainingOrder> work;

  [[nodiscard]] core::Result<void> run() const {
    return std::visit([](const auto& job) { return job.run(); }, work);
  }
};

/// Each stream has at most one sync, one spare and one training under way.
inline constexpr std::size_t kOrdersPerStreamMax = 3;

}  // namespace spillway::agent
