// What the kernel knows of a TCP connection (TCP_INFO, SIOCOUTQ). Its counters, and not those of our
// own reads and writes, because only they have what was sent again, what the peer's kernel has
// acknowledged, and what came in while nobody read.
//
// Any thread.
#pragma once

#include <cstdint>

namespace spillway::uplink {

struct TcpState {
  bool is_known = false;             // false: no such socket any more
  bool is_over = false;              // both ways are shut: the peer reset it, or the kernel gave up
  std::uint64_t received_bytes = 0;  // payload that came in, read or not
  std::uint64_t acked_bytes = 0;     // payload that the peer's kernel has
  std::uint64_t unacked_bytes = 0;   // payload that it has not: under way or waiting to go
  std::uint64_t unsent_bytes = 0;    // of that, what never went out
  std::uint64_t wire_sent_bytes = 0;      // with what was sent again and the headers of IP and TCP
  std::uint64_t wire_received_bytes = 0;  // the same of what came in
  std::uint64_t answer_age_ns = 0;        // since the peer's kernel last acknowledged anything
  std::uint64_t rtt_ns = 0;
  std::uint64_t rtt_variance_ns = 0;
  bool is_window_closed = false;  // the peer takes nothing more for now; the kernel asks it again
  std::uint32_t unanswered_probes = 0;  // and again
};

[[nodiscard]] TcpState look_at_tcp(int socket, bool is_ipv6);

}  // namespace spillway::uplink
