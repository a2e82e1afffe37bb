// What everything here that speaks MQTT 5 by libmosquitto shares: a client that is set up, its properties,
// and what its numbers mean to a person. Built where the library is (target spillway_mqtt).
//
// One thread a client.
#pragma once

#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "spillway/core/engine_config.h"
#include "spillway/core/result.h"
#include "spillway/core/tls_config.h"

namespace spillway::core {

struct MosquittoFree {
  void operator()(mosquitto* client) const { mosquitto_destroy(client); }
};
using MosquittoPointer = std::unique_ptr<mosquitto, MosquittoFree>;

/// Freed at the end, whoever filled it. An empty text is left out: libmosquitto 2.0.11 copies it by strdup(nullptr).
class MqttProperties {
 public:
  MqttProperties() = default;
  MqttProperties(const MqttProperties&) = delete;
  MqttProperties& operator=(const MqttProperties&) = delete;
  ~MqttProperties() { mosquitto_property_free_all(&list_); }

  void text(int name, const std::string& value) {
    if (value.empty()) return;
    keep(mosquitto_property_add_string(&list_, name, value.c_str()));
  }
  void pair(std::string_view name, const std::string& value) {
    if (value.empty()) return;
    keep(mosquitto_property_add_string_pair(&list_, MQTT_PROP_USER_PROPERTY,
                                            std::string(name).c_str(), value.c_str()));
  }
  void number(int name, std::uint16_t value) {
    keep(mosquitto_property_add_int16(&list_, name, value));
  }
  void large_number(int name, std::uint32_t value) {
    keep(mosquitto_property_add_int32(&list_, name, value));
  }
  /// MOSQ_ERR_SUCCESS, or the first error: a text that is no UTF-8, or too long.
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] const mosquitto_property* list() const { return list_; }

 private:
  void keep(int status) {
    if (status_ == MOSQ_ERR_SUCCESS) status_ = status;
  }
  mosquitto_property* list_ = nullptr;
  int status_ = MOSQ_ERR_SUCCESS;
};

/// Where a broker is, and who asks.
struct MqttAddress {
  EngineUrl url;
  std::string password;   // of the url's user
  TlsConfig tls;          // counts where the url is secure
  std::string tls_place;  // as in "[uplink.tls]", for messages
  [[nodiscard]] std::string what() const { return "MQTT broker at " + url.hosts_text(); }
};

/// MQTT 5, with user and TLS; connects nowhere. `client_id` may be empty only with a clean start.
/// `owner` is what its callbacks get. kInvalidArgument: the TLS files cannot be used.
[[nodiscard]] Result<MosquittoPointer> make_mosquitto(const MqttAddress& address,
                                                      const std::string& client_id,
                                                      bool clean_start, void* owner);

/// What a reason code of the broker's, or a status that the library gives in its place, means for what was tried.
[[nodiscard]] Error mqtt_reason_error(const std::string& tried, int reason);
/// The same of a status that one of the library's calls returned; reads errno.
[[nodiscard]] Error mqtt_status_error(const MqttAddress& address, int status);

}  // namespace spillway::core
