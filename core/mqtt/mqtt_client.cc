#include "spillway/core/mqtt/mqtt_client.h"

#include <cerrno>
#include <cstring>

namespace spillway::core {

namespace {

/// The broker's codes for what went wrong begin here; below are the library's own numbers.
constexpr int kReasonErrorMin = 0x80;

Result<void> set_up_tls(const MqttAddress& address, mosquitto* client) {
  const auto file = [](const std::string& name) { return name.empty() ? nullptr : name.c_str(); };
  // Without an authority of its own the library asks for a folder: the system's.
  const TlsConfig& tls = address.tls;
  const char* folder = tls.ca.empty() ? "/etc/ssl/certs" : nullptr;
  const int status = mosquitto_tls_set(client, file(tls.ca), folder, file(tls.certificate),
                                       file(tls.key), nullptr);
  if (status == MOSQ_ERR_SUCCESS) return {};
  return fail(ErrorCode::kInvalidArgument, address.tls_place +
                                               ": cannot use ca, certificate or key: " +
                                               std::string(mosquitto_strerror(status)));
}

}  // namespace

Result<MosquittoPointer> make_mosquitto(const MqttAddress& address, const std::string& client_id,
                                        bool clean_start, void* owner) {
  static const int started = mosquitto_lib_init();  // once a process
  static_cast<void>(started);
  MosquittoPointer client(
      mosquitto_new(client_id.empty() ? nullptr : client_id.c_str(), clean_start, owner));
  if (client == nullptr) {
    return fail(ErrorCode::kIo, address.what() + ": no client could be made");
  }
  mosquitto_int_option(client.get(), MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  if (!address.url.user.empty()) {
    mosquitto_username_pw_set(client.get(), address.url.user.c_str(),
                              address.password.empty() ? nullptr : address.password.c_str());
  }
  if (address.url.secure()) SPILLWAY_CHECKED(set_up_tls(address, client.get()));
  return client;
}

Error mqtt_reason_error(const std::string& tried, int reason) {
  const char* const text =
      reason < kReasonErrorMin ? mosquitto_strerror(reason) : mosquitto_reason_string(reason);
  Error error{ErrorCode::kUnavailable, tried + ": " + text};
  switch (reason) {
    case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
    case MQTT_RC_NOT_AUTHORIZED:
    case MQTT_RC_BANNED:
      error.code = ErrorCode::kPermission;
      error.message += "; check user, password_file and the broker's access list";
      break;
    case MQTT_RC_SESSION_TAKEN_OVER:
      error.code = ErrorCode::kBusy;
      error.message += "; somebody else has come with the same client_id: each needs its own";
      break;
    case MQTT_RC_QUOTA_EXCEEDED:
      error.code = ErrorCode::kFull;
      break;
    case MQTT_RC_TOPIC_NAME_INVALID:
    case MQTT_RC_PACKET_TOO_LARGE:
    case MQTT_RC_PAYLOAD_FORMAT_INVALID:
      error.code = ErrorCode::kRefused;
      break;
    default:
      break;
  }
  return error;
}

Error mqtt_status_error(const MqttAddress& address, int status) {
  std::string text = status == MOSQ_ERR_ERRNO ? std::strerror(errno) : mosquitto_strerror(status);
  if (status == MOSQ_ERR_TLS) {
    text += " (compare the certificates of both ends with " + address.tls_place + ")";
  }
  return {ErrorCode::kUnavailable, address.what() + ": " + text};
}

}  // namespace spillway::core
