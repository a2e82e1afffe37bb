#include "uplink/engines/kafka/kafka_connection.h"

#include <algorithm>
#include <array>

#include "spillway/core/secret_file.h"
#include "uplink/engines/kafka/kafka_admin.h"

namespace spillway::uplink::kafka {

namespace {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;

constexpr std::size_t kReasonBytes = 512;
/// A status is written once a second, and a person has to see it.
constexpr std::uint64_t kThrottleToldNs = 3'000'000'000;

/// What a person can do about an error, and what a caller does next.
struct Advice {
  rd_kafka_resp_err_t error;
  ErrorCode code;
  const char* text;
};

constexpr std::array kAdvice{
    Advice{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ErrorCode::kNotFound,
           "make it: spillway sink setup"},
    Advice{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, ErrorCode::kNotFound, "make it: spillway sink setup"},
    Advice{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, ErrorCode::kNotFound,
           "make it: spillway sink setup"},
    Advice{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ErrorCode::kPermission,
           "grant the user Write, Read and Describe on it"},
    Advice{RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ErrorCode::kPermission,
           "grant the user Read on the group"},
    Advice{
        RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ErrorCode::kPermission,
        "grant the user Write and Describe on the transactional id, or set transactions = false"},
    Advice{RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, ErrorCode::kPermission,
           "grant the user the right on the cluster"},
    Advice{RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, ErrorCode::kPermission,
           "check the user in the url and its password_file"},
    Advice{RD_KAFKA_RESP_ERR__AUTHENTICATION, ErrorCode::kPermission,
           "check the user in the url, its password_file and sasl"},
    Advice{RD_KAFKA_RESP_ERR__SSL, ErrorCode::kPermission,
           "check ca, certificate and key in [uplink.tls], the broker's name in its certificate, "
           "and the clock"},
    Advice{RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, ErrorCode::kBusy,
           "another uplink of this gateway's id and this name has taken over"},
    Advice{RD_KAFKA_RESP_ERR_PRODUCER_FENCED, ErrorCode::kBusy,
           "another uplink of this gateway's id and this name has taken over"},
    Advice{RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, ErrorCode::kNewerVersion,
           "the brokers are too old for it: they have to be Kafka 2.5 or later"},
    Advice{RD_KAFKA_RESP_ERR__FENCED, ErrorCode::kBusy,
           "another uplink of this gateway's id and this name has taken over"},
};

void ignore_log(const rd_kafka_t*, int, const char*, const char*) {}

const char* protocol_of(const Connection& connection) {
  if (connection.user.empty()) return connection.secure ? "ssl" : "plaintext";
  return connection.secure ? "sasl_ssl" : "sasl_plaintext";
}

}  // namespace

std::string mechanism_of(std::string word) {
  for (char& letter : word) {
    if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 'a' + 'A');
  }
  return word;
}

Error explain(rd_kafka_resp_err_t error, const std::string& on, const std::string& detail) {
  std::string text = on + ": " + (detail.empty() ? rd_kafka_err2str(error) : detail);
  for (const Advice& advice : kAdvice) {
    if (advice.error == error) return {advice.code, text + "; " + advice.text};
  }
  return {ErrorCode::kUnavailable, text};
}

Error explain(const rd_kafka_error_t& error, const std::string& on) {
  return explain(rd_kafka_error_code(&error), on, rd_kafka_error_string(&error));
}

Settings::Settings() : conf_(rd_kafka_conf_new()) {
  // What it would print says the same as the errors that it reports, in other words and more often.
  rd_kafka_conf_set_log_cb(conf_.get(), ignore_log);
}

Settings& Settings::set(const char* key, const std::string& value) {
  std::array<char, kReasonBytes> reason{};
  const auto done =
      rd_kafka_conf_set(conf_.get(), key, value.c_str(), reason.data(), reason.size());
  if (done != RD_KAFKA_CONF_OK && !refused_) {
    refused_ = Error{ErrorCode::kInvalidArgument,
                     "librdkafka refuses the setting " + std::string(key) + ": " + reason.data()};
  }
  return *this;
}

Settings& Settings::reach(const Connection& connection) {
  set("bootstrap.servers", connection.brokers).set("client.id", connection.client_id);
  set("security.protocol", protocol_of(connection)).set("socket.keepalive.enable", "true");
  set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "2000");
  if (connection.secure && !connection.tls.ca.empty()) set("ssl.ca.location", connection.tls.ca);
  if (connection.secure && !connection.tls.certificate.empty()) {
    set("ssl.certificate.location", connection.tls.certificate);
    set("ssl.key.location", connection.tls.key);
  }
  if (connection.user.empty()) return *this;
  set("sasl.mechanism", connection.mechanism).set("sasl.username", connection.user);
  if (connection.password_file.empty()) return *this;
  auto password = core::read_secret_file(connection.password_file, "password_file");
  if (password) return set("sasl.password", *password);
  if (!refused_) refused_ = std::move(password).error();
  return *this;
}

Result<rd_kafka_conf_t*> Settings::take() {
  if (refused_) return tl::unexpected(*refused_);
  return conf_.release();
}

Result<std::unique_ptr<Client>> Client::open(rd_kafka_type_t type, Settings settings,
                                             Delivered delivered) {
  std::unique_ptr<Client> client(new Client());
  client->delivered_ = std::move(delivered);
  SPILLWAY_TRY(conf, settings.take());
  rd_kafka_conf_set_opaque(conf, client.get());
  rd_kafka_conf_set_error_cb(conf, on_error);
  rd_kafka_conf_set_throttle_cb(conf, on_throttle);
  if (client->delivered_) rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  std::array<char, kReasonBytes> reason{};
  client->handle_.reset(rd_kafka_new(type, conf, reason.data(), reason.size()));
  if (client->handle_) return client;
  rd_kafka_conf_destroy(conf);
  return fail(ErrorCode::kInvalidArgument,
              std::string("librdkafka does not start: ") + reason.data());
}

void Client::on_error(rd_kafka_t* /*handle*/, int error, const char* reason, void* self) {
  auto& client = *static_cast<Client*>(self);
  const auto code = static_cast<rd_kafka_resp_err_t>(error);
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    client.all_down_ = true;
    if (client.trouble_) return;  // why they are down says more
  }
  client.trouble_ = explain(code, "the cluster", reason);
  client.hopeless_ = code == RD_KAFKA_RESP_ERR__SSL || code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
                     code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
}

void Client::on_throttle(rd_kafka_t* /*handle*/, const char* /*name*/, std::int32_t /*id*/,
                         int throttle_ms, void* self) {
  if (throttle_ms <= 0) return;
  auto& client = *static_cast<Client*>(self);
  client.throttled_ms_ = throttle_ms;
  client.throttled_until_ns_ =
      now_ns() + std::max(static_cast<std::uint64_t>(throttle_ms) * 1'000'000, kThrottleToldNs);
}

void Client::on_delivery(rd_kafka_t* /*handle*/, const rd_kafka_message_t* message, void* self) {
  static_cast<Client*>(self)->delivered_(*message);
}

}  // namespace spillway::uplink::kafka
