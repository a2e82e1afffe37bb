// Runner: one configured uplink for the life of the process, whatever its far end is.
//
// Threads: all calls come from the io_context's; what is told back may come from a thread of the
// runner's own.
#pragma once

#include <functional>

#include "spillway/core/result.h"

namespace spillway::uplink {

class Runner {
 public:
  /// What cannot be helped by waiting: the process ends.
  using OnFatal = std::function<void(core::Error)>;

  Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  virtual ~Runner() = default;

  /// Checks addresses, certificates and the like: what can only be wrong for good.
  [[nodiscard]] virtual core::Result<void> prepare() = 0;
  virtual void start() = 0;
  /// The kernel says that a link or a route came up.
  virtual void on_network_up() = 0;
  /// Ends the session and makes the cursors power-safe.
  virtual void stop() = 0;
  /// Stopped, and the connections are gone.
  [[nodiscard]] virtual bool closed() const = 0;
  virtual void when_closed(std::function<void()> told) = 0;
  /// False: a thread of its own hangs in something that has a bound, and only a restart helps.
  [[nodiscard]] virtual bool turning() const { return true; }
};

}  // namespace spillway::uplink
