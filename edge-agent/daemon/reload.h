// Reload: what a configuration that was read anew changes for a running agent, and what of it only a
// restart can.
//
// Any thread. No I/O.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "spillway/core/config.h"

namespace spillway::agent {

struct ReloadPlan {
  std::vector<std::size_t> streams;      // whose keys, or whose uplinks, have changed
  std::vector<std::string> for_restart;  // what cannot be taken over, as a person wrote it
  [[nodiscard]] bool is_empty() const { return streams.empty() && for_restart.empty(); }
};

/// Streams are matched by place and name. Where one was added, removed or moved, none is taken over:
/// which lane feeds which is decided by their order.
[[nodiscard]] ReloadPlan plan_reload(const core::Config& now, const core::Config& next);

/// The uplinks that drain the stream.
[[nodiscard]] std::vector<std::string> uplinks_of(const core::Config& config,
                                                  const std::string& stream);

}  // namespace spillway::agent
