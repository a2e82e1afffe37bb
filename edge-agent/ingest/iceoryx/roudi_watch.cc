#include "edge-agent/ingest/iceoryx/roudi_watch.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace spillway::agent::iceoryx {
namespace {

bool somebody_listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  const bool listens =
      ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  ::close(descriptor);
  return listens;
}

}  // namespace

std::optional<RoudiLife> look_for_roudi(const std::string& socket_path) {
  struct stat facts {};
  if (::stat(socket_path.c_str(), &facts) != 0 || !S_ISSOCK(facts.st_mode)) return std::nullopt;
  if (!somebody_listens(socket_path)) return std::nullopt;
  return RoudiLife{
      facts.st_dev, facts.st_ino,
      static_cast<std::int64_t>(facts.st_ctim.tv_sec) * 1'000'000'000 + facts.st_ctim.tv_nsec};
}

}  // namespace spillway::agent::iceoryx
