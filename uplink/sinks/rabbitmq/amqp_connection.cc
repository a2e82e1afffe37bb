#include "uplink/sinks/rabbitmq/amqp_connection.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

#include "spillway/core/env/build_time.h"
#include "spillway/core/secret_file.h"

namespace spillway::uplink {

namespace {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;

constexpr int kFrameBytesMax = 131'072;  // RabbitMQ's own default
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kGoodbyeNs = kSecondNs;

timeval time_of(std::uint64_t ns) {
  timeval time{};
  time.tv_sec = static_cast<time_t>(ns / kSecondNs);
  time.tv_usec = static_cast<suseconds_t>(ns % kSecondNs / 1000);
  return time;
}

/// Why the latest handshake of this thread did not like a certificate.
thread_local std::string certificate_complaint;

int note_complaint(int ok, X509_STORE_CTX* context) {
  if (ok == 0) {
    certificate_complaint = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
  }
  return ok;
}

bool is_ip_address(const std::string& host) {
  in6_addr any;
  return ::inet_pton(AF_INET, host.c_str(), &any) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

std::string reason_of(int status) {
  if (!certificate_complaint.empty()) return "its certificate: " + certificate_complaint;
  return amqp_error_string2(status);
}

/// The library says that it could not connect, but not why: asked again, the kernel says it.
std::string why_not_connected(const core::EngineHost& host, int status) {
  constexpr int kWaitMs = 1000;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(host.port);
  if (status != AMQP_STATUS_SOCKET_ERROR ||
      ::getaddrinfo(host.host.c_str(), port.c_str(), &hints, &found) != 0) {
    return reason_of(status);
  }
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  static_cast<void>(::connect(fd, found->ai_addr, found->ai_addrlen));
  ::freeaddrinfo(found);
  pollfd connected{fd, POLLOUT, 0};
  int cause = 0;
  socklen_t size = sizeof(cause);
  if (::poll(&connected, 1, kWaitMs) == 1) {
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &size);
  }
  ::close(fd);
  return cause == 0 ? reason_of(status) : std::strerror(cause);
}

}  // namespace

core::ErrorCode amqp_error_code(int reply_code) {
  switch (reply_code) {
    case AMQP_NOT_FOUND:
      return ErrorCode::kNotFound;
    case AMQP_ACCESS_REFUSED:
    case AMQP_NOT_ALLOWED:
      return ErrorCode::kPermission;
    case AMQP_PRECONDITION_FAILED:
    case AMQP_NOT_IMPLEMENTED:
      return ErrorCode::kRefused;
    default:
      return ErrorCode::kUnavailable;
  }
}

AmqpConnection::AmqpConnection(const core::UplinkConfig& config)
    : config_(config), prefix_("RabbitMQ at " + config.engine.url.hosts_text() + ": ") {}

Result<void> AmqpConnection::open(std::uint64_t timeout_ns) {
  drop();
  SPILLWAY_TRY(password, core::read_password(config_.engine.password_file));
  state_ = amqp_new_connection();
  if (state_ == nullptr) return fail(ErrorCode::kIo, prefix_ + "no memory for a connection");
  auto opened = connect(timeout_ns);
  if (opened) opened = log_in(password);
  if (opened) {
    sound_ = true;
    amqp_channel_open(state_, kAmqpChannel);
    opened = reply("to open a channel");
  }
  if (!opened) drop();
  return opened;
}

Result<void> AmqpConnection::connect(std::uint64_t timeout_ns) {
  SPILLWAY_TRY(socket, make_socket());
  timeval timeout = time_of(timeout_ns);
  amqp_set_handshake_timeout(state_, &timeout);
  amqp_set_rpc_timeout(state_, &timeout);
  certificate_complaint.clear();
  const core::EngineHost& host = config_.engine.url.hosts.front();
  const int status = amqp_socket_open_noblock(socket, host.host.c_str(), host.port, &timeout);
  if (status == AMQP_STATUS_OK) return {};
  return fail(ErrorCode::kUnavailable, prefix_ + why_not_connected(host, status));
}

Result<amqp_socket_t*> AmqpConnection::make_socket() {
  amqp_socket_t* socket = nullptr;
  if (config_.engine.url.secure()) {
    socket = amqp_ssl_socket_new(state_);
    if (socket != nullptr) SPILLWAY_CHECKED(prepare_tls(socket));
  } else {
    socket = amqp_tcp_socket_new(state_);
  }
  if (socket == nullptr) return fail(ErrorCode::kIo, prefix_ + "no memory for a socket");
  return socket;
}

Result<void> AmqpConnection::prepare_tls(amqp_socket_t* socket) {
  auto* context = static_cast<SSL_CTX*>(amqp_ssl_socket_get_context(socket));
  const core::TlsConfig& tls = config_.tls;
  const auto wrong = [this](const std::string& what) {
    return fail(ErrorCode::kInvalidArgument, prefix_ + "[uplink.tls] " + what);
  };
  if (tls.ca.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else if (amqp_ssl_socket_set_cacert(socket, tls.ca.c_str()) != AMQP_STATUS_OK) {
    return wrong("ca: cannot read authorities from " + tls.ca);
  }
  if (!tls.certificate.empty() &&
      amqp_ssl_socket_set_key(socket, tls.certificate.c_str(), tls.key.c_str()) != AMQP_STATUS_OK) {
    return wrong("certificate and key: cannot use " + tls.certificate + " with " + tls.key);
  }
  amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST);
  // The library's own check of the name knows no addresses; OpenSSL's does.
  amqp_ssl_socket_set_verify_hostname(socket, 0);
  amqp_ssl_socket_set_verify_peer(socket, 1);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, note_complaint);
  X509_VERIFY_PARAM* checks = SSL_CTX_get0_param(context);
  const std::string& host = config_.engine.url.hosts.front().host;
  if (is_ip_address(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str());
  } else {
    X509_VERIFY_PARAM_set1_host(checks, host.c_str(), host.size());
  }
  const auto built = static_cast<time_t>(core::env::built_at_ns() / kSecondNs);
  X509_VERIFY_PARAM_set_time(checks, std::max(std::time(nullptr), built));
  return {};
}

Result<void> AmqpConnection::log_in(const std::string& password) {
  const core::EngineUrl& url = config_.engine.url;
  const std::string vhost = url.path.empty() ? "/" : url.path;
  const std::string user = url.user.empty() ? "guest" : url.user;
  const std::string& secret = url.user.empty() ? user : password;
  std::array<amqp_table_entry_t, 3> capabilities{};
  constexpr std::array<const char*, 3> kCapabilities{"connection.blocked", "publisher_confirms",
                                                     "basic.nack"};
  for (std::size_t i = 0; i < capabilities.size(); ++i) {
    capabilities[i].key = amqp_text(kCapabilities[i]);
    capabilities[i].value.kind = AMQP_FIELD_KIND_BOOLEAN;
    capabilities[i].value.value.boolean = 1;
  }
  std::array<amqp_table_entry_t, 2> properties{};
  properties[0].key = amqp_text("capabilities");
  properties[0].value.kind = AMQP_FIELD_KIND_TABLE;
  properties[0].value.value.table = {capabilities.size(), capabilities.data()};
  properties[1].key = amqp_text("connection_name");
  properties[1].value.kind = AMQP_FIELD_KIND_UTF8;
  const std::string name = "spillway uplink " + config_.name;
  properties[1].value.value.bytes = amqp_text(name);
  const amqp_table_t table{properties.size(), properties.data()};
  const auto heartbeat_s = static_cast<int>(config_.engine.rabbitmq.heartbeat_ns / kSecondNs);
  const amqp_rpc_reply_t answer =
      amqp_login_with_properties(state_, vhost.c_str(), 0, kFrameBytesMax, heartbeat_s, &table,
                                 AMQP_SASL_METHOD_PLAIN, user.c_str(), secret.c_str());
  if (answer.reply_type == AMQP_RESPONSE_NORMAL) return {};
  if (answer.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION) {
    return fail(ErrorCode::kUnavailable, prefix_ + reason_of(answer.library_error));
  }
  if (answer.reply.id != AMQP_CONNECTION_CLOSE_METHOD) {
    return fail(ErrorCode::kUnavailable, prefix_ + "it does not let us log in");
  }
  const auto* close = static_cast<const amqp_connection_close_t*>(answer.reply.decoded);
  return fail(amqp_error_code(close->reply_code), prefix_ + text_of(close->reply_text) +
                                                      " (user \"" + user + "\", virtual host \"" +
                                                      vhost + "\")");
}

Result<void> AmqpConnection::reply(const std::string& tried) {
  const amqp_rpc_reply_t answer = amqp_get_rpc_reply(state_);
  switch (answer.reply_type) {
    case AMQP_RESPONSE_NORMAL:
      return {};
    case AMQP_RESPONSE_SERVER_EXCEPTION:
      if (answer.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        return tl::unexpected(
            closed_by(*static_cast<const amqp_channel_close_t*>(answer.reply.decoded)));
      }
      if (answer.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        return tl::unexpected(
            closed_by(*static_cast<const amqp_connection_close_t*>(answer.reply.decoded)));
      }
      break;
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
      return tl::unexpected(lost(answer.library_error, tried));
    default:
      break;
  }
  return tl::unexpected(lost(AMQP_STATUS_UNEXPECTED_STATE, tried));
}

Error AmqpConnection::lost(int status, const std::string& tried) {
  Error error{ErrorCode::kUnavailable,
              prefix_ + "lost while it was asked " + tried + ": " + reason_of(status)};
  drop();
  return error;
}

Error AmqpConnection::closed_by(const amqp_channel_close_t& close) {
  Error error{amqp_error_code(close.reply_code), prefix_ + text_of(close.reply_text)};
  amqp_channel_close_ok_t answer{};
  amqp_send_method(state_, kAmqpChannel, AMQP_CHANNEL_CLOSE_OK_METHOD, &answer);
  return error;
}

Error AmqpConnection::closed_by(const amqp_connection_close_t& close) {
  Error error{amqp_error_code(close.reply_code), prefix_ + text_of(close.reply_text)};
  amqp_connection_close_ok_t answer{};
  amqp_send_method(state_, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &answer);
  drop();
  return error;
}

void AmqpConnection::close() {
  if (state_ != nullptr && sound_) {
    timeval timeout = time_of(kGoodbyeNs);
    amqp_set_rpc_timeout(state_, &timeout);
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
  }
  drop();
}

void AmqpConnection::drop() {
  if (state_ != nullptr) amqp_destroy_connection(state_);
  state_ = nullptr;
  sound_ = false;
}

}  // namespace spillway::uplink
