#include "uplink/connect_proxy.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

namespace spillway::uplink::test {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

struct ConnectProxy::Way : std::enable_shared_from_this<ConnectProxy::Way> {
  explicit Way(asio::io_context& io) : near(io), far(io) {}
  void carry(tcp::socket& from, tcp::socket& to, std::array<char, 65536>& buffer) {
    from.async_read_some(asio::buffer(buffer), [this, self = shared_from_this(), &from, &to,
                                                &buffer](error_code error, std::size_t bytes) {
      if (error) return close();
      asio::async_write(to, asio::buffer(buffer, bytes),
                        [this, self, &from, &to, &buffer](error_code failed, std::size_t) {
                          if (failed) return close();
                          carry(from, to, buffer);
                        });
    });
  }
  void close() {
    error_code ignored;
    near.close(ignored);
    far.close(ignored);
  }
  tcp::socket near;
  tcp::socket far;
  std::string request;
  std::string reply;
  std::array<char, 65536> up{};
  std::array<char, 65536> down{};
};

ConnectProxy::ConnectProxy(asio::io_context& io)
    : io_(io), acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
  accept();
}

void ConnectProxy::stop() {
  error_code ignored;
  acceptor_.close(ignored);
  for (const auto& weak : ways_) {
    if (const auto way = weak.lock()) way->close();
  }
}

void ConnectProxy::accept() {
  auto way = std::make_shared<Way>(io_);
  acceptor_.async_accept(way->near, [this, way](error_code error) {
    if (error) return;
    ways_.push_back(way);
    asio::async_read_until(way->near, asio::dynamic_buffer(way->request), "\r\n\r\n",
                           [this, way](error_code failed, std::size_t) {
                             if (!failed) answer(way);
                           });
    accept();
  });
}

void ConnectProxy::answer(const std::shared_ptr<Way>& way) {
  requests_.push_back(way->request);
  const bool allowed =
      authorization_.empty() ||
      way->request.find("Proxy-Authorization: " + authorization_ + "\r\n") != std::string::npos;
  error_code error;
  if (allowed) way->far.connect({asio::ip::address_v4::loopback(), to_port_}, error);
  way->reply = !allowed ? "HTTP/1.1 407 Proxy Authentication Required\r\n"
                          "Proxy-Authenticate: Basic realm=\"site\"\r\nContent-Length: 0\r\n\r\n"
               : error  ? "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
                        : "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";
  const bool open = allowed && !error;
  asio::async_write(way->near, asio::buffer(way->reply), [way, open](error_code, std::size_t) {
    if (!open) return way->close();
    way->carry(way->near, way->far, way->up);
    way->carry(way->far, way->near, way->down);
  });
}

}  // namespace spillway::uplink::test
