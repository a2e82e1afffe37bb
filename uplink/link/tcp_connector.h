// TcpConnector: from a LinkTarget to an open way to the consumer's port: looks the name up, tries its
// addresses one after the other, leaves by the interface asked for, and goes through the proxy.
//
//   look up -> connect (-> CONNECT to the proxy) -> done
//
// Threads: the io_context's. Lives in the connection whose socket it opens.
//
// Invariants:
//  1. `done` is called once, unless stop() comes first.
//  2. Of a proxy's answer not a byte is taken that belongs to the consumer, and at most
//     kAnswerBytesMax are read.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "spillway/core/result.h"
#include "uplink/link/link_target.h"
#include "uplink/link/socket.h"

namespace spillway::uplink {

class TcpConnector {
 public:
  using Done = std::function<void(const core::Result<void>&)>;

  static constexpr std::size_t kAddressesMax = 8;
  static constexpr std::size_t kAnswerBytesMax = 8192;
  /// An address that has others after it: a dead one must not cost the whole time.
  static constexpr std::chrono::milliseconds kFirstTries{4'000};

  /// All must outlive it.
  TcpConnector(asio::io_context& io, Socket& socket, const LinkTarget& target);

  /// `owner` is kept alive until `done`.
  void start(std::shared_ptr<void> owner, Done done);
  void stop();

 private:
  struct ProxyAnswer;

  void look_up();
  void try_next();
  [[nodiscard]] core::Result<void> open(const tcp::endpoint& endpoint);
  void connected();
  void ask_proxy();
  void read_proxy();
  void take_proxy_answer(std::size_t bytes);
  void give_up(std::string message);
  void finish(const core::Result<void>& outcome);
  void arm(std::chrono::milliseconds timeout, std::function<void()> on_timeout);

  Socket& socket_;
  const LinkTarget& target_;
  Resolver resolver_;
  Timer timer_;
  std::string host_;  // whom we connect to: the consumer, or its proxy
  std::uint16_t port_;
  std::string where_;  // the same, for messages
  std::vector<tcp::endpoint> addresses_;
  std::size_t next_ = 0;
  std::string last_error_;
  std::string request_;
  bool gave_credentials_ = false;
  std::array<char, kAnswerBytesMax> bytes_{};
  std::shared_ptr<ProxyAnswer> answer_;
  std::shared_ptr<void> owner_;
  Done done_;
};

}  // namespace spillway::uplink
