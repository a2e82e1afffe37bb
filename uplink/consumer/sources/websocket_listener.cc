#include "uplink/consumer/sources/websocket_listener.h"

#include <algorithm>
#include <array>
#include <boost/asio/write.hpp>
#include <charconv>
#include <map>

#include "spillway/core/assert.h"
#include "spillway/core/log.h"
#include "uplink/consumer/sources/handshake_queue.h"
#include "uplink/link/proxy.h"
#include "uplink/link/websocket_connection.h"

namespace spillway::consumer {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;
using std::chrono::milliseconds;
using uplink::Socket;
using uplink::tcp;

constexpr std::uint32_t kUpgradeHeaderBytesMax = 8192;
constexpr milliseconds kAcceptPause{100};
/// While hands are shaken, neither a byte comes nor is one acknowledged.
constexpr milliseconds kSilenceMax{10'000};
/// From the first byte to the first whole message: a slow link gets its time, who trickles bytes to
/// hold a place does not.
constexpr milliseconds kProveMax{60'000};
/// Asks for a sign of life so much later than the gateway would, so that usually nobody has to.
constexpr milliseconds kPingDefault{10'000};
constexpr milliseconds kPingMin{6'000};
constexpr milliseconds kPingMax{900'000};
/// What a peer that is refused may still send before it has read why.
constexpr std::size_t kLingerBytesMax = 64U * 1024;
constexpr char kTlsHandshakeRecord = 0x16;

/// What all connections of a listener share.
struct Door {
  std::size_t open = 0;
  HandshakeQueue unproven{WebSocketListener::kUnprovenMax};
  std::map<std::uint64_t, std::weak_ptr<uplink::WebSocket>> by_id;
  std::uint64_t next_id = 0;
};

/// (TLS handshake) -> read the upgrade request -> WebSocket handshake -> open -> first message
template <typename Stream>
class Server final : public uplink::WebSocketConnection<Stream> {
  using Base = uplink::WebSocketConnection<Stream>;

 public:
  template <typename... Arguments>
  Server(asio::io_context& io, std::string peer, WebSocketListener::OnConnection on_connection,
         std::shared_ptr<Door> door, std::shared_ptr<uplink::TlsFiles> tls,
         Arguments&&... arguments)
      : Base(io, {}, std::move(peer), std::forward<Arguments>(arguments)...),
        on_connection_(std::move(on_connection)),
        door_(std::move(door)),
        id_(door_->next_id++),
        tls_(std::move(tls)),
        prove_timer_(io) {
    ++door_->open;
    request_.header_limit(kUpgradeHeaderBytesMax);
    request_.body_limit(0);
    this->facts_.role = uplink::TlsRole::kServer;
    if (tls_ != nullptr) this->facts_.config = &tls_->config();
  }
  ~Server() override {
    --door_->open;
    leave_queue();
  }

  void start(const std::string& address) {
    // For an end that nothing below sees: silence.
    this->set_handlers({[] {}, [](const uplink::Bytes&) {}, [] {},
                        [peer = this->peer()](const core::Error& error) {
                          spdlog::warn("{} dropped during its handshakes: {}", peer, error.message);
                        }});
    enter_queue(address);
    this->watch(kSilenceMax);
    prove_timer_.expires_after(kProveMax);
    prove_timer_.async_wait([weak = this->weak_from_this()](const error_code& cancelled) {
      const auto self = std::static_pointer_cast<Server>(weak.lock());
      if (!cancelled && self) self->drop("handshakes", "they took too long");
    });
    peek();
  }

 private:
  void enter_queue(const std::string& address) {
    door_->by_id[id_] = this->weak_from_this();
    const auto gone = door_->unproven.add(id_, address);
    if (!gone) return;
    const auto found = door_->by_id.find(*gone);
    if (found == door_->by_id.end()) return;
    if (const auto connection = found->second.lock()) {
      spdlog::warn("{} dropped: too many connections say nothing", connection->peer());
      connection->abort();
    }
  }

  void leave_queue() {
    door_->unproven.remove(id_);
    door_->by_id.erase(id_);
  }

  void proved() override {
    leave_queue();
    prove_timer_.cancel();
  }
  void ended() override { proved(); }

  /// Whether the peer speaks TLS is seen by its first byte, and each mistake gets an answer that the
  /// peer's log can tell.
  void peek() {
    this->socket().async_wait(
        Socket::wait_read, [this, self = this->shared_from_this()](const error_code& error) {
          if (error || this->is_finished()) return drop("first byte", error);
          char first = 0;
          error_code none;
          const std::size_t size =
              this->socket().receive(asio::buffer(&first, 1), Socket::message_peek, none);
          const bool speaks_tls = first == kTlsHandshakeRecord;
          if (size == 1 && speaks_tls != uplink::kIsTls<Stream>) return refuse_kind(speaks_tls);
          secure();
        });
  }

  void refuse_kind(bool speaks_tls) {
    const std::string text = speaks_tls ? "This port is without TLS: connect by ws://.\n"
                                        : "This port speaks TLS: connect by wss://.\n";
    spdlog::warn("{} {}: dropped", this->peer(),
                 speaks_tls
                     ? "speaks TLS on a port without; its url must begin with ws://"
                     : "does not speak TLS on a port with it; its url must begin with wss://");
    plain_answer_ =
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
        "Content-Length: " +
        std::to_string(text.size()) + "\r\n\r\n" + text;
    asio::async_write(
        this->socket(), asio::buffer(plain_answer_),
        [this, self = this->shared_from_this()](const error_code&, std::size_t) { linger(); });
  }

  void secure() {
    if constexpr (uplink::kIsTls<Stream>) {
      if (!this->prepare_tls()) return drop("TLS handshake", "OpenSSL takes no time to check by");
      this->stream_.next_layer().async_handshake(
          asio::ssl::stream_base::server,
          [this, self = this->shared_from_this()](error_code error) {
            if (error) return refuse_tls(error);
            this->tls_is_up();
            read_request();
          });
    } else {
      read_request();
    }
  }

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
    this->set_options();
    this->stream_.set_option(
        websocket::stream_base::decorator([](websocket::response_type& response) {
          response.set(http::field::sec_websocket_protocol, uplink::kSubprotocol);
        }));
    this->stream_.async_accept(request, [this, self = this->shared_from_this()](error_code error) {
      if (error) return drop("WebSocket handshake", error);
      if (this->is_finished()) return;
      is_handed_over_ = true;
      this->set_handlers(on_connection_(this->shared_from_this()));
      this->opened(ping_after());
    });
  }

  [[nodiscard]] milliseconds ping_after() const {
    const auto field = request_.get()[{uplink::kPingField.data(), uplink::kPingField.size()}];
    std::uint32_t ms = 0;
    const auto parsed = std::from_chars(field.data(), field.data() + field.size(), ms);
    if (field.empty() || parsed.ec != std::errc{}) return kPingDefault;
    return std::clamp(milliseconds(ms) + milliseconds(ms) / 2, kPingMin, kPingMax);
  }

  /// A browser or a probe: told in HTTP what stands here.
  void refuse() {
    spdlog::warn("{} asked for something else than {}: dropped", this->peer(),
                 uplink::kSubprotocol);
    response_.result(http::status::upgrade_required);
    response_.set(http::field::sec_websocket_protocol, uplink::kSubprotocol);
    response_.keep_alive(false);
    response_.body() =
        "This is a Spillway consumer: connect by WebSocket with subprotocol spillway.v1.\n";
    response_.prepare_payload();
    http::async_write(
        this->stream_.next_layer(), response_,
        [this, self = this->shared_from_this()](error_code, std::size_t) { linger(); });
  }

  /// OpenSSL has sent the reason already, as an alert.
  void refuse_tls(const error_code& error) {
    spdlog::warn("{} dropped during its TLS handshake: {}", this->peer(), this->words_of(error));
    linger();
  }

  /// A connection that is closed with bytes unread is reset, and takes the answer with it before the
  /// peer has read it: so its end is waited for. Silence and kProveMax bound that.
  void linger() {
    this->set_handlers({});
    error_code ignored;
    this->socket().shutdown(Socket::shutdown_send, ignored);
    drain();
  }
  void drain() {
    this->socket().async_read_some(
        asio::buffer(drained_),
        [this, self = this->shared_from_this()](const error_code& error, std::size_t bytes) {
          drained_bytes_ += bytes;
          if (error || drained_bytes_ > kLingerBytesMax) return this->abort();
          drain();
        });
  }

  void drop(const char* step, const error_code& error) { drop(step, this->words_of(error)); }
  void drop(const char* step, const std::string& why) {
    if (this->is_finished()) return;
    spdlog::warn("{} dropped during its {}: {}", this->peer(), step, why);
    if (!is_handed_over_) this->set_handlers({});
    this->abort();
  }

  WebSocketListener::OnConnection on_connection_;
  std::shared_ptr<Door> door_;
  std::uint64_t id_;
  std::shared_ptr<uplink::TlsFiles> tls_;
  uplink::Timer prove_timer_;
  beast::flat_buffer buffer_{kUpgradeHeaderBytesMax * 2};
  http::request_parser<http::string_body> request_;
  http::response<http::string_body> response_;
  bool is_handed_over_ = false;  // its owner hears of its end
  std::string plain_answer_;
  std::array<char, 1024> drained_{};
  std::size_t drained_bytes_ = 0;
};

class Listener final : public WebSocketListener {
 public:
  Listener(asio::io_context& io, std::shared_ptr<uplink::TlsFiles> tls, OnConnection on_connection)
      : io_(io),
        acceptor_(io),
        pause_(io),
        tls_(std::move(tls)),
        on_connection_(std::move(on_connection)) {}
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
    acceptor_.async_accept([this](error_code error, Socket socket) {
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

  void begin(Socket socket) {
    error_code error;
    const auto remote = socket.remote_endpoint(error);
    if (error || door_->open >= kConnectionsMax) return;
    const std::string address = remote.address().to_string();
    const std::string peer = uplink::authority_of(address, remote.port());
    if (tls_ != nullptr) {
      const uplink::TlsContext context = tls_->current();
      std::make_shared<Server<uplink::TlsStream>>(io_, peer, on_connection_, door_, tls_,
                                                  std::move(socket), *context)
          ->start(address);
    } else {
      std::make_shared<Server<uplink::PlainStream>>(io_, peer, on_connection_, door_, nullptr,
                                                    std::move(socket))
          ->start(address);
    }
  }

  asio::io_context& io_;
  uplink::Acceptor acceptor_;
  uplink::Timer pause_;
  std::shared_ptr<uplink::TlsFiles> tls_;
  OnConnection on_connection_;
  std::shared_ptr<Door> door_ = std::make_shared<Door>();
};

}  // namespace

core::Result<std::unique_ptr<WebSocketListener>> listen_websocket(
    asio::io_context& io, const uplink::Endpoint& endpoint, std::shared_ptr<uplink::TlsFiles> tls,
    WebSocketListener::OnConnection on_connection) {
  SPILLWAY_ASSERT(endpoint.tls == (tls != nullptr));
  const std::string where = endpoint.host + ":" + std::to_string(endpoint.port);
  error_code error;
  const auto found =
      uplink::Resolver(io).resolve(endpoint.host, std::to_string(endpoint.port), error);
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
