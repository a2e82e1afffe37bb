#include "uplink/sinks/mqtt/mqtt_sink.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <unordered_map>

#include "spillway/core/mqtt/mqtt_client.h"
#include "spillway/core/secret_file.h"
#include "uplink/sinks/message_name.h"

namespace spillway::uplink {

namespace {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMsNs = 1'000'000;
constexpr int kLoopMsMax = 100;
/// So long nothing may be acknowledged while something is on its way.
constexpr std::chrono::seconds kAckTimeout{60};
/// So many topics have an alias at most; the broker may allow fewer.
constexpr std::uint16_t kAliasesMax = 64;
constexpr int kQosOnce = 1;

/// Names and topics here are MQTT's own kind.
void write_as_it_is(std::string_view value, std::string& topic) { topic += value; }

Error reason_error(const std::string& tried, int reason) {
  if (reason != MQTT_RC_NO_MATCHING_SUBSCRIBERS) return core::mqtt_reason_error(tried, reason);
  return {ErrorCode::kNotFound,
          tried +
              ": nobody is subscribed, and the broker keeps messages for subscribers alone: "
              "start the consumer once, its session stays"};
}

class MqttSink final : public Sink {
 public:
  MqttSink(const core::UplinkConfig& uplink, std::string password)
      : engine_(uplink.engine),
        address_{uplink.engine.url, std::move(password), uplink.tls, "[uplink.tls]"} {}
  ~MqttSink() override { disconnect(); }

  Result<void> connect(std::uint64_t timeout_ns) override;
  Result<Offered> offer(const SinkMessage& message) override;
  Result<void> collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) override;
  void disconnect() override;

 private:
  [[nodiscard]] std::string what() const { return address_.what(); }
  [[nodiscard]] Result<void> set_up();
  [[nodiscard]] Result<void> loop(std::uint64_t wait_ns);
  [[nodiscard]] Result<void> check_patience() const;
  [[nodiscard]] std::uint64_t room() const;
  void refuse(std::uint64_t ticket, std::string reason);
  /// The topic to send: none where its alias says enough.
  [[nodiscard]] const char* alias(const std::string& topic, core::MqttProperties& properties);

  void on_connected(int reason, const mosquitto_property* properties);
  void on_published(int message, int reason);
  void on_disconnected(int reason);
  void fail_with(Error error) {
    if (!failure_) failure_ = std::move(error);
  }

  core::EngineConfig engine_;
  core::MqttAddress address_;
  core::MosquittoPointer client_;
  bool connected_ = false;
  std::optional<Error> failure_;
  std::uint64_t window_ = 0;
  bool is_proven_ = false;  // a message of this connection was stored
  std::uint16_t aliases_max_ = 0;
  std::unordered_map<std::string, std::uint16_t> aliases_;
  std::unordered_map<int, std::uint64_t> on_way_;  // their tickets
  Clock::time_point heard_;  // when the last one was acknowledged, or the first was sent
  std::vector<SinkOutcome> outcomes_;
};

Result<void> MqttSink::set_up() {
  SPILLWAY_TRY(made, core::make_mosquitto(address_, {}, true, this));
  client_ = std::move(made);
  mosquitto* const client = client_.get();
  mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM,
                       static_cast<int>(std::min<std::uint64_t>(
                           engine_.window_messages, std::numeric_limits<std::uint16_t>::max())));
  mosquitto_connect_v5_callback_set(
      client, [](mosquitto*, void* self, int reason, int, const mosquitto_property* properties) {
        static_cast<MqttSink*>(self)->on_connected(reason, properties);
      });
  mosquitto_publish_v5_callback_set(
      client, [](mosquitto*, void* self, int message, int reason, const mosquitto_property*) {
        static_cast<MqttSink*>(self)->on_published(message, reason);
      });
  mosquitto_disconnect_v5_callback_set(
      client, [](mosquitto*, void* self, int reason, const mosquitto_property*) {
        static_cast<MqttSink*>(self)->on_disconnected(reason);
      });
  return {};
}

Result<void> MqttSink::connect(std::uint64_t timeout_ns) {
  disconnect();
  SPILLWAY_CHECKED(set_up());
  const auto& host = engine_.url.hosts.front();
  const auto until = Clock::now() + std::chrono::nanoseconds(timeout_ns);
  const auto keep_alive = static_cast<int>(engine_.mqtt.keep_alive_ns / 1'000'000'000);
  const int status =
      mosquitto_connect_async(client_.get(), host.host.c_str(), host.port, keep_alive);
  Result<void> outcome;
  if (status != MOSQ_ERR_SUCCESS) {
    outcome = tl::unexpected(core::mqtt_status_error(address_, status));
  }
  while (outcome && !connected_) {
    outcome = loop(kLoopMsMax * kMsNs);
    if (outcome && !connected_ && Clock::now() > until) {
      outcome = fail(ErrorCode::kUnavailable, what() + ": no answer to the connection");
    }
  }
  if (!outcome) disconnect();
  return outcome;
}

/// Moves what can be moved; waits until the socket has something, or the time is over.
Result<void> MqttSink::loop(std::uint64_t wait_ns) {
  if (client_ == nullptr) return fail(ErrorCode::kUnavailable, what() + ": not connected");
  const auto wait_ms = static_cast<int>(std::min<std::uint64_t>(wait_ns / kMsNs, kLoopMsMax));
  const int status = mosquitto_loop(client_.get(), wait_ms, 1);
  if (failure_) return tl::unexpected(*failure_);
  if (status == MOSQ_ERR_SUCCESS) return {};
  return tl::unexpected(core::mqtt_status_error(address_, status));
}

void MqttSink::on_connected(int reason, const mosquitto_property* properties) {
  if (reason != MQTT_RC_SUCCESS) {
    fail_with(reason_error(what() + " refused the connection", reason));
    return;
  }
  std::uint16_t receive_max = std::numeric_limits<std::uint16_t>::max();
  std::uint16_t aliases_max = 0;
  mosquitto_property_read_int16(properties, MQTT_PROP_RECEIVE_MAXIMUM, &receive_max, false);
  mosquitto_property_read_int16(properties, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, &aliases_max, false);
  window_ =
      std::max<std::uint64_t>(std::min<std::uint64_t>(engine_.window_messages, receive_max), 1);
  aliases_max_ = std::min(aliases_max, kAliasesMax);
  connected_ = true;
}

void MqttSink::on_published(int message, int reason) {
  const auto found = on_way_.find(message);
  if (found == on_way_.end()) return;
  heard_ = Clock::now();
  if (reason == MQTT_RC_SUCCESS) {
    is_proven_ = true;
    outcomes_.push_back({found->second, SinkOutcome::Kind::kStored, {}});
    on_way_.erase(found);
    return;
  }
  Error error = reason_error(what(), reason);
  if (error.code != ErrorCode::kRefused) return fail_with(std::move(error));
  refuse(found->second, std::move(error.message));
  on_way_.erase(found);
}

void MqttSink::on_disconnected(int reason) {
  connected_ = false;
  fail_with(reason_error(what() + " ended the connection", reason));
}

void MqttSink::refuse(std::uint64_t ticket, std::string reason) {
  outcomes_.push_back({ticket, SinkOutcome::Kind::kRefused, std::move(reason)});
}

const char* MqttSink::alias(const std::string& topic, core::MqttProperties& properties) {
  const auto known = aliases_.find(topic);
  if (known != aliases_.end()) {
    properties.number(MQTT_PROP_TOPIC_ALIAS, known->second);
    return nullptr;
  }
  if (aliases_.size() >= aliases_max_) return topic.c_str();
  const auto next = static_cast<std::uint16_t>(aliases_.size() + 1);
  aliases_.emplace(topic, next);
  properties.number(MQTT_PROP_TOPIC_ALIAS, next);
  return topic.c_str();
}

/// Alone until one was stored: were nobody subscribed for the first and somebody for those behind it, they
/// would get in before it.
std::uint64_t MqttSink::room() const { return is_proven_ ? window_ : 1; }

Result<Offered> MqttSink::offer(const SinkMessage& message) {
  if (!connected_) return fail(ErrorCode::kUnavailable, what() + ": not connected");
  if (failure_) return tl::unexpected(*failure_);
  if (on_way_.size() >= room()) return Offered::kFull;
  core::MqttProperties properties;
  properties.text(MQTT_PROP_CONTENT_TYPE, std::string(message.content_type));
  for (const auto& [name, value] : write_envelope(*message.envelope)) properties.pair(name, value);
  const std::string topic = fill_in(engine_.mqtt.topic, *message.envelope, write_as_it_is);
  if (properties.status() != MOSQ_ERR_SUCCESS ||
      mosquitto_pub_topic_check(topic.c_str()) != MOSQ_ERR_SUCCESS) {
    refuse(message.ticket, "its topic or a name in it cannot be said in MQTT: " + topic);
    return Offered::kTaken;
  }
  int number = 0;
  const char* said = alias(topic, properties);
  const int status =
      mosquitto_publish_v5(client_.get(), &number, said, static_cast<int>(message.payload.size()),
                           message.payload.data(), kQosOnce, false, properties.list());
  if (status == MOSQ_ERR_SUCCESS) {
    if (on_way_.empty()) heard_ = Clock::now();
    on_way_.emplace(number, message.ticket);
    return Offered::kTaken;
  }
  if (said != nullptr) aliases_.erase(topic);  // the broker has not heard of it
  if (status == MOSQ_ERR_OVERSIZE_PACKET || status == MOSQ_ERR_PAYLOAD_SIZE) {
    refuse(message.ticket, "larger than the broker takes (maximum_packet_size)");
    return Offered::kTaken;
  }
  if (failure_) return tl::unexpected(*failure_);
  return fail(ErrorCode::kUnavailable, what() + ": " + mosquitto_strerror(status));
}

Result<void> MqttSink::collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) {
  const auto until = Clock::now() + std::chrono::nanoseconds(wait_ns);
  Result<void> moved = loop(outcomes_.empty() ? wait_ns : 0);
  while (moved && outcomes_.empty() && Clock::now() < until) moved = loop(wait_ns);
  std::move(outcomes_.begin(), outcomes_.end(), std::back_inserter(outcomes));
  outcomes_.clear();
  if (!moved) return moved;
  return check_patience();
}

Result<void> MqttSink::check_patience() const {
  if (on_way_.empty() || Clock::now() - heard_ < kAckTimeout) return {};
  return fail(ErrorCode::kUnavailable,
              what() + ": no acknowledgement for " + std::to_string(kAckTimeout.count()) + " s");
}

void MqttSink::disconnect() {
  if (client_ != nullptr && connected_) mosquitto_disconnect(client_.get());
  client_.reset();
  connected_ = false;
  is_proven_ = false;
  failure_.reset();
  aliases_.clear();
  on_way_.clear();
  outcomes_.clear();
}

}  // namespace

Result<std::unique_ptr<Sink>> make_mqtt_sink(const core::UplinkConfig& uplink) {
  SPILLWAY_TRY(password, core::read_password(uplink.engine.password_file));
  return std::unique_ptr<Sink>(std::make_unique<MqttSink>(uplink, std::move(password)));
}

}  // namespace spillway::uplink
