#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>

#include "spillway/core/assert.h"
#include "uplink/link/websocket_connection.h"

namespace spillway::uplink {

namespace {

using asio::ip::tcp;

constexpr std::chrono::seconds kConnectTimeout{10};
constexpr bool is_tls(const PlainStream*) { return false; }
constexpr bool is_tls(const TlsStream*) { return true; }

/// resolve -> connect -> (TLS handshake) -> WebSocket handshake -> open
template <typename Stream>
class Client final : public WebSocketConnection<Stream> {
  using Base = WebSocketConnection<Stream>;

 public:
  template <typename... Arguments>
  Client(asio::io_context& io, LinkTarget target, WebSocketHandlers handlers,
         Arguments&&... arguments)
      : Base(std::move(handlers), target.endpoint.host + ":" + std::to_string(target.endpoint.port),
             std::forward<Arguments>(arguments)...),
        endpoint_(target.endpoint),
        resolver_(io),
        resolve_timer_(io) {}

  void start() {
    resolve_timer_.expires_after(kConnectTimeout);
    resolve_timer_.async_wait([this, self = this->shared_from_this()](error_code error) {
      if (!error && !resolved_) this->fail("looking up " + endpoint_.host, asio::error::timed_out);
    });
    resolver_.async_resolve(
        endpoint_.host, std::to_string(endpoint_.port),
        [this, self = this->shared_from_this()](error_code error, const auto& found) {
          resolved_ = true;
          resolve_timer_.cancel();
          if (error) return this->fail("looking up " + endpoint_.host, error);
          if (!this->finished_) connect(found);
        });
  }

 private:
  void connect(const tcp::resolver::results_type& found) {
    auto& socket = beast::get_lowest_layer(this->stream_);
    socket.expires_after(kConnectTimeout);
    socket.async_connect(found,
                         [this, self = this->shared_from_this()](error_code error, const auto&) {
                           if (error) return this->fail("connecting to " + this->peer(), error);
                           secure();
                         });
  }

  void secure() {
    if constexpr (is_tls(static_cast<Stream*>(nullptr))) {
      auto& tls = this->stream_.next_layer();
      if (SSL_set_tlsext_host_name(tls.native_handle(), endpoint_.host.c_str()) != 1) {
        return this->fail("naming the host to " + this->peer(), asio::error::invalid_argument);
      }
      tls.set_verify_callback(asio::ssl::host_name_verification(endpoint_.host));
      beast::get_lowest_layer(this->stream_).expires_after(kHandshakeTimeout);
      tls.async_handshake(asio::ssl::stream_base::client,
                          [this, self = this->shared_from_this()](error_code error) {
                            if (error) return this->fail("TLS with " + this->peer(), error);
                            greet();
                          });
    } else {
      greet();
    }
  }

  void greet() {
    this->set_timeouts(beast::role_type::client);
    this->stream_.set_option(
        websocket::stream_base::decorator([](websocket::request_type& request) {
          request.set(beast::http::field::sec_websocket_protocol, kSubprotocol);
        }));
    const std::string host = endpoint_.host.find(':') == std::string::npos
                                 ? this->peer()
                                 : "[" + endpoint_.host + "]:" + std::to_string(endpoint_.port);
    this->stream_.async_handshake(
        response_, host, endpoint_.path, [this, self = this->shared_from_this()](error_code error) {
          if (error) return this->fail("WebSocket handshake with " + this->peer(), error);
          check_protocol();
        });
  }

  void check_protocol() {
    if (response_[beast::http::field::sec_websocket_protocol] != kSubprotocol) {
      return this->finish({core::ErrorCode::kProtocol,
                           this->peer() + " is a WebSocket server but no Spillway consumer"});
    }
    this->opened();
  }

  Endpoint endpoint_;
  tcp::resolver resolver_;
  asio::steady_timer resolve_timer_;
  websocket::response_type response_;
  bool resolved_ = false;
};

}  // namespace

std::shared_ptr<WebSocket> connect_websocket(asio::io_context& io, LinkTarget target,
                                             WebSocketHandlers handlers) {
  SPILLWAY_ASSERT(target.endpoint.tls == (target.tls != nullptr));
  if (target.tls != nullptr) {
    const TlsContext tls = target.tls->current();
    auto client =
        std::make_shared<Client<TlsStream>>(io, std::move(target), std::move(handlers), io, *tls);
    client->start();
    return client;
  }
  auto client =
      std::make_shared<Client<PlainStream>>(io, std::move(target), std::move(handlers), io);
  client->start();
  return client;
}

}  // namespace spillway::uplink
