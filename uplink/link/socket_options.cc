#include "uplink/link/socket_options.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

namespace spillway::uplink {

using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

Result<void> bind_to_address_of(int socket, const std::string& interface, int family) {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) {
    return core::fail_errno(errno, "cannot look up the address of interface " + interface);
  }
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> guard(all, &::freeifaddrs);
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != family || interface != at->ifa_name)
      continue;
    const socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    if (::bind(socket, at->ifa_addr, size) == 0) return {};
  }
  return fail(ErrorCode::kUnavailable, "interface " + interface + " has no " +
                                           (family == AF_INET6 ? "IPv6" : "IPv4") +
                                           " address to leave from now");
}

}  // namespace

void set_for_messages(int socket) {
  const int on = 1;
  static_cast<void>(::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
  static_cast<void>(::setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytesMax,
                                 sizeof(kUnsentBytesMax)));
}

void set_to_reset(int socket) {
  const linger none{1, 0};
  static_cast<void>(::setsockopt(socket, SOL_SOCKET, SO_LINGER, &none, sizeof(none)));
}

Result<void> bind_to_interface(int socket, const std::string& interface, bool is_ipv6) {
  if (::if_nametoindex(interface.c_str()) == 0) {
    return fail(ErrorCode::kUnavailable, "there is no network interface " + interface + " now");
  }
  if (::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(),
                   static_cast<socklen_t>(interface.size())) == 0) {
    return {};
  }
  if (errno != EPERM) return core::fail_errno(errno, "cannot leave by interface " + interface);
  return bind_to_address_of(socket, interface, is_ipv6 ? AF_INET6 : AF_INET);
}

}  // namespace spillway::uplink
