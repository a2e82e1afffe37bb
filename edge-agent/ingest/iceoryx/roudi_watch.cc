#include "edge-agent/ingest/iceoryx/roudi_watch.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace spillway::agent::iceoryx {
namespace {

/// A socket to who listens there; -1: nobody.
int connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return -1;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return descriptor;
  }
  ::close(descriptor);
  return -1;
}

}  // namespace

RoudiLook look_for_roudi(const std::string& socket_path) {
  RoudiLook look;
  struct stat facts {};
  if (::stat(socket_path.c_str(), &facts) != 0 || !S_ISSOCK(facts.st_mode)) return look;
  const int descriptor = connect_to(socket_path);
  if (descriptor < 0) return look;
  pollfd room{descriptor, POLLOUT, 0};
  look.answers = ::poll(&room, 1, 0) == 1;
  ::close(descriptor);
  look.life = RoudiLife{
      facts.st_dev, facts.st_ino,
      static_cast<std::int64_t>(facts.st_ctim.tv_sec) * 1'000'000'000 + facts.st_ctim.tv_nsec};
  return look;
}

}  // namespace spillway::agent::iceoryx
