#include "spillway/core/mqtt/mqtt_reader.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

namespace spillway::core {

namespace {

constexpr std::uint64_t kMsNs = 1'000'000;
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kPollMsMax = 100;
/// For the broker to read what was sent, and to close the connection.
constexpr std::uint64_t kGoodbyeNs = 3 * kSecondNs;
/// The session never ends.
constexpr std::uint32_t kExpiryNever = std::numeric_limits<std::uint32_t>::max();
/// In CONNACK's flags.
constexpr int kSessionPresent = 1;
/// Reason codes of errors begin here.
constexpr int kReasonErrorMin = 0x80;

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

std::uint32_t expiry_of(const MqttReaderConfig& config) {
  if (config.session_expiry_ns == 0) return kExpiryNever;
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(config.session_expiry_ns / kSecondNs, 1, kExpiryNever - 1));
}

struct FreeText {
  void operator()(char* text) const { std::free(text); }
};
using Text = std::unique_ptr<char, FreeText>;

/// Those with the prefix, within the bounds. Read one by one: copying the list is what libmosquitto 2.0.11 dies of
/// where a text is empty.
std::vector<std::pair<std::string, std::string>> properties_of(const mosquitto_property* list,
                                                               const std::string& prefix) {
  std::vector<std::pair<std::string, std::string>> kept;
  if (prefix.empty()) return kept;
  std::size_t bytes = 0;
  bool skip_first = false;
  while (list != nullptr && kept.size() < MqttReader::kPropertiesMax) {
    char* raw_name = nullptr;
    char* raw_value = nullptr;
    list = mosquitto_property_read_string_pair(list, MQTT_PROP_USER_PROPERTY, &raw_name, &raw_value,
                                               skip_first);
    skip_first = true;
    const Text name(raw_name);
    const Text value(raw_value);
    if (list == nullptr || name == nullptr) continue;
    if (!std::string_view(name.get()).starts_with(prefix)) continue;
    std::string text = value == nullptr ? std::string() : std::string(value.get());
    bytes += text.size();
    if (bytes > MqttReader::kPropertyBytesMax) break;
    kept.emplace_back(name.get(), std::move(text));
  }
  return kept;
}

}  // namespace

MqttReader::MqttReader(MqttReaderConfig config) : config_(std::move(config)) {}

void MqttReader::set_callbacks() {
  mosquitto* const client = client_.get();
  mosquitto_connect_v5_callback_set(client, [](mosquitto*, void* self, int reason, int flags,
                                               const mosquitto_property* properties) {
    static_cast<MqttReader*>(self)->on_connected(reason, flags, properties);
  });
  mosquitto_subscribe_v5_callback_set(client, [](mosquitto*, void* self, int packet_id, int count,
                                                 const int* granted, const mosquitto_property*) {
    if (count == 1) static_cast<MqttReader*>(self)->on_subscribed(packet_id, *granted);
  });
  mosquitto_message_v5_callback_set(
      client, [](mosquitto*, void* self, const mosquitto_message* message,
                 const mosquitto_property* properties) {
        static_cast<MqttReader*>(self)->on_message(*message, properties);
      });
  mosquitto_disconnect_v5_callback_set(
      client, [](mosquitto*, void* self, int reason, const mosquitto_property*) {
        static_cast<MqttReader*>(self)->on_disconnected(reason);
      });
  if (!config_.wants_redelivered) return;
  mosquitto_log_callback_set(client, [](mosquitto*, void* self, int, const char* line) {
    static_cast<MqttReader*>(self)->on_log(line == nullptr ? "" : line);
  });
}

/// The library shows the DUP flag to nobody but in the line that it logs before it hands a message over. With another
/// library's words no message counts as redelivered.
void MqttReader::on_log(std::string_view line) {
  for (const std::string_view part :
       {std::string_view("Client "), std::string_view(config_.client_id),
        std::string_view(" received PUBLISH (d1,")}) {
    if (!line.starts_with(part)) return;
    line.remove_prefix(part.size());
  }
  next_is_redelivered_ = true;
}

Result<void> MqttReader::begin() {
  SPILLWAY_TRY(client, make_mosquitto(config_.address, config_.client_id, false, this));
  client_ = std::move(client);
  set_callbacks();
  mosquitto_threaded_set(client_.get(), true);  // it queues, and write() writes
  mosquitto_int_option(client_.get(), MOSQ_OPT_RECEIVE_MAXIMUM,
                       static_cast<int>(config_.receive_maximum));
  MqttProperties properties;
  properties.large_number(MQTT_PROP_SESSION_EXPIRY_INTERVAL, expiry_of(config_));
  properties.large_number(MQTT_PROP_MAXIMUM_PACKET_SIZE, config_.packet_bytes_max);
  const auto keep_alive = static_cast<int>(config_.keep_alive_ns / kSecondNs);
  // The library takes properties only in the call that waits for the connection without a bound. It keeps them,
  // though, before it sees that there is no host, and the call that does not wait sends them.
  const int kept =
      mosquitto_connect_bind_v5(client_.get(), nullptr, 0, keep_alive, nullptr, properties.list());
  if (properties.status() != MOSQ_ERR_SUCCESS || kept != MOSQ_ERR_INVAL) {
    return fail(ErrorCode::kIo, config_.address.what() + ": the session's wishes cannot be set");
  }
  const EngineHost& host = config_.address.url.hosts.front();
  const int status =
      mosquitto_connect_async(client_.get(), host.host.c_str(), host.port, keep_alive);
  if (status == MOSQ_ERR_SUCCESS) return {};
  return tl::unexpected(mqtt_status_error(config_.address, status));
}

Result<void> MqttReader::connect(std::uint64_t timeout_ns) {
  disconnect();
  const std::uint64_t until_ns = now_ns() + timeout_ns;
  auto outcome = begin();
  if (outcome) outcome = await_subscription(until_ns);
  if (!outcome) disconnect();
  return outcome;
}

/// Where messages of a session that was there come first, the subscription is asked for when they are settled: it
/// stands behind their acknowledgements. The session is subscribed, for it has messages.
Result<void> MqttReader::await_subscription(std::uint64_t until_ns) {
  while (!subscribed_ && gate_.may_write()) {
    SPILLWAY_CHECKED(turn(kPollMsMax * kMsNs));
    if (subscribed_ || now_ns() < until_ns) continue;
    return fail(ErrorCode::kUnavailable,
                config_.address.what() + (greeted_ ? ": no answer to the subscription"
                                                   : ": no answer to the connection"));
  }
  return {};
}

Result<void> MqttReader::subscribe() {
  SPILLWAY_CHECKED(unsubscribe());
  for (std::size_t i = 0; i < config_.filters.size(); ++i) {
    const MqttFilter& wanted = config_.filters[i];
    int packet_id = 0;
    const int status = mosquitto_subscribe_v5(
        client_.get(), &packet_id, wanted.filter.c_str(), wanted.qos,
        wanted.retained ? MQTT_SUB_OPT_SEND_RETAIN_NEW : MQTT_SUB_OPT_SEND_RETAIN_NEVER, nullptr);
    if (status != MOSQ_ERR_SUCCESS) {
      return fail(ErrorCode::kInvalidArgument, config_.address.what() + ": cannot subscribe to " +
                                                   wanted.filter + ": " +
                                                   mosquitto_strerror(status));
    }
    subscribing_[packet_id] = i;
  }
  return {};
}

/// Its answer comes before those to the subscriptions, and says nothing of use.
Result<void> MqttReader::unsubscribe() {
  for (const std::string& filter : config_.former_filters) {
    const int status = mosquitto_unsubscribe(client_.get(), nullptr, filter.c_str());
    if (status == MOSQ_ERR_SUCCESS) continue;
    return fail(ErrorCode::kInvalidArgument, config_.address.what() + ": cannot unsubscribe from " +
                                                 filter + ": " + mosquitto_strerror(status));
  }
  return {};
}

Result<void> MqttReader::check(int status) {
  if (failure_) return tl::unexpected(*failure_);
  if (status != MOSQ_ERR_SUCCESS) {
    Error error = mqtt_status_error(config_.address, status);
    // mosquitto 2.0.11 says nothing to whom it throws out.
    if (status == MOSQ_ERR_CONN_LOST && greeted_) {
      error.message += " (or somebody else has come with client_id " + config_.client_id +
                       ": each needs its own)";
    }
    return tl::unexpected(std::move(error));
  }
  if (mosquitto_socket(client_.get()) >= 0) return {};
  return fail(ErrorCode::kUnavailable, config_.address.what() + " ended the connection");
}

/// The library does not notice that there is nobody to begin TLS with, but may have taken the reason from the socket.
Result<void> MqttReader::check_greeting(const pollfd& socket) const {
  if (greeted_ || (socket.revents & (POLLERR | POLLHUP)) == 0) return {};
  int error = 0;
  socklen_t size = sizeof(error);
  static_cast<void>(::getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &size));
  return fail(ErrorCode::kUnavailable,
              config_.address.what() + ": " +
                  (error == 0 ? "Connection refused, or ended at once" : std::strerror(error)));
}

Result<void> MqttReader::read() {
  errno = 0;  // the library takes what it finds there for its own
  return check(mosquitto_loop_read(client_.get(), 1));
}

/// Never but when the gate lets it: the queue begins with acknowledgements.
Result<void> MqttReader::write() {
  if (!gate_.may_write() || !mosquitto_want_write(client_.get())) return {};
  errno = 0;
  return check(mosquitto_loop_write(client_.get(), 1));
}

Result<void> MqttReader::turn(std::uint64_t wait_ns) {
  if (client_ == nullptr) {
    return fail(ErrorCode::kUnavailable, config_.address.what() + ": not connected");
  }
  SPILLWAY_CHECKED(check(mosquitto_loop_misc(client_.get())));
  SPILLWAY_CHECKED(write());
  pollfd socket{mosquitto_socket(client_.get()), 0, 0};
  // What nobody wants yet stays with the broker, but for one that may stand before an answer to a ping.
  if (held_.empty() && gate_.may_read(now_ns())) socket.events |= POLLIN;
  if (gate_.may_write() && mosquitto_want_write(client_.get())) socket.events |= POLLOUT;
  const auto wait_ms = static_cast<int>(std::min<std::uint64_t>(wait_ns / kMsNs, kPollMsMax));
  if (::poll(&socket, 1, wait_ms) <= 0) return {};
  if ((socket.events & POLLIN) != 0 && (socket.revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
    SPILLWAY_CHECKED(read());  // its refusal may stand there before the end
    SPILLWAY_CHECKED(check_greeting(socket));
  } else if ((socket.revents & (POLLERR | POLLHUP)) != 0) {
    return check(MOSQ_ERR_CONN_LOST);  // nothing can be acknowledged there any more
  }
  return write();
}

Result<void> MqttReader::fetch(std::uint64_t wait_ns, std::size_t messages_max,
                               const OnMessage& on_message) {
  std::size_t left = messages_max;
  bool wants_more = left != 0 && hand_over(on_message, left);
  if (!wants_more || left != messages_max) wait_ns = 0;
  const std::uint64_t until_ns = now_ns() + wait_ns;
  do {
    const std::uint64_t at_ns = now_ns();
    SPILLWAY_CHECKED(turn(until_ns > at_ns && left == messages_max ? until_ns - at_ns : 0));
    // As long as each reading brings one, nobody asks the system whether there is more.
    while (wants_more && !held_.empty()) {
      wants_more = hand_over(on_message, left);
      if (wants_more && gate_.may_read(now_ns())) SPILLWAY_CHECKED(read());
    }
  } while (wants_more && left == messages_max && gate_.may_read(now_ns()) && now_ns() < until_ns);
  return {};
}

bool MqttReader::hand_over(const OnMessage& on_message, std::size_t& messages_left) {
  while (!held_.empty()) {
    if (messages_left == 0) return false;
    const Held one = std::move(held_.front());
    held_.pop_front();
    --messages_left;
    if (!on_message({one.tag, one.topic, one.payload, &one.properties, one.qos, one.packet_id,
                     one.redelivered})) {
      return false;
    }
  }
  return messages_left != 0;
}

Result<void> MqttReader::settle(std::uint64_t tag) {
  if (client_ == nullptr) {
    gate_.settled(tag);
    return {};
  }
  // Who has gone, or has given this client up, reads no acknowledgement: none is to have left. The end of the
  // connection may stand behind what was not yet read; a client that was silent for 1.5 keep_alive is given up, and
  // the last word may have been one keep_alive before the first message.
  const std::uint64_t held_ns = gate_.held_ns(now_ns());
  if (held_ns > config_.keep_alive_ns / 2) {
    return fail(ErrorCode::kUnavailable,
                config_.address.what() + ": nothing could be acknowledged for " +
                    std::to_string(held_ns / kSecondNs) +
                    " s, and it may have given this client up: connects anew");
  }
  pollfd socket{mosquitto_socket(client_.get()), POLLRDHUP, 0};
  if (::poll(&socket, 1, 0) != 0) return check(MOSQ_ERR_CONN_LOST);
  gate_.settled(tag);
  return write();
}

void MqttReader::on_connected(int reason, int flags, const mosquitto_property* properties) {
  if (reason != MQTT_RC_SUCCESS) {
    fail_with(mqtt_reason_error(config_.address.what() + " refused the connection", reason));
    return;
  }
  connected_ = true;
  greeted_ = true;
  session_is_new_ = (flags & kSessionPresent) == 0;
  std::uint32_t expiry = expiry_of(config_);
  mosquitto_property_read_int32(properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, &expiry, false);
  if (expiry < expiry_of(config_)) session_cut_s_ = expiry;
  if (auto asked = subscribe(); !asked) fail_with(std::move(asked).error());
}

void MqttReader::on_subscribed(int packet_id, int granted) {
  const auto asked = subscribing_.find(packet_id);
  if (asked == subscribing_.end()) return;
  const MqttFilter& wanted = config_.filters[asked->second];
  subscribing_.erase(asked);
  const std::string tried = config_.address.what() + ": cannot subscribe to " + wanted.filter;
  if (granted >= kReasonErrorMin) return fail_with(mqtt_reason_error(tried, granted));
  if (granted < wanted.qos) {
    return fail_with({ErrorCode::kRefused, tried + ": it gives no more than QoS 0"});
  }
  subscribed_ = subscribing_.empty();
}

void MqttReader::on_message(const mosquitto_message& message,
                            const mosquitto_property* properties) {
  const auto* data = static_cast<const std::byte*>(message.payload);
  const std::size_t size = data == nullptr ? 0 : static_cast<std::size_t>(message.payloadlen);
  held_.push_back({gate_.received(now_ns()), message.topic == nullptr ? "" : message.topic,
                   std::vector<std::byte>(data, data + size), message.qos,
                   static_cast<std::uint16_t>(message.mid),
                   std::exchange(next_is_redelivered_, false),
                   properties_of(properties, config_.property_prefix)});
}

void MqttReader::on_disconnected(int reason) {
  connected_ = false;
  if (reason < kReasonErrorMin) return;  // a status: the call that met it returns it
  fail_with(mqtt_reason_error(config_.address.what() + " ended the connection", reason));
}

/// Closed while something unread stands in it, a socket is reset, and the acknowledgements that the broker has not yet
/// read go with it. The library closes its descriptor with the farewell: `end` is another one of the same socket.
void MqttReader::say_farewell() {
  pollfd end{::dup(mosquitto_socket(client_.get())), POLLIN, 0};
  mosquitto_disconnect_v5(client_.get(), MQTT_RC_NORMAL_DISCONNECTION, nullptr);
  static_cast<void>(mosquitto_loop_write(client_.get(), 1));
  if (end.fd < 0) return;
  ::shutdown(end.fd, SHUT_WR);
  std::array<std::byte, 4096> passed_over{};
  const std::uint64_t until_ns = now_ns() + kGoodbyeNs;
  while (now_ns() < until_ns && ::poll(&end, 1, kPollMsMax) >= 0) {
    const auto size = ::recv(end.fd, passed_over.data(), passed_over.size(), MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN)) break;
  }
  ::close(end.fd);
}

void MqttReader::disconnect() {
  // A farewell stands in the queue behind acknowledgements; without it the broker sees the socket close.
  if (client_ != nullptr && connected_ && gate_.may_write() && !failure_) {
    say_farewell();
  }
  client_.reset();
  gate_ = {};
  held_.clear();
  failure_.reset();
  connected_ = false;
  greeted_ = false;
  next_is_redelivered_ = false;
  subscribed_ = false;
  subscribing_.clear();
  session_cut_s_.reset();
}

}  // namespace spillway::core
