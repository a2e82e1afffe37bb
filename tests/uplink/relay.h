// A TCP relay on loopback that can cut its connections, and refuse new ones, whenever the test says
// so.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace spillway::uplink::test {

class Relay {
 public:
  explicit Relay(std::uint16_t to_port);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// Every connection is cut (reset) after it has carried this many bytes; 0 = never.
  void cut_after(std::uint64_t bytes) { cut_after_ = bytes; }
  [[nodiscard]] std::uint64_t cuts() const { return cuts_; }

 private:
  void accept_loop();
  void carry(int near, int far);

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::uint16_t to_port_;
  std::atomic<std::uint64_t> cut_after_{0};
  std::atomic<std::uint64_t> cuts_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<std::thread> carriers_;
  std::thread acceptor_;
};

/// A server that answers every connection with the same bytes and closes it.
class RubbishServer {
 public:
  explicit RubbishServer(std::string answer);
  ~RubbishServer();
  RubbishServer(const RubbishServer&) = delete;
  RubbishServer& operator=(const RubbishServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint64_t answered() const { return answered_; }

 private:
  void serve();

  std::string answer_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<std::uint64_t> answered_{0};
  std::atomic<bool> stopping_{false};
  std::thread server_;
};

/// Connects, sends these bytes, and returns what comes back until the far end closes (or 5 s pass).
[[nodiscard]] std::string send_rubbish(std::uint16_t port, const std::string& bytes);

}  // namespace spillway::uplink::test
