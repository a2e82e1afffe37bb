// RabbitmqSink: publishes to an exchange of a RabbitMQ: persistent, mandatory, each message confirmed.
//
// One thread; its library has none.
//
// Invariants:
//  1. Stored means confirmed (basic.ack): by every queue that it was routed to, on its disk; by a
//     quorum queue on the disks of most of its members.
//  2. What could be routed nowhere is refused, and so is what is larger than the broker takes. A
//     queue that is full (basic.nack) is no verdict on a message: the sink fails, and all that is not
//     confirmed goes again.
//  3. Nothing is published while the broker says that it is blocked, and none into a socket that is
//     not being read: so a publish waits for no one, but for kLargeMessageMs where one message is
//     larger than a socket's buffer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spillway/core/config.h"
#include "uplink/engines/rabbitmq/amqp.h"
#include "uplink/sinks/rabbitmq/amqp_connection.h"
#include "uplink/sinks/rabbitmq/confirm_ledger.h"
#include "uplink/sinks/sink.h"

namespace spillway::uplink {

/// `routing_key` with its braces filled in, as a topic exchange wants it.
[[nodiscard]] std::string routing_key_of(const std::string& pattern, const Envelope& envelope);

class RabbitmqSink final : public Sink {
 public:
  explicit RabbitmqSink(const core::UplinkConfig& config);

  core::Result<void> connect(std::uint64_t timeout_ns) override;
  core::Result<Offered> offer(const SinkMessage& message) override;
  core::Result<void> collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) override;
  std::string_view hindrance() const override { return blocked_; }
  void disconnect() override;

 private:
  /// A message that comes back: its method, then its header, then its body, which nobody needs.
  struct Return {
    std::string reason;
    std::string message_id;
    std::uint64_t body_left = 0;
    bool has_header = false;
  };

  [[nodiscard]] core::Result<void> publish(const SinkMessage& message);
  void fill_properties(const SinkMessage& message);
  [[nodiscard]] bool socket_has_room(std::uint64_t bytes);
  void bound_the_wait(std::uint64_t bytes) const;
  [[nodiscard]] core::Result<bool> wait_frame(std::uint64_t wait_ns, amqp_frame_t& frame);
  [[nodiscard]] core::Result<void> handle(const amqp_frame_t& frame,
                                          std::vector<SinkOutcome>& outcomes);
  [[nodiscard]] core::Result<void> handle_method(const amqp_method_t& method,
                                                 std::vector<SinkOutcome>& outcomes);
  void handle_returned(const amqp_frame_t& frame);
  [[nodiscard]] core::Error channel_closed(const amqp_channel_close_t& close);
  [[nodiscard]] core::Error not_taken() const;

  core::UplinkConfig config_;
  AmqpConnection connection_;
  ConfirmLedger confirms_;
  std::vector<SinkOutcome> refused_;  // here, without the broker
  std::optional<Return> return_;
  std::string blocked_;
  std::uint64_t unlooked_bytes_ = 0;     // published since the socket was last looked at
  std::uint64_t message_bytes_max_ = 0;  // the broker's, once it has told; 0: not known
  bool keeps_bytes_max_ = false;         // it is why the connection ended
  // Of the message that is being published.
  std::vector<EnvelopeHeader> headers_;
  std::vector<amqp_table_entry_t> entries_;
  amqp_basic_properties_t properties_{};
  std::string message_id_;
};

[[nodiscard]] core::Result<std::unique_ptr<Sink>> make_rabbitmq_sink(
    const core::UplinkConfig& config);

}  // namespace spillway::uplink
