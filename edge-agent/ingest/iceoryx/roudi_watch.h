// RoudiWatch: whether iceoryx's daemon is there, and which life of it.
//
// One thread. It asks by the socket on which RouDi listens, and sends nothing: a datagram socket
// whose owner is dead refuses a connection, and each start of RouDi makes the file anew. So it works
// across containers, too, where its pid and locks cannot be seen.
#pragma once

#include <optional>
#include <string>

#include "edge-agent/ingest/iceoryx/keeper.h"

namespace spillway::agent::iceoryx {

/// Where iceoryx 2.0 on Linux has it.
inline constexpr const char* kRoudiSocket = "/tmp/roudi";

struct RoudiLook {
  std::optional<RoudiLife> life;  // nothing if nobody listens
  /// Its queue has room. If it stays full, RouDi hangs: a publisher that is killed while it holds a
  /// lock of iceoryx's leaves it locked, and RouDi runs into it when it clears up.
  bool answers = true;
};

/// A few system calls and a socket.
[[nodiscard]] RoudiLook look_for_roudi(const std::string& socket_path);

}  // namespace spillway::agent::iceoryx
