#include "uplink/consumer/sources/rabbitmq_source.h"

#include <openssl/ssl.h>

#include <chrono>
#include <deque>
#include <optional>

#include "spillway/core/secret_file.h"
#include "uplink/engines/rabbitmq/amqp.h"

namespace spillway::consumer {

namespace {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;

constexpr amqp_channel_t kChannel = 1;
/// As large a frame as the broker's default has.
constexpr int kFrameBytes = 131'072;
/// Answers to what is asked once connected.
constexpr std::uint64_t kAnswerNs = 5'000'000'000;
constexpr int kNotFoundCode = 404;
constexpr int kAccessRefusedCode = 403;

timeval timeval_of(std::uint64_t ns) {
  return {static_cast<time_t>(ns / 1'000'000'000),
          static_cast<suseconds_t>(ns % 1'000'000'000 / 1000)};
}

std::string_view view_of(const amqp_bytes_t& bytes) {
  return {static_cast<const char*>(bytes.bytes), bytes.len};
}

ErrorCode code_of(int reply_code) {
  if (reply_code == kNotFoundCode) return ErrorCode::kNotFound;
  if (reply_code == kAccessRefusedCode) return ErrorCode::kPermission;
  return ErrorCode::kUnavailable;
}

/// What the broker says when it closes a channel or the connection.
Error closed(const std::string& what, const amqp_method_t& method) {
  int code = 0;
  amqp_bytes_t text = amqp_empty_bytes;
  if (method.id == AMQP_CHANNEL_CLOSE_METHOD) {
    const auto* close = static_cast<const amqp_channel_close_t*>(method.decoded);
    code = close->reply_code;
    text = close->reply_text;
  } else if (method.id == AMQP_CONNECTION_CLOSE_METHOD) {
    const auto* close = static_cast<const amqp_connection_close_t*>(method.decoded);
    code = close->reply_code;
    text = close->reply_text;
  }
  return {code_of(code), what + ": the broker says: " + std::string(view_of(text))};
}

Error failed(const std::string& what, int status) {
  return {ErrorCode::kUnavailable, what + ": " + amqp_error_string2(status)};
}

Result<void> check(const amqp_rpc_reply_t& reply, const std::string& what) {
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return {};
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
    return tl::unexpected(closed(what, reply.reply));
  }
  return tl::unexpected(failed(what, reply.library_error));
}

Result<void> check(int status, const std::string& what) {
  if (status == AMQP_STATUS_OK) return {};
  return tl::unexpected(failed(what, status));
}

/// The text of a header; nothing where there is none, or it is no text.
std::optional<std::string_view> header_of(const amqp_basic_properties_t& properties,
                                          std::string_view name) {
  if ((properties._flags & AMQP_BASIC_HEADERS_FLAG) == 0) return std::nullopt;
  for (int i = 0; i < properties.headers.num_entries; ++i) {
    const amqp_table_entry_t& entry = properties.headers.entries[i];
    if (view_of(entry.key) != name) continue;
    if (entry.value.kind != AMQP_FIELD_KIND_UTF8 && entry.value.kind != AMQP_FIELD_KIND_BYTES) {
      return std::nullopt;
    }
    return view_of(entry.value.value.bytes);
  }
  return std::nullopt;
}

struct DestroyConnection {
  // Without a word to the broker, which may be gone: it notices by the closed socket.
  void operator()(amqp_connection_state_t connection) const { amqp_destroy_connection(connection); }
};
using Connection = std::unique_ptr<amqp_connection_state_t_, DestroyConnection>;

class RabbitmqSource final : public BrokerSource {
 public:
  RabbitmqSource(core::SourceConfig config, std::string password)
      : config_(std::move(config)),
        password_(std::move(password)),
        vhost_(config_.url.path.empty() ? "/" : config_.url.path),
        name_(config_.url.scheme + "://" + config_.url.hosts_text() + " queue " + config_.queue) {}
  ~RabbitmqSource() override { RabbitmqSource::disconnect(); }

  const std::string& name() const override { return name_; }
  Result<void> connect(std::uint64_t timeout_ns, const ReadMarks& read_marks) override;
  Result<void> fetch(std::uint64_t wait_ns, std::size_t messages_max,
                     const OnMessage& on_message) override;
  Result<void> settle(std::uint64_t tag) override;
  Result<void> refuse(std::uint64_t tag, const std::string& why) override;
  void disconnect() override;

 private:
  [[nodiscard]] Result<amqp_socket_t*> make_socket();
  [[nodiscard]] Result<void> set_up_tls(amqp_socket_t* socket);
  [[nodiscard]] Result<void> log_in();
  [[nodiscard]] Result<void> consume();
  /// False: nothing came in time.
  [[nodiscard]] Result<bool> receive(std::uint64_t wait_ns, const OnMessage& on_message,
                                     bool& wants_more);
  [[nodiscard]] Result<void> keep_alive();
  /// Something else than a message came.
  [[nodiscard]] Result<void> take_other_frame();

  core::SourceConfig config_;
  std::string password_;
  std::string vhost_;
  std::string name_;
  Connection connection_;
  std::deque<std::uint64_t> unsettled_;  // ascending
  std::chrono::steady_clock::time_point kept_alive_{};
};

Result<amqp_socket_t*> RabbitmqSource::make_socket() {
  amqp_socket_t* socket = nullptr;
  if (!config_.url.secure()) {
    socket = amqp_tcp_socket_new(connection_.get());
  } else {
    socket = amqp_ssl_socket_new(connection_.get());
    if (socket != nullptr) SPILLWAY_CHECKED(set_up_tls(socket));
  }
  if (socket == nullptr) return fail(ErrorCode::kIo, "cannot make a socket for " + name_);
  return socket;
}

Result<void> RabbitmqSource::set_up_tls(amqp_socket_t* socket) {
  const core::TlsConfig& tls = config_.tls;
  amqp_ssl_socket_set_verify_peer(socket, 1);
  amqp_ssl_socket_set_verify_hostname(socket, 1);
  SPILLWAY_CHECKED(check(amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST),
                         "cannot use TLS for " + name_));
  if (tls.ca.empty()) {
    auto* context = static_cast<SSL_CTX*>(amqp_ssl_socket_get_context(socket));
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
      return fail(ErrorCode::kInvalidArgument, name_ + ": the system's authorities cannot be read");
    }
  } else if (amqp_ssl_socket_set_cacert(socket, tls.ca.c_str()) != AMQP_STATUS_OK) {
    return fail(ErrorCode::kInvalidArgument, name_ + ": cannot use the authorities in " + tls.ca);
  }
  if (tls.certificate.empty()) return {};
  if (amqp_ssl_socket_set_key(socket, tls.certificate.c_str(), tls.key.c_str()) != AMQP_STATUS_OK) {
    return fail(ErrorCode::kInvalidArgument, name_ + ": cannot use the certificate " +
                                                 tls.certificate + " with the key " + tls.key);
  }
  return {};
}

Result<void> RabbitmqSource::connect(std::uint64_t timeout_ns, const ReadMarks& read_marks) {
  static_cast<void>(read_marks);  // the broker knows what was acknowledged
  disconnect();
  connection_.reset(amqp_new_connection());
  if (connection_ == nullptr) return fail(ErrorCode::kIo, "no memory for a connection to " + name_);
  const timeval timeout = timeval_of(timeout_ns);
  const timeval answer = timeval_of(kAnswerNs);
  amqp_set_handshake_timeout(connection_.get(), &timeout);
  amqp_set_rpc_timeout(connection_.get(), &answer);
  SPILLWAY_TRY(socket, make_socket());
  const core::EngineHost& host = config_.url.hosts.front();
  SPILLWAY_CHECKED(check(amqp_socket_open_noblock(socket, host.host.c_str(), host.port, &timeout),
                         "cannot connect to " + config_.url.hosts_text()));
  SPILLWAY_CHECKED(log_in());
  return consume();
}

Result<void> RabbitmqSource::log_in() {
  const std::string user = config_.url.user.empty() ? "guest" : config_.url.user;
  const std::string password = config_.url.user.empty() ? "guest" : password_;
  const auto heartbeat_s = static_cast<int>(config_.heartbeat_ns / 1'000'000'000);
  // Without this the broker says nothing when the queue is deleted under a consumer.
  amqp_table_entry_t capability{};
  capability.key = amqp_cstring_bytes("consumer_cancel_notify");
  capability.value.kind = AMQP_FIELD_KIND_BOOLEAN;
  capability.value.value.boolean = 1;
  amqp_table_entry_t property{};
  property.key = amqp_cstring_bytes("capabilities");
  property.value.kind = AMQP_FIELD_KIND_TABLE;
  property.value.value.table = {1, &capability};
  const amqp_table_t properties{1, &property};
  auto logged_in = check(amqp_login_with_properties(
                             connection_.get(), vhost_.c_str(), 0, kFrameBytes, heartbeat_s,
                             &properties, AMQP_SASL_METHOD_PLAIN, user.c_str(), password.c_str()),
                         "cannot log in as " + user + " to virtual host " + vhost_);
  if (!logged_in) return logged_in;
  amqp_channel_open(connection_.get(), kChannel);
  return check(amqp_get_rpc_reply(connection_.get()), "cannot open a channel");
}

Result<void> RabbitmqSource::consume() {
  const amqp_bytes_t queue = amqp_cstring_bytes(config_.queue.c_str());
  amqp_queue_declare(connection_.get(), kChannel, queue, 1, 0, 0, 0, amqp_empty_table);
  auto found = check(amqp_get_rpc_reply(connection_.get()), "queue " + config_.queue);
  if (!found) {
    if (found.error().code == ErrorCode::kNotFound) {
      found.error().message +=
          "; make it with `spillway sink setup NAME` on a gateway whose uplink NAME fills it";
    }
    return found;
  }
  amqp_basic_qos(connection_.get(), kChannel, 0, static_cast<std::uint16_t>(config_.prefetch), 0);
  SPILLWAY_CHECKED(check(amqp_get_rpc_reply(connection_.get()), "cannot set the prefetch"));
  amqp_basic_consume(connection_.get(), kChannel, queue, amqp_empty_bytes, 0, 0, 0,
                     amqp_empty_table);
  return check(amqp_get_rpc_reply(connection_.get()), "cannot read queue " + config_.queue);
}

Result<void> RabbitmqSource::fetch(std::uint64_t wait_ns, std::size_t messages_max,
                                   const OnMessage& on_message) {
  if (messages_max == 0) return keep_alive();
  bool wants_more = true;
  for (std::size_t taken = 0; taken < messages_max && wants_more; ++taken) {
    SPILLWAY_TRY(came, receive(taken == 0 ? wait_ns : 0, on_message, wants_more));
    if (!came) break;
  }
  return {};
}

/// The library sends heartbeats only while it waits for frames, and here none may be taken.
Result<void> RabbitmqSource::keep_alive() {
  const auto now = std::chrono::steady_clock::now();
  if (now - kept_alive_ < std::chrono::nanoseconds(config_.heartbeat_ns / 2)) return {};
  kept_alive_ = now;
  amqp_frame_t heartbeat{};
  heartbeat.frame_type = AMQP_FRAME_HEARTBEAT;
  return check(amqp_send_frame(connection_.get(), &heartbeat),
               "the connection to " + config_.url.hosts_text() + " is gone");
}

Result<bool> RabbitmqSource::receive(std::uint64_t wait_ns, const OnMessage& on_message,
                                     bool& wants_more) {
  amqp_maybe_release_buffers(connection_.get());
  amqp_envelope_t envelope;
  const timeval timeout = timeval_of(wait_ns);
  const amqp_rpc_reply_t reply = amqp_consume_message(connection_.get(), &envelope, &timeout, 0);
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
    if (reply.library_error == AMQP_STATUS_TIMEOUT) return false;
    if (reply.library_error == AMQP_STATUS_UNEXPECTED_STATE) {
      SPILLWAY_CHECKED(take_other_frame());
      return true;
    }
  }
  SPILLWAY_CHECKED(check(reply, "the connection to " + config_.url.hosts_text() + " is gone"));
  const auto& body = envelope.message.body;
  const uplink::HeaderLookup header = [&properties =
                                           envelope.message.properties](std::string_view name) {
    return header_of(properties, name);
  };
  unsettled_.push_back(envelope.delivery_tag);
  wants_more = on_message(
      {envelope.delivery_tag, &header, {static_cast<const std::byte*>(body.bytes), body.len}});
  amqp_destroy_envelope(&envelope);
  return true;
}

Result<void> RabbitmqSource::take_other_frame() {
  amqp_frame_t frame;
  const timeval answer = timeval_of(kAnswerNs);
  SPILLWAY_CHECKED(check(amqp_simple_wait_frame_noblock(connection_.get(), &frame, &answer),
                         "the connection to " + config_.url.hosts_text() + " is gone"));
  if (frame.frame_type != AMQP_FRAME_METHOD) return {};
  if (frame.payload.method.id == AMQP_BASIC_CANCEL_METHOD) {
    return fail(ErrorCode::kNotFound,
                "queue " + config_.queue + " was deleted, or its node has stopped");
  }
  const bool is_close = frame.payload.method.id == AMQP_CHANNEL_CLOSE_METHOD ||
                        frame.payload.method.id == AMQP_CONNECTION_CLOSE_METHOD;
  if (!is_close) return {};
  return tl::unexpected(closed("the connection was closed", frame.payload.method));
}

Result<void> RabbitmqSource::settle(std::uint64_t tag) {
  std::uint64_t last = 0;
  while (!unsettled_.empty() && unsettled_.front() <= tag) {
    last = unsettled_.front();
    unsettled_.pop_front();
  }
  // All of them were refused: that has settled them. The broker knows no such tag any more.
  if (last == 0) return {};
  return check(amqp_basic_ack(connection_.get(), kChannel, last, 1), "cannot acknowledge");
}

Result<void> RabbitmqSource::refuse(std::uint64_t tag, const std::string& why) {
  static_cast<void>(why);  // AMQP has no place for it; the log has
  std::erase(unsettled_, tag);
  return check(amqp_basic_reject(connection_.get(), kChannel, tag, 0), "cannot reject");
}

void RabbitmqSource::disconnect() {
  unsettled_.clear();
  connection_.reset();
}

}  // namespace

Result<std::unique_ptr<BrokerSource>> make_rabbitmq_source(const core::SourceConfig& config) {
  SPILLWAY_TRY(password, core::read_password(config.password_file));
  return std::unique_ptr<BrokerSource>(
      std::make_unique<RabbitmqSource>(config, std::move(password)));
}

}  // namespace spillway::consumer
