// Order: work of the drain, and of the agent around it, that may block on the disk or take long; a worker thread runs it, a simulator runs it
// in place.
//
// Any one thread may run an order while the drain goes on; the result goes back through
// Drain::finish, but for that of a StoreOrder, which is none of the drain's.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <variant>

#include "spillway/core/stream.h"

namespace spillway::agent {

/// Puts a small file in the place of the one before.
struct StoreOrder {
  core::env::Env* env = nullptr;
  std::string path;
  std::string text;
  [[nodiscard]] core::Result<void> run() const {
    return core::env::replace_file(*env, path, std::as_bytes(std::span(text)));
  }
};

struct Order {
  std::size_t stream = 0;  // index of the stream that asked
  std::variant<core::SyncPlan, core::SpareOrder, core::MoveOrder, core::TrainingOrder, StoreOrder>
      work;

  [[nodiscard]] core::Result<void> run() const {
    return std::visit([](const auto& job) { return job.run(); }, work);
  }
};

/// Each stream has at most one sync, one spare, one move and one training under way.
inline constexpr std::size_t kOrdersPerStreamMax = 4;

}  // namespace spillway::agent
