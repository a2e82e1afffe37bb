// An HTTP proxy for tests: takes CONNECT, asks for Basic authentication if told so, and carries bytes
// both ways.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <vector>

namespace spillway::uplink::test {

class ConnectProxy {
 public:
  explicit ConnectProxy(boost::asio::io_context& io);
  ~ConnectProxy() { stop(); }
  ConnectProxy(const ConnectProxy&) = delete;
  ConnectProxy& operator=(const ConnectProxy&) = delete;

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  /// "Basic ..." as it must come; empty: everybody may.
  void want_authorization(std::string value) { authorization_ = std::move(value); }
  /// Whatever is asked for is connected to this port of 127.0.0.1.
  void lead_to(std::uint16_t port) { to_port_ = port; }
  [[nodiscard]] const std::vector<std::string>& requests() const { return requests_; }
  void stop();

 private:
  struct Way;
  void accept();
  void answer(const std::shared_ptr<Way>& way);

  boost::asio::io_context& io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::string authorization_;
  std::uint16_t to_port_ = 0;
  std::vector<std::string> requests_;
  std::vector<std::weak_ptr<Way>> ways_;
};

}  // namespace spillway::uplink::test
