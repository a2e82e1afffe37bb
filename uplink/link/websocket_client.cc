#include "spillway/core/assert.h"
#include "uplink/link/proxy.h"
#include "uplink/link/tcp_connector.h"
#include "uplink/link/websocket_connection.h"

namespace spillway::uplink {

namespace {

namespace http = boost::beast::http;

std::string text_of(beast::string_view text) { return {text.data(), text.size()}; }

bool is_of(const error_code& error, http::error one_of_its_kind) {
  return error.category() == http::make_error_code(one_of_its_kind).category();
}

/// connect (through the proxy) -> (TLS handshake) -> WebSocket handshake -> open
template <typename Stream>
class Client final : public WebSocketConnection<Stream> {
  using Base = WebSocketConnection<Stream>;

 public:
  template <typename... Arguments>
  Client(asio::io_context& io, LinkTarget target, WebSocketHandlers handlers,
         Arguments&&... arguments)
      : Base(io, std::move(handlers), authority_of(target.endpoint.host, target.endpoint.port),
             std::forward<Arguments>(arguments)...),
        target_(std::move(target)),
        connector_(io, this->socket(), target_) {
    this->facts_.role = TlsRole::kClient;
    this->facts_.host = target_.endpoint.host;
    this->facts_.known_utc_ns = target_.known_utc_ns;
    if (target_.tls) this->facts_.config = &target_.tls->config();
  }

  void start() {
    connector_.start(this->shared_from_this(), [this](const core::Result<void>& outcome) {
      if (this->is_finished()) return;
      if (!outcome) return this->finish(outcome.error());
      this->watch(target_.timeouts.silence);
      secure();
    });
  }

  void abort() override {
    connector_.stop();
    Base::abort();
  }

 private:
  void secure() {
    if constexpr (kIsTls<Stream>) {
      if (!this->prepare_tls()) {
        return this->fail("naming the host to " + this->peer(), asio::error::invalid_argument);
      }
      this->stream_.next_layer().async_handshake(
          asio::ssl::stream_base::client,
          [this, self = this->shared_from_this()](error_code error) {
            if (error) return this->fail("TLS with " + this->peer(), error);
            this->tls_is_up();
            greet();
          });
    } else {
      greet();
    }
  }

  void greet() {
    this->set_options();
    this->stream_.set_option(websocket::stream_base::decorator(
        [ping_ms = target_.timeouts.ping.count()](websocket::request_type& request) {
          request.set(http::field::sec_websocket_protocol, kSubprotocol);
          request.set({kPingField.data(), kPingField.size()}, std::to_string(ping_ms));
        }));
    this->stream_.async_handshake(response_, this->peer(), target_.endpoint.path,
                                  [this, self = this->shared_from_this()](error_code error) {
                                    if (error) return explain(error);
                                    check_protocol();
                                  });
  }

  void explain(const error_code& error) {
    if (error == websocket::error::upgrade_declined) {
      const HttpAnswer answer{response_.result_int(), text_of(response_.reason()),
                              text_of(response_[http::field::location]),
                              text_of(response_[http::field::content_type]), ""};
      return this->finish(explain_upgrade(answer, this->peer(), kIsTls<Stream>));
    }
    const bool closed = error == http::error::end_of_stream || error == asio::error::eof;
    if (closed && !kIsTls<Stream>) {
      return this->finish({core::ErrorCode::kUnavailable,
                           this->peer() + " closed the connection instead of answering: its log "
                                          "says why; if its port speaks TLS, write wss://"});
    }
    if (is_of(error, http::error::end_of_stream) && !closed) {
      const bool endless = error == http::error::header_limit || error == http::error::body_limit;
      return this->finish(
          {core::ErrorCode::kUnavailable,
           this->peer() + (endless ? " answers without end where a consumer would upgrade to "
                                     "WebSocket; look at host, port and path of the url"
                                   : " does not answer in HTTP (" + error.message() +
                                         "): no consumer; if its port speaks TLS, write wss://")});
    }
    this->fail("WebSocket handshake with " + this->peer(), error);
  }

  void check_protocol() {
    if (response_[http::field::sec_websocket_protocol] != kSubprotocol) {
      return this->finish({core::ErrorCode::kProtocol,
                           this->peer() + " is a WebSocket server but no Spillway consumer"});
    }
    this->opened(target_.timeouts.ping);
  }

  const LinkTarget target_;
  TcpConnector connector_;
  websocket::response_type response_;
};

template <typename Stream, typename... Arguments>
std::shared_ptr<WebSocket> start_client(Arguments&&... arguments) {
  auto client = std::make_shared<Client<Stream>>(std::forward<Arguments>(arguments)...);
  client->start();
  return client;
}

}  // namespace

std::shared_ptr<WebSocket> connect_websocket(asio::io_context& io, LinkTarget target,
                                             WebSocketHandlers handlers) {
  SPILLWAY_ASSERT(target.endpoint.tls == (target.tls != nullptr));
  if (target.tls == nullptr) {
    return start_client<PlainStream>(io, std::move(target), std::move(handlers), io);
  }
  const TlsContext tls = target.tls->current();
  return start_client<TlsStream>(io, std::move(target), std::move(handlers), io, *tls);
}

}  // namespace spillway::uplink
