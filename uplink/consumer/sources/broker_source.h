// BrokerSource: the consumer's driver for one kind of engine that gateways fill (RabbitMQ, Kafka, ...).
// It moves messages and says what became of them; everything that decides (what a message is, what is
// stored, when it counts as done, when to connect again) is BrokerIntake's and SourceRunner's.
//
// One thread calls it: its SourceRunner's. A source may have threads of its library's own, which no
// caller sees.
//
// Invariants:
//  1. Tags ascend within a connection. disconnect() forgets all that is not settled: the engine brings
//     it again, to this consumer or to another one.
//  2. settle() is called for what the inbox has committed, and for nothing else; refuse() for what it
//     can never take. Nothing is asked to come again for what it is: a bad message makes no loop.
//  3. The engine may bring a message twice, and later before earlier: a record's identity decides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/result.h"
#include "uplink/consumer/inbox/inbox.h"
#include "uplink/protocol/envelope.h"

namespace spillway::consumer {

/// Good until the call that handed it over returns.
struct BrokerMessage {
  std::uint64_t tag = 0;
  const uplink::HeaderLookup* header = nullptr;
  std::span<const std::byte> payload;
};

class BrokerSource {
 public:
  /// False: no more in this call.
  using OnMessage = std::function<bool(const BrokerMessage&)>;
  /// What the inbox has stored of this source's reading (InboxMark::source is name()); asks the inbox, and
  /// waits for its answer.
  using ReadMarks = std::function<core::Result<std::vector<InboxMark>>()>;

  BrokerSource() = default;
  BrokerSource(const BrokerSource&) = delete;
  BrokerSource& operator=(const BrokerSource&) = delete;
  virtual ~BrokerSource() = default;

  /// What it reads from, for people and in marks: "amqp://broker:5672/vhost queue spillway"; no password.
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// Connects and looks whether what it reads from is there; at most about `timeout_ns`. Errors say what to
  /// do, and kNotFound also that `spillway sink setup` makes what is missing. `read_marks` lives as long
  /// as the source and may be called from inside each of these calls.
  [[nodiscard]] virtual core::Result<void> connect(std::uint64_t timeout_ns,
                                                   const ReadMarks& read_marks) = 0;
  /// Hands over what has come, at most `messages_max`, waiting up to `wait_ns` for the first. With 0
  /// messages it keeps the connection alive and no more. An error: the connection is gone. Tags begin
  /// above 0.
  [[nodiscard]] virtual core::Result<void> fetch(std::uint64_t wait_ns, std::size_t messages_max,
                                                 const OnMessage& on_message) = 0;
  /// All messages up to this tag are committed or refused.
  [[nodiscard]] virtual core::Result<void> settle(std::uint64_t tag) = 0;
  /// This one cannot be stored, ever: it goes to where the engine keeps such, or is passed over.
  [[nodiscard]] virtual core::Result<void> refuse(std::uint64_t tag, const std::string& why) = 0;
  /// For an engine whose readers keep their own place: where to go on once all up to `tag` is settled.
  /// They are stored in a transaction of the inbox, at the earliest in the one after its records'.
  [[nodiscard]] virtual std::vector<InboxMark> marks(std::uint64_t tag) {
    static_cast<void>(tag);
    return {};
  }
  /// May be followed by connect().
  virtual void disconnect() = 0;
};

}  // namespace spillway::consumer
