// The WebSocket fuzzer: raw bytes over the loopback into the real listener and into the real client: HTTP
// upgrades, frames, halves of both, in pieces. What it shows: no crash, no hang, no message over the limit,
// and that an end notices when its peer has gone.
//
// The first byte says which end is fuzzed. One thread; each input has an io_context of its own.
#include <netinet/in.h>
#include <openssl/evp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "tests/fuzz/program.h"
#include "tests/fuzz/promise.h"
#include "uplink/consumer/sources/websocket_listener.h"
#include "uplink/link/websocket.h"

namespace spillway::fuzz {
namespace {

using uplink::Bytes;

constexpr int kInstructionsMax = 60;
constexpr int kMessagesMax = 4096;
constexpr int kTurnsMax = 200;
/// How long an end may take to notice that its peer has gone.
constexpr std::chrono::seconds kNoticeMax{5};

/// A blocking socket of the enemy's that never waits.
class RawSocket {
 public:
  explicit RawSocket(int descriptor) : descriptor_(descriptor) {}
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;
  ~RawSocket() { reset(); }

  void send(std::span<const std::uint8_t> bytes) const {
    static_cast<void>(::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  }
  void send(const std::string& text) const {
    send(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  }
  [[nodiscard]] std::string receive() const {
    std::array<char, 4096> bytes{};
    const auto size = ::recv(descriptor_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    return size > 0 ? std::string(bytes.data(), static_cast<std::size_t>(size)) : std::string();
  }
  void finish() const { ::shutdown(descriptor_, SHUT_WR); }
  /// Leaves no port in TIME_WAIT: millions of inputs use up the ports.
  void reset() {
    if (descriptor_ < 0) return;
    const linger at_once{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(descriptor_);
    descriptor_ = -1;
  }

 private:
  int descriptor_;
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int connect_raw(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  check(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
        "the listener can be reached");
  return descriptor;
}

/// What RFC 6455 wants as the answer to a key.
std::string accept_of(const std::string& request) {
  constexpr std::string_view kHeader = "Sec-WebSocket-Key: ";
  const std::size_t at = request.find(kHeader);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + kHeader.size();
  const std::string text = request.substr(begin, request.find("\r\n", begin) - begin) +
                           "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  std::array<unsigned char, 64> encoded{};
  const int length = EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(size));
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(length)};
}

constexpr const char* kUpgrade =
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: spillway.v1\r\n\r\n";

class World {
 public:
  explicit World(Program program) : program_(program) {}

  void run() {
    if (program_.byte() % 2 == 0) {
      against_listener();
    } else {
      against_client();
    }
  }

 private:
  uplink::WebSocketHandlers handlers() {
    return {[this] { ++opened_; },
            [this](const Bytes& bytes) {
              check(opened_ == 1 && closed_ == 0, "messages come while the connection is open");
              check(bytes.size() <= uplink::kControlBytesMax, "no message is over the limit");
              check(++messages_ < kMessagesMax, "messages have an end");
              if (messages_ % 4 == 1 && socket_) socket_->send(bytes);
            },
            [] {},
            [this](const core::Error&) {
              check(++closed_ == 1, "a connection is closed once");
              socket_.reset();
            }};
  }

  void against_listener() {
    auto listener = consumer::listen_websocket(io_, {false, "127.0.0.1", 0, "/"}, nullptr,
                                               [this](std::shared_ptr<uplink::WebSocket> to) {
                                                 socket_ = std::move(to);
                                                 return handlers();
                                               });
    check(listener.has_value(), "a listener can listen");
    RawSocket enemy(connect_raw((*listener)->port()));
    if (program_.choice(8) != 0) enemy.send(kUpgrade);
    speak(enemy, true);
    enemy.reset();
    (*listener)->stop();
    check_notice();
    check(opened_ == closed_, "what was opened is closed");
  }

  void against_client() {
    const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    check(::bind(listening, reinterpret_cast<sockaddr*>(&address), size) == 0, "a free port");
    ::listen(listening, 1);
    ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size);
    uplink::LinkTarget target;
    target.endpoint.host = "127.0.0.1";
    target.endpoint.port = ntohs(address.sin_port);
    socket_ = uplink::connect_websocket(io_, std::move(target), handlers());
    // Until it is there: the name is looked up by a thread of Asio's.
    std::string request;
    std::optional<RawSocket> enemy;
    for (int i = 0; i < kTurnsMax && request.find("\r\n\r\n") == std::string::npos; ++i) {
      io_.run_one_for(std::chrono::milliseconds(50));
      if (!enemy) {
        const int accepted = ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted >= 0) enemy.emplace(accepted);
      } else {
        request += enemy->receive();
      }
    }
    ::close(listening);
    check(enemy.has_value(), "the client comes");
    if (program_.choice(8) != 0) enemy->send(answer(accept_of(request)));
    speak(*enemy, false);
    enemy->reset();
    check_notice();
    check(closed_ == 1, "the client notices that its peer has gone");
  }

  static std::string answer(const std::string& accept) {
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Protocol: spillway.v1\r\nSec-WebSocket-Accept: " +
           accept + "\r\n\r\n";
  }

  void speak(RawSocket& enemy, bool masked) {
    turn();
    for (int i = 0; i < kInstructionsMax && program_.more(); ++i) {
      switch (program_.choice(8)) {
        case 0:
          turn();
          break;
        case 1:
          if (socket_ && program_.choice(8) == 0) socket_->close();
          break;
        case 2:
          if (program_.choice(16) == 0) enemy.finish();
          break;
        case 3:
          enemy.send(program_.bytes(program_.byte()));
          break;
        case 4:
          static_cast<void>(enemy.receive());
          break;
        default:
          enemy.send(frame(masked));
      }
    }
    turn();
  }

  /// A frame that is mostly sound: RFC 6455, section 5.2.
  std::vector<std::uint8_t> frame(bool masked) {
    static constexpr std::array<std::uint8_t, 8> kFirst = {0x82, 0x82, 0x02, 0x80,
                                                           0x00, 0x81, 0x88, 0x89};
    std::vector<std::uint8_t> frame;
    const std::uint8_t kind = program_.byte();
    frame.push_back(kind < 240 ? kFirst[kind % kFirst.size()] : program_.byte());
    const std::uint32_t size = program_.choice(32) == 0 ? program_.u16() : program_.choice(40);
    const bool mask = masked != (program_.choice(32) == 0);
    const std::uint8_t flag = mask ? 0x80 : 0;
    if (size < 126) {
      frame.push_back(static_cast<std::uint8_t>(flag | size));
    } else {
      frame.push_back(static_cast<std::uint8_t>(flag | 126));
      frame.push_back(static_cast<std::uint8_t>(size >> 8));
      frame.push_back(static_cast<std::uint8_t>(size));
    }
    if (program_.choice(64) == 0) {  // a length that nobody should believe
      frame[1] = static_cast<std::uint8_t>(flag | 127);
      for (int i = 0; i < 8; ++i) frame.push_back(program_.byte());
    }
    if (mask) frame.insert(frame.end(), 4, 0);
    const auto payload = program_.bytes(size);
    frame.insert(frame.end(), payload.begin(), payload.end());
    // What the program has no bytes for is zeros.
    frame.resize(frame.size() + size - payload.size());
    return frame;
  }

  void turn() {
    for (int i = 0; i < kTurnsMax && io_.poll() != 0; ++i) {
    }
    io_.restart();
  }

  /// Nothing is left to do: no connection, no timer.
  void check_notice() {
    io_.restart();
    io_.run_for(kNoticeMax);
    check(io_.stopped(), "an end notices that its peer has gone");
  }

  Program program_;
  boost::asio::io_context io_;
  std::shared_ptr<uplink::WebSocket> socket_;
  int opened_ = 0;
  int closed_ = 0;
  int messages_ = 0;
};

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spdlog::set_level(spdlog::level::off);
  spillway::fuzz::World world{spillway::fuzz::Program(std::span(data, size))};
  world.run();
  return 0;
}
