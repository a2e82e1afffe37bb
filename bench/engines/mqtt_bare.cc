// mqtt_bare PORT TOPIC MESSAGES BYTES WINDOW: the bare loop beside which the MQTT sink is measured: the same
// library, user properties and window, QoS 1.
//
// Prints the messages a second from the first acknowledgement to the last.
#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <algorithm>

#include "bench/engines/bare.h"

namespace {

using namespace spillway::bench;

void check(int status, const char* what) {
  if (status != MOSQ_ERR_SUCCESS) give_up(std::string(what) + ": " + mosquitto_strerror(status));
}

struct State {
  bool connected = false;
  std::uint64_t window = 0;
  std::uint64_t acknowledged = 0;
  Rate rate;
};

void on_connected(mosquitto* /*client*/, void* self, int reason, int /*flags*/,
                  const mosquitto_property* properties) {
  if (reason != MQTT_RC_SUCCESS) give_up("connection refused");
  State& state = *static_cast<State*>(self);
  std::uint16_t receive_max = 65535;
  mosquitto_property_read_int16(properties, MQTT_PROP_RECEIVE_MAXIMUM, &receive_max, false);
  state.window = std::min<std::uint64_t>(state.window, receive_max);
  state.connected = true;
}

void on_published(mosquitto* /*client*/, void* self, int /*message*/, int reason,
                  const mosquitto_property* /*properties*/) {
  if (reason != MQTT_RC_SUCCESS) give_up("a message was not stored");
  State& state = *static_cast<State*>(self);
  state.rate.acknowledged(++state.acknowledged);
}

/// The topic once; then its alias.
void publish(mosquitto* client, const char* topic, const std::string& body, std::uint64_t number) {
  mosquitto_property* properties = nullptr;
  mosquitto_property_add_string(&properties, MQTT_PROP_CONTENT_TYPE, "application/octet-stream");
  for (const auto& [name, value] : headers_of(number)) {
    mosquitto_property_add_string_pair(&properties, MQTT_PROP_USER_PROPERTY, name, value.c_str());
  }
  mosquitto_property_add_int16(&properties, MQTT_PROP_TOPIC_ALIAS, 1);
  check(mosquitto_publish_v5(client, nullptr, number == 0 ? topic : nullptr,
                             static_cast<int>(body.size()), body.data(), 1, false, properties),
        "publish");
  mosquitto_property_free_all(&properties);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) give_up("give PORT TOPIC MESSAGES BYTES WINDOW");
  const auto messages = std::strtoull(argv[3], nullptr, 10);
  const std::string body(std::strtoull(argv[4], nullptr, 10), 'x');
  State state;
  state.window = std::strtoull(argv[5], nullptr, 10);
  mosquitto_lib_init();
  mosquitto* client = mosquitto_new(nullptr, true, &state);
  mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, static_cast<int>(state.window));
  mosquitto_connect_v5_callback_set(client, on_connected);
  mosquitto_publish_v5_callback_set(client, on_published);
  check(mosquitto_connect(client, "127.0.0.1", std::atoi(argv[1]), 60), "connect");
  while (!state.connected) check(mosquitto_loop(client, 100, 1), "connect");
  std::uint64_t published = 0;
  while (state.acknowledged < messages) {
    const bool idle = published == messages || published - state.acknowledged >= state.window;
    if (!idle) publish(client, argv[2], body, published++);
    if (idle || published % 64 == 0) check(mosquitto_loop(client, idle ? 100 : 0, 1), "loop");
  }
  state.rate.print(messages);
  mosquitto_destroy(client);
  return 0;
}
