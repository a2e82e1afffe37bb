#include "edge-agent/ingest/api/server.h"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "edge-agent/ingest/api/http_session.h"
#include "spillway/core/log.h"

namespace spillway::agent::api {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;

constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr mode_t kSocketMode = 0660;

tl::unexpected<core::Error> failed(const std::string& what, const error_code& error) {
  const bool taken = error == asio::error::address_in_use;
  return core::fail(taken ? core::ErrorCode::kBusy : core::ErrorCode::kIo,
                    what + ": " + error.message());
}

/// A socket file that a dead API left.
bool is_orphan(const std::string& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0 || !S_ISSOCK(facts.st_mode)) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool refused =
      ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      errno == ECONNREFUSED;
  ::close(descriptor);
  return refused;
}

}  // namespace

core::Result<void> Server::open() {
  if (!door_.config.socket.empty()) SPILLWAY_CHECKED(open_socket());
  if (!door_.config.listen.empty()) SPILLWAY_CHECKED(open_tcp());
  return {};
}

core::Result<void> Server::open_socket() {
  const std::string& path = door_.config.socket;
  if (is_orphan(path)) ::unlink(path.c_str());
  error_code error;
  local_.emplace(io_);
  local_->open(Local(), error);
  // Nobody may come in between bind and chmod.
  const mode_t before = ::umask(static_cast<mode_t>(~kSocketMode & 0777U));
  if (!error) local_->bind(Local::endpoint(path), error);
  ::umask(before);
  if (!error) local_->listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed("cannot listen on " + path, error);
  socket_path_ = path;
  spdlog::info("listens on {}", path);
  accept(*local_, false);
  return {};
}

core::Result<void> Server::open_tcp() {
  const std::string& listen = door_.config.listen;
  const bool secure = listen.starts_with("https://");
  if (secure) SPILLWAY_CHECKED(load_tls());
  const std::size_t colon = listen.rfind(':');
  std::string host = listen.substr(listen.find("//") + 2);
  host.resize(host.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) {
    return core::fail(
        core::ErrorCode::kInvalidArgument,
        "listen: " + host + " is no address of this machine (a name is not looked up)");
  }
  const auto port = static_cast<std::uint16_t>(std::stoul(listen.substr(colon + 1)));
  tcp_.emplace(io_);
  const Tcp::endpoint endpoint(address, port);
  tcp_->open(endpoint.protocol(), error);
  if (!error) tcp_->set_option(asio::socket_base::reuse_address(true), error);
  if (!error) tcp_->bind(endpoint, error);
  if (!error) tcp_->listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed("cannot listen on " + listen, error);
  spdlog::info("listens on {} (port {})", listen, this->port());
  accept(*tcp_, secure);
  return {};
}

core::Result<void> Server::load_tls() {
  const core::TlsConfig& files = door_.config.tls;
  tls_.emplace(ssl::context::tls_server);
  ::SSL_CTX_set_min_proto_version(tls_->native_handle(), TLS1_2_VERSION);
  error_code error;
  // A key that wants a password is an error, never a prompt.
  tls_->set_password_callback([](auto, auto) { return std::string(); }, error);
  const auto bad = [&error](const std::string& path) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      "[api.tls]: cannot use " + path + ": " + error.message());
  };
  if (!error) tls_->use_certificate_chain_file(files.certificate, error);
  if (error) return bad(files.certificate);
  tls_->use_private_key_file(files.key, ssl::context::pem, error);
  if (error) return bad(files.key);
  if (files.ca.empty()) return {};
  tls_->load_verify_file(files.ca, error);
  if (error) return bad(files.ca);
  tls_->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
  return {};
}

template <typename Acceptor>
void Server::accept(Acceptor& acceptor, bool secure) {
  acceptor.async_accept([this, &acceptor, secure](error_code error, auto socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {
      pause_.expires_after(kAcceptPause);
      pause_.async_wait([this, &acceptor, secure](error_code stopped) {
        if (!stopped) accept(acceptor, secure);
      });
      return;
    }
    if (door_.connections < door_.config.connections_max) {
      error_code none;
      if constexpr (std::is_same_v<Acceptor, Tcp::acceptor>) {
        socket.set_option(Tcp::no_delay(true), none);
      }
      PlainStream stream(asio::generic::stream_protocol::socket(std::move(socket)));
      if (secure) {
        std::make_shared<HttpSession<TlsStream>>(TlsStream(std::move(stream), *tls_), door_)
            ->start();
      } else {
        std::make_shared<HttpSession<PlainStream>>(std::move(stream), door_)->start();
      }
    }
    accept(acceptor, secure);
  });
}

std::uint16_t Server::port() const {
  error_code none;
  return tcp_ ? tcp_->local_endpoint(none).port() : std::uint16_t{0};
}

void Server::close() {
  error_code none;
  pause_.cancel();
  if (tcp_) tcp_->close(none);
  if (local_) local_->close(none);
  if (!socket_path_.empty()) ::unlink(socket_path_.c_str());
}

}  // namespace spillway::agent::api
