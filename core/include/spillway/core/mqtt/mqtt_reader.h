// MqttReader: a subscriber of an MQTT 5 broker that says itself when a message is acknowledged: its session stays
// at the broker, and what was not acknowledged comes again.
//
//   connect -> fetch -> (the caller makes it safe) -> settle -> PUBACK
//
// libmosquitto acknowledges each message (QoS 1) by itself before anybody has seen it. Driven from outside it only
// queues what it wants to send, and AckGate says when that queue may be written.
//
// One thread: the library runs inside these calls.
//
// Invariants:
//  1. No acknowledgement leaves before settle() has named its message.
//  2. At most receive_maximum messages are out here and not acknowledged: a broker sends no more.
//  3. While messages are unsettled a ping waits behind acknowledgements, and after 1.5 keep_alive the broker closes the
//     connection. So what takes longer than half of keep_alive to settle is not acknowledged: settle() fails, and the
//     messages come again at the next connect().
//  4. What a message brings is bounded by packet_bytes_max and kPropertiesMax.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spillway/core/mqtt/ack_gate.h"
#include "spillway/core/mqtt/mqtt_client.h"

namespace spillway::core {

/// What is subscribed. More than QoS 1 is not asked for: libmosquitto acknowledges a message of QoS 2 to the broker,
/// which forgets it, before it shows it to anybody.
struct MqttFilter {
  std::string filter;  // "$share/group/filter" too
  int qos = 1;         // 0 or 1
  /// What the broker holds as retained comes once, when its session has not yet been subscribed to this.
  bool retained = false;
};

struct MqttReaderConfig {
  MqttAddress address;
  std::string client_id;  // the session's name at the broker
  std::vector<MqttFilter> filters;
  std::vector<std::string>
      former_filters;                   // the session may have them, and is to have them no more
  std::uint64_t session_expiry_ns = 0;  // the absent client's session stays so long; 0: for ever
  std::uint64_t keep_alive_ns = 60'000'000'000;
  std::uint64_t receive_maximum = 1000;  // 1..65535
  std::uint32_t packet_bytes_max = 0;    // the broker passes over what is larger
  /// Only user properties with such a name are kept; empty: none.
  std::string property_prefix;
  bool wants_redelivered = false;  // MqttMessage::redelivered is told
};

/// Good until the call that handed it over returns.
struct MqttMessage {
  std::uint64_t tag = 0;
  std::string_view topic;
  std::span<const std::byte> payload;
  const std::vector<std::pair<std::string, std::string>>* properties = nullptr;
  int qos = 0;
  std::uint16_t packet_id = 0;  // of QoS 1: nobody else has it until the message is acknowledged
  bool redelivered =
      false;  // the broker has sent it before, perhaps in vain; false where that cannot be known
};

class MqttReader {
 public:
  /// Of one message, at most; the rest of them is left out.
  static constexpr std::size_t kPropertiesMax = 64;
  static constexpr std::size_t kPropertyBytesMax = 16U << 10;

  /// False: no more in this call.
  using OnMessage = std::function<bool(const MqttMessage&)>;

  explicit MqttReader(MqttReaderConfig config);
  ~MqttReader() { disconnect(); }
  MqttReader(const MqttReader&) = delete;
  MqttReader& operator=(const MqttReader&) = delete;

  /// Within about `timeout_ns`. What its session has beside `filters` and `former_filters` stays in it.
  [[nodiscard]] Result<void> connect(std::uint64_t timeout_ns);
  /// Hands over what has come, at most `messages_max`, waiting up to `wait_ns` for the first. An error: the
  /// connection is gone, and all tags with it.
  [[nodiscard]] Result<void> fetch(std::uint64_t wait_ns, std::size_t messages_max,
                                   const OnMessage& on_message);
  /// All messages up to this tag are safe; if these are all that were read, they are acknowledged now. An error: the
  /// connection is gone; while all_settled() is false no acknowledgement has left.
  [[nodiscard]] Result<void> settle(std::uint64_t tag);
  /// Nothing that was read waits for settle(): what came before may have been acknowledged.
  [[nodiscard]] bool all_settled() const { return gate_.may_write(); }
  void disconnect();

  // What the broker has said since the latest connect().
  /// Its session has exactly the wished filters. Later than connect() where messages stood before its answer.
  [[nodiscard]] bool subscribed() const { return subscribed_; }
  /// It had no session of this name, or none any more: what such a one held is gone.
  [[nodiscard]] bool session_is_new() const { return session_is_new_; }
  /// It keeps the session shorter than was wished.
  [[nodiscard]] std::optional<std::uint32_t> session_cut_s() const { return session_cut_s_; }

 private:
  struct Held {
    std::uint64_t tag = 0;
    std::string topic;
    std::vector<std::byte> payload;
    int qos = 0;
    std::uint16_t packet_id = 0;
    bool redelivered = false;
    std::vector<std::pair<std::string, std::string>> properties;
  };

  [[nodiscard]] Result<void> begin();
  [[nodiscard]] Result<void> await_subscription(std::uint64_t until_ns);
  [[nodiscard]] Result<void> subscribe();
  [[nodiscard]] Result<void> unsubscribe();
  /// Waits for the socket, and moves what may be moved.
  [[nodiscard]] Result<void> turn(std::uint64_t wait_ns);
  [[nodiscard]] Result<void> read();
  [[nodiscard]] Result<void> write();
  [[nodiscard]] Result<void> check(int status);
  [[nodiscard]] Result<void> check_greeting(const pollfd& socket) const;
  /// False: the caller wants no more.
  [[nodiscard]] bool hand_over(const OnMessage& on_message, std::size_t& messages_left);

  void say_farewell();

  void set_callbacks();
  void on_connected(int reason, int flags, const mosquitto_property* properties);
  void on_subscribed(int packet_id, int granted);
  void on_log(std::string_view line);
  void on_message(const mosquitto_message& message, const mosquitto_property* properties);
  void on_disconnected(int reason);
  void fail_with(Error error) {
    if (!failure_) failure_ = std::move(error);
  }

  MqttReaderConfig config_;
  MosquittoPointer client_;
  AckGate gate_;
  std::deque<Held> held_;                   // read, and not handed over
  std::map<int, std::size_t> subscribing_;  // packet ids of filters that are not yet granted
  std::optional<Error> failure_;
  bool next_is_redelivered_ = false;
  bool connected_ = false;
  bool greeted_ = false;  // the broker has answered, and stays so
  bool subscribed_ = false;
  bool session_is_new_ = false;
  std::optional<std::uint32_t> session_cut_s_;
};

}  // namespace spillway::core
