#include "spillway/core/service_notifier.h"

#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace spillway::core {

ServiceNotifier::ServiceNotifier() {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr) return;
  const std::size_t size = std::strlen(name);
  if (size < 2 || size >= sizeof(address_.sun_path)) return;
  if (name[0] != '/' && name[0] != '@') return;
  address_.sun_family = AF_UNIX;
  std::memcpy(address_.sun_path, name, size);
  if (name[0] == '@') address_.sun_path[0] = '\0';  // an abstract name
  address_size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (const char* usec = std::getenv("WATCHDOG_USEC"); usec != nullptr) {
    watchdog_ns_ = std::strtoull(usec, nullptr, 10) * 1000 / 2;
  }
}

ServiceNotifier::~ServiceNotifier() {
  if (socket_ >= 0) ::close(socket_);
}

void ServiceNotifier::alive(std::uint64_t now_ns) {
  if (watchdog_ns_ == 0 || now_ns < alive_at_ns_) return;
  alive_at_ns_ = now_ns + watchdog_ns_;
  send("WATCHDOG=1");
}

void ServiceNotifier::send(std::string_view text) const {
  if (socket_ < 0) return;
  // Nobody listening is no error: the service manager may have gone.
  static_cast<void>(::sendto(socket_, text.data(), text.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address_), address_size_));
}

}  // namespace spillway::core
