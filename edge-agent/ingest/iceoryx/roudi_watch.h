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

/// Nothing if nobody listens. Two system calls and a socket.
[[nodiscard]] std::optional<RoudiLife> look_for_roudi(const std::string& socket_path);

}  // namespace spillway::agent::iceoryx
