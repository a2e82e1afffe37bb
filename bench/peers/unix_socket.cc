// Unix sockets: a datagram is a record; a stream carries records of the size both sides know.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/harness/run_peer.h"

namespace spillway::bench {
namespace {

constexpr int kBufferBytes = 1 << 20;  // asked for; the kernel may give less

sockaddr_un address_of(const Setup& setup) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = setup.scratch + "/socket";
  if (path.size() >= sizeof address.sun_path) die("the scratch folder's name is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

int make_socket(int kind) {
  const int fd = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);
  if (fd < 0) die("cannot make a Unix socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kBufferBytes, sizeof kBufferBytes);
  return fd;
}

template <int kKind>
class SocketSender {
 public:
  explicit SocketSender(const Setup& setup) : fd_(make_socket(kKind)) {
    const sockaddr_un address = address_of(setup);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      die("cannot connect to the Unix socket");
    }
  }
  SocketSender(const SocketSender&) = delete;
  SocketSender& operator=(const SocketSender&) = delete;
  ~SocketSender() { close(fd_); }
  bool send(std::span<const std::byte> record) {
    const ssize_t sent = ::send(fd_, record.data(), record.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) return false;
    // A stream may take a part: the rest goes at once, blocking.
    const auto done = static_cast<std::size_t>(sent);
    if (done != record.size())
      ::send(fd_, record.data() + done, record.size() - done, MSG_NOSIGNAL);
    return true;
  }

 private:
  int fd_;
};

template <int kKind>
class SocketReceiver {
 public:
  explicit SocketReceiver(const Setup& setup) : fd_(make_socket(kKind)), buffer_(kBufferBytes) {
    const sockaddr_un address = address_of(setup);
    unlink(address.sun_path);
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      die("cannot bind the Unix socket");
    }
    record_bytes_ = setup.record_bytes;
    if (kKind == SOCK_STREAM && listen(fd_, 1) != 0) die("cannot listen on the Unix socket");
  }
  SocketReceiver(const SocketReceiver&) = delete;
  SocketReceiver& operator=(const SocketReceiver&) = delete;
  ~SocketReceiver() { close(fd_); }

  void meet() {
    if constexpr (kKind == SOCK_STREAM) {
      const int accepted = accept(fd_, nullptr, nullptr);
      if (accepted < 0) die("cannot accept on the Unix socket");
      close(fd_);
      fd_ = accepted;
    }
  }
  template <typename Visit>
  void receive(Visit&& visit) {
    const ssize_t got = recv(fd_, buffer_.data() + held_, buffer_.size() - held_, MSG_DONTWAIT);
    if (got <= 0) return;
    held_ += static_cast<std::size_t>(got);
    std::size_t at = 0;
    for (; held_ - at >= record_bytes_; at += record_bytes_) {
      visit(std::span<const std::byte>(buffer_.data() + at, record_bytes_));
    }
    held_ -= at;
    std::memmove(buffer_.data(), buffer_.data() + at, held_);
  }

 private:
  int fd_;
  std::vector<std::byte> buffer_;
  std::size_t record_bytes_ = 0;
  std::size_t held_ = 0;
};

struct UnixDatagram {
  static constexpr Facts kFacts{"unix-datagram",
                                "non-blocking, spinning consumer",
                                "weaker: what is queued is lost with either process",
                                1,
                                true,
                                60};
  using Sender = SocketSender<SOCK_DGRAM>;
  using Receiver = SocketReceiver<SOCK_DGRAM>;
};

struct UnixStream {
  static constexpr Facts kFacts{"unix-stream",
                                "non-blocking, spinning consumer",
                                "weaker: what is queued is lost with either process",
                                1,
                                true,
                                200};
  using Sender = SocketSender<SOCK_STREAM>;
  using Receiver = SocketReceiver<SOCK_STREAM>;
};

const bool kAdded[] = {add_peer<UnixDatagram>(), add_peer<UnixStream>()};

}  // namespace
}  // namespace spillway::bench
