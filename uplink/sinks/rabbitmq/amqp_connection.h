// AmqpConnection: one connection to a RabbitMQ and one channel in it, over rabbitmq-c; what goes wrong
// comes out as an Error that names the broker.
//
// One thread. Waits no longer than it is told, but for the resolver of host names.
//
// Invariants:
//  1. A certificate's times are checked against no earlier time than this build's: a machine that
//     wakes in 1970 gets through.
//  2. After an Error of kUnavailable the connection is gone; others may be of the channel alone, and
//     then it is closed, too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "spillway/core/config.h"
#include "uplink/engines/rabbitmq/amqp.h"

namespace spillway::uplink {

inline constexpr amqp_channel_t kAmqpChannel = 1;

[[nodiscard]] inline amqp_bytes_t amqp_text(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};  // the library only reads it
}
[[nodiscard]] inline std::string text_of(const amqp_bytes_t& bytes) {
  return {static_cast<const char*>(bytes.bytes), bytes.len};
}

class AmqpConnection {
 public:
  explicit AmqpConnection(const core::UplinkConfig& config);
  ~AmqpConnection() { drop(); }
  AmqpConnection(const AmqpConnection&) = delete;
  AmqpConnection& operator=(const AmqpConnection&) = delete;

  /// Connects, logs in, opens the channel. kPermission: user, password or virtual host.
  [[nodiscard]] core::Result<void> open(std::uint64_t timeout_ns);
  /// Says goodbye if the connection is sound, and forgets it.
  void close();
  [[nodiscard]] bool is_open() const { return state_ != nullptr; }
  [[nodiscard]] amqp_connection_state_t state() const { return state_; }
  [[nodiscard]] int socket() const { return amqp_get_sockfd(state_); }

  /// The error that the latest synchronous method ended with, if it did.
  [[nodiscard]] core::Result<void> reply(const std::string& tried);
  /// What a status of the library's other functions means; the connection is dropped.
  [[nodiscard]] core::Error lost(int status, const std::string& tried);
  /// What the broker says when it closes the channel or the connection, which is answered.
  [[nodiscard]] core::Error closed_by(const amqp_channel_close_t& close);
  [[nodiscard]] core::Error closed_by(const amqp_connection_close_t& close);
  /// "RabbitMQ at host:port: "
  [[nodiscard]] const std::string& prefix() const { return prefix_; }

 private:
  [[nodiscard]] core::Result<void> connect(std::uint64_t timeout_ns);
  [[nodiscard]] core::Result<amqp_socket_t*> make_socket();
  [[nodiscard]] core::Result<void> prepare_tls(amqp_socket_t* socket);
  [[nodiscard]] core::Result<void> log_in(const std::string& password);
  void drop();

  const core::UplinkConfig& config_;
  std::string prefix_;
  amqp_connection_state_t state_ = nullptr;
  bool sound_ = false;
};

/// The code that a reply code of AMQP stands for.
[[nodiscard]] core::ErrorCode amqp_error_code(int reply_code);

}  // namespace spillway::uplink
