// Silence: how long a connection whose hands are being shaken, or which is being closed, has brought
// nothing forward. Slow is not dead: every byte that comes, and every byte of ours that the peer's
// kernel acknowledges, counts.
//
// Pure: time and signs are passed in. One thread.
#pragma once

#include <cstdint>

#include "uplink/link/tcp_state.h"

namespace spillway::uplink {

class Silence {
 public:
  /// In nanoseconds; call now and then. From the first call on.
  [[nodiscard]] std::uint64_t look(std::uint64_t now_ns, const TcpState& tcp) {
    const std::uint64_t moved = tcp.received_bytes + tcp.acked_bytes;
    if (since_ns_ == 0 || moved != moved_) since_ns_ = now_ns;
    moved_ = moved;
    return now_ns - since_ns_;
  }
  void restart() { since_ns_ = 0; }

 private:
  std::uint64_t since_ns_ = 0;
  std::uint64_t moved_ = 0;
};

}  // namespace spillway::uplink
