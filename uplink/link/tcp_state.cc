#include "uplink/link/tcp_state.h"

// The kernel's own header: that of the C library ends before the counters of bytes.
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>

namespace spillway::uplink {

namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr std::uint64_t kNsPerUs = 1'000;
constexpr std::uint64_t kIpv4HeaderBytes = 20;
constexpr std::uint64_t kIpv6HeaderBytes = 40;
constexpr std::uint64_t kTcpHeaderBytes = 20;
constexpr std::uint64_t kTimestampBytes = 12;
constexpr std::uint8_t kHasTimestamps = 1;  // TCPI_OPT_TIMESTAMPS, which both headers define

constexpr std::uint8_t kTcpClose = 7;  // TCP_CLOSE of both headers

std::uint64_t header_bytes(const tcp_info& info, bool is_ipv6) {
  const bool stamped = (info.tcpi_options & kHasTimestamps) != 0;
  return (is_ipv6 ? kIpv6HeaderBytes : kIpv4HeaderBytes) + kTcpHeaderBytes +
         (stamped ? kTimestampBytes : 0);
}

}  // namespace

TcpState look_at_tcp(int socket, bool is_ipv6) {
  TcpState state;
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return state;
  int queued = 0;
  if (::ioctl(socket, SIOCOUTQ, &queued) != 0 || queued < 0) queued = 0;
  state.is_known = true;
  state.is_over = info.tcpi_state == kTcpClose;
  state.received_bytes = info.tcpi_bytes_received;
  state.acked_bytes = info.tcpi_bytes_acked;
  state.unacked_bytes = static_cast<std::uint64_t>(queued);
  state.unsent_bytes = info.tcpi_notsent_bytes;
  // Before Linux 4.19 the kernel did not count what it sent: then, without what went out again.
  const bool counts_sent =
      size >= offsetof(tcp_info, tcpi_bytes_sent) + sizeof(info.tcpi_bytes_sent);
  const std::uint64_t sent =
      counts_sent ? info.tcpi_bytes_sent : info.tcpi_bytes_acked + state.unacked_bytes;
  const std::uint64_t header = header_bytes(info, is_ipv6);
  state.wire_sent_bytes = sent + header * info.tcpi_segs_out;
  state.wire_received_bytes = info.tcpi_bytes_received + header * info.tcpi_segs_in;
  state.answer_age_ns = info.tcpi_last_ack_recv * kNsPerMs;
  state.rtt_ns = info.tcpi_rtt * kNsPerUs;
  state.rtt_variance_ns = info.tcpi_rttvar * kNsPerUs;
  state.is_window_closed = info.tcpi_unacked == 0 && info.tcpi_notsent_bytes != 0;
  state.unanswered_probes = info.tcpi_probes;
  return state;
}

}  // namespace spillway::uplink
