#include "uplink/relay.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace spillway::uplink::test {

namespace {

constexpr int kPollMs = 20;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

bool send_all(int socket, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(socket, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

void reset(int socket) {
  const linger hard{1, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  ::close(socket);
}

int listen_somewhere(std::uint16_t& port) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  ::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  ::listen(listener, 16);
  socklen_t size = sizeof(address);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.sin_port);
  return listener;
}

}  // namespace

Relay::Relay(std::uint16_t to_port) : to_port_(to_port) {
  listener_ = listen_somewhere(port_);
  acceptor_ = std::thread([this] { accept_loop(); });
}

Relay::~Relay() {
  stopping_ = true;
  acceptor_.join();
  for (std::thread& carrier : carriers_) carrier.join();
  ::close(listener_);
}

void Relay::accept_loop() {
  while (!stopping_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (::poll(&waiting, 1, kPollMs) <= 0) continue;
    const int near = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const int far = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(to_port_);
    if (::connect(far, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      reset(near);
      ::close(far);
      continue;
    }
    carriers_.emplace_back([this, near, far] { carry(near, far); });
  }
}

void Relay::carry(int near, int far) {
  std::array<char, 4096> buffer;
  std::array<pollfd, 2> ends{{{near, POLLIN, 0}, {far, POLLIN, 0}}};
  std::uint64_t carried = 0;
  bool going = true;
  while (going && !stopping_) {
    ::poll(ends.data(), ends.size(), kPollMs);
    for (std::size_t i = 0; i < ends.size() && going; ++i) {
      if (ends[i].revents == 0) continue;
      const ssize_t size = ::recv(ends[i].fd, buffer.data(), buffer.size(), 0);
      going = size > 0 && send_all(ends[1 - i].fd, buffer.data(), static_cast<std::size_t>(size));
      carried += size > 0 ? static_cast<std::uint64_t>(size) : 0;
      const std::uint64_t limit = cut_after_;
      if (limit != 0 && carried > limit) {
        going = false;
        ++cuts_;
      }
    }
  }
  reset(near);
  reset(far);
}

RubbishServer::RubbishServer(std::string answer) : answer_(std::move(answer)) {
  listener_ = listen_somewhere(port_);
  server_ = std::thread([this] { serve(); });
}

RubbishServer::~RubbishServer() {
  stopping_ = true;
  server_.join();
  ::close(listener_);
}

void RubbishServer::serve() {
  while (!stopping_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (::poll(&waiting, 1, kPollMs) <= 0) continue;
    const int peer = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    std::array<char, 4096> request;
    static_cast<void>(::recv(peer, request.data(), request.size(), 0));
    static_cast<void>(send_all(peer, answer_.data(), answer_.size()));
    ::close(peer);
    ++answered_;
  }
}

std::string send_rubbish(std::uint16_t port, const std::string& bytes) {
  constexpr int kAnswerTimeoutMs = 5000;
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  std::string answer;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
      send_all(socket, bytes.data(), bytes.size())) {
    ::shutdown(socket, SHUT_WR);
    std::array<char, 4096> buffer;
    pollfd waiting{socket, POLLIN, 0};
    while (::poll(&waiting, 1, kAnswerTimeoutMs) > 0) {
      const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
      if (size <= 0) break;
      answer.append(buffer.data(), static_cast<std::size_t>(size));
    }
  }
  ::close(socket);
  return answer;
}

}  // namespace spillway::uplink::test
