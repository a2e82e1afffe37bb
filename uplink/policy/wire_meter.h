// WireMeter: what one connection has cost, of what the session handed over and of what the socket
// says went over the wire.
//
// The socket's count lags behind (what stands in its buffer is not sent) and is larger in the end
// (headers, TLS, what was sent again). So the larger of both counts at each moment, and nothing twice.
//
// Pure; one thread; one for each connection.
//
// Invariant: what was charged never falls, and at the connection's end it is what the wire says, or
// what was handed over where the connection died with that in its buffer.
#pragma once

#include <algorithm>
#include <cstdint>

namespace spillway::uplink {

class WireMeter {
 public:
  struct Charge {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
  };

  void handed_over(std::uint64_t bytes) { handed_over_ += bytes; }
  /// What is new since the last call.
  [[nodiscard]] Charge take(std::uint64_t wire_sent, std::uint64_t wire_received) {
    const std::uint64_t sent = std::max({charged_.sent, handed_over_, wire_sent});
    const std::uint64_t received = std::max(charged_.received, wire_received);
    const Charge charge{sent - charged_.sent, received - charged_.received};
    charged_ = {sent, received};
    return charge;
  }

 private:
  std::uint64_t handed_over_ = 0;
  Charge charged_;
};

}  // namespace spillway::uplink
