// Server: the doors of the API: a Unix socket, and TCP with or without TLS.
//
// One thread, that of `io`. Beyond connections_max a connection is closed as soon as it has come.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>

#include "edge-agent/ingest/api/door.h"
#include "spillway/core/result.h"

namespace spillway::agent::api {

class Server {
 public:
  Server(boost::asio::io_context& io, Door& door) : io_(io), door_(door), pause_(io) {}

  /// Listens where the configuration says. kBusy: somebody else does.
  [[nodiscard]] core::Result<void> open();
  /// Takes no new connections.
  void close();
  /// 0 without TCP.
  [[nodiscard]] std::uint16_t port() const;

 private:
  using Tcp = boost::asio::ip::tcp;
  using Local = boost::asio::local::stream_protocol;

  [[nodiscard]] core::Result<void> open_socket();
  [[nodiscard]] core::Result<void> open_tcp();
  [[nodiscard]] core::Result<void> load_tls();
  template <typename Acceptor>
  void accept(Acceptor& acceptor, bool secure);

  boost::asio::io_context& io_;
  Door& door_;
  boost::asio::steady_timer pause_;  // after an accept that failed: no descriptors are left
  std::optional<boost::asio::ssl::context> tls_;
  std::optional<Tcp::acceptor> tcp_;
  std::optional<Local::acceptor> local_;
  std::string socket_path_;
};

}  // namespace spillway::agent::api
