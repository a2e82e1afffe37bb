// ServiceNotifier: tells systemd "ready", "stopping" and "alive", by the plain datagram that its
// protocol is.
//
// One thread. Without $NOTIFY_SOCKET every call does nothing.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace spillway::core {

class ServiceNotifier {
 public:
  ServiceNotifier();
  ~ServiceNotifier();
  ServiceNotifier(const ServiceNotifier&) = delete;
  ServiceNotifier& operator=(const ServiceNotifier&) = delete;

  void ready() { send("READY=1"); }
  void stopping() { send("STOPPING=1"); }
  /// Somebody waits for alive().
  [[nodiscard]] bool watched() const { return watchdog_ns_ != 0; }
  /// Sends WATCHDOG=1 when half of $WATCHDOG_USEC has passed since the last.
  void alive(std::uint64_t now_ns);

 private:
  void send(std::string_view text) const;

  int socket_ = -1;
  sockaddr_un address_{};
  socklen_t address_size_ = 0;
  std::uint64_t watchdog_ns_ = 0;
  std::uint64_t alive_at_ns_ = 0;
};

}  // namespace spillway::core
