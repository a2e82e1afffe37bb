#include "uplink/consumer/sources/websocket_listener.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

#include "spillway/core/assert.h"
#include "spillway/core/log.h"
#include "uplink/link/websocket_connection.h"

namespace spillway::consumer {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;
using uplink::PlainStream;
using uplink::TlsStream;

constexpr std::uint32_t kUpgradeHeaderBytesMax = 8192;
constexpr std::chrono::milliseconds kAcceptPause{100};

constexpr bool is_tls(const PlainStream*) { return false; }
constexpr bool is_tls(const TlsStream*) { return true; }

/// (TLS handshake) -> read the upgrade request -> WebSocket handshake -> open
template <typename Stream>
class Server final : public uplink::WebSocketConnection<Stream> {
  using Base = uplink::WebSocketConnection<Stream>;

 public:
  template <typename... Arguments>
  Server(std::string peer, WebSocketListener::OnConnection on_connection,
         std::shared_ptr<std::size_t> open, Arguments&&... arguments)
      : Base({}, std::move(peer), std::forward<Arguments>(arguments)...),
        on_connection_(std::move(on_connection)),
        open_connections_(std::move(open)) {
    ++*open_connections_;
    request_.header_limit(kUpgradeHeaderBytesMax);
    request_.body_limit(0);
  }
  ~Server() override { --*open_connections_; }

  void start() {
    beast::get_lowest_layer(this->stream_).expires_after(uplink::kHandshakeTimeout);
    if constexpr (is_tls(static_cast<Stream*>(nullptr))) {
      this->stream_.next_layer().async_handshake(
          asio::ssl::stream_base::server,
          [this, self = this->shared_from_this()](error_code error) {
            if (error) return drop("TLS handshake", error);
            read_request();
          });
    } else {
      read_request();
    }
  }

 private:
  void read_request() {
    http::async_read(this->stream_.next_layer(), buffer_, request_,
                     [this, self = this->shared_from_this()](error_code error, std::size_t) {
                       if (error) return drop("upgrade request", error);
                       greet();
                     });
  }

  void greet() {
    const auto& request = request_.get();
    const auto offered = request[http::field::sec_websocket_protocol];
    if (!websocket::is_upgrade(request) ||
        !http::token_list(offered).exists(uplink::kSubprotocol)) {
      return refuse();
    }
    this->set_timeouts(beast::role_type::server);
    this->stream_.set_option(
        websocket::stream_base::decorator([](websocket::response_type& response) {
          response.set(http::field::sec_websocket_protocol, uplink::kSubprotocol);
        }));
    this->stream_.async_accept(request, [this, self = this->shared_from_this()](error_code error) {
      if (error) return drop("WebSocket handshake", error);
      this->set_handlers(on_connection_(this->shared_from_this()));
      this->opened();
    });
  }

  /// A browser or a probe: told in HTTP what stands here.
  void refuse() {
    spdlog::warn("{} asked for something else than {}: dropped", this->peer(),
                 uplink::kSubprotocol);
    response_.result(http::status::upgrade_required);
    response_.set(http::field::sec_websocket_protocol, uplink::kSubprotocol);
    response_.body() =
        "This is a Spillway consumer: connect by WebSocket with subprotocol spillway.v1.\n";
    response_.prepare_payload();
    http::async_write(
        this->stream_.next_layer(), response_,
        [this, self = this->shared_from_this()](error_code, std::size_t) { this->abort(); });
  }

  void drop(const char* step, const error_code& error) {
    spdlog::warn("{} dropped during its {}: {}", this->peer(), step, error.message());
    this->abort();
  }

  WebSocketListener::OnConnection on_connection_;
  std::shared_ptr<std::size_t> open_connections_;
  beast::flat_buffer buffer_;
  http::request_parser<http::string_body> request_;
  http::response<http::string_body> response_;
};

class Listener final : public WebSocketListener {
 public:
  Listener(asio::io_context& io, std::shared_ptr<uplink::TlsFiles> tls, OnConnection on_connection)
      : acceptor_(io), pause_(io), tls_(std::move(tls)), on_connection_(std::move(on_connection)) {}
  ~Listener() override { stop(); }

  error_code open(const tcp::endpoint& endpoint) {
    error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) accept();
    return error;
  }
  void stop() override {
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  }
  std::uint16_t port() const override {
    error_code ignored;
    return acceptor_.local_endpoint(ignored).port();
  }

 private:
  void accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) return accept_later(error);
      begin(std::move(socket));
      accept();
    });
  }

  /// Out of descriptors, most likely: the connections that stand must not suffer from a busy loop
  /// here.
  void accept_later(const error_code& error) {
    spdlog::warn("cannot accept a connection now: {}", error.message());
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](error_code cancelled) {
      if (!cancelled) accept();
    });
  }

  void begin(tcp::socket socket) {
    error_code error;
    const auto remote = socket.remote_endpoint(error);
    if (error || *open_connections_ >= kConnectionsMax) return;
    const std::string peer = remote.address().to_string() + ":" + std::to_string(remote.port());
    if (tls_ != nullptr) {
      std::make_shared<Server<TlsStream>>(peer, on_connection_, open_connections_,
                                          std::move(socket), *tls_->current())
          ->start();
    } else {
      std::make_shared<Server<PlainStream>>(peer, on_connection_, open_connections_,
                                            std::move(socket))
          ->start();
    }
  }

  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::shared_ptr<uplink::TlsFiles> tls_;
  OnConnection on_connection_;
  std::shared_ptr<std::size_t> open_connections_ = std::make_shared<std::size_t>(0);
};

}  // namespace

core::Result<std::unique_ptr<WebSocketListener>> listen_websocket(
    asio::io_context& io, const uplink::Endpoint& endpoint, std::shared_ptr<uplink::TlsFiles> tls,
    WebSocketListener::OnConnection on_connection) {
  SPILLWAY_ASSERT(endpoint.tls == (tls != nullptr));
  const std::string where = endpoint.host + ":" + std::to_string(endpoint.port);
  error_code error;
  const auto found = tcp::resolver(io).resolve(endpoint.host, std::to_string(endpoint.port), error);
  if (error) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      "cannot look up " + where + " to listen there: " + error.message());
  }
  auto listener = std::make_unique<Listener>(io, std::move(tls), std::move(on_connection));
  error = listener->open(found.begin()->endpoint());
  if (error == asio::error::address_in_use) {
    return core::fail(core::ErrorCode::kBusy, "cannot listen on " + where +
                                                  ": the port is in use; stop what uses it or set "
                                                  "another one in [consumer] listen");
  }
  if (error) return core::fail_errno(error.value(), "cannot listen on " + where);
  return std::unique_ptr<WebSocketListener>(std::move(listener));
}

}  // namespace spillway::consumer
