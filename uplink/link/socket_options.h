// What is set on the sockets of a link, where Asio has no words for it.
//
// Any thread.
#pragma once

#include <string>

#include "spillway/core/result.h"

namespace spillway::uplink {

/// So much may wait in the kernel without being sent. More would only stand before the next ping or
/// control message; less would let a fast link run dry between two writes.
inline constexpr int kUnsentBytesMax = 128 * 1024;

/// No delay of small messages, and few bytes that wait. Failure costs latency only: none is told.
void set_for_messages(int socket);
/// Closing it drops what is unsent and resets the connection.
void set_to_reset(int socket);
/// Before connecting: the socket leaves by this interface only. Where the kernel does not let us
/// (SO_BINDTODEVICE needs Linux 5.7 or CAP_NET_RAW), it is bound to the interface's address, which
/// does the same where the routes of that address do.
[[nodiscard]] core::Result<void> bind_to_interface(int socket, const std::string& interface,
                                                   bool is_ipv6);

}  // namespace spillway::uplink
