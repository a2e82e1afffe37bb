#include "uplink/consumer/sources/make_source.h"

#include <array>

#include "uplink/engines/engine_kinds.h"

#ifdef SPILLWAY_SOURCE_MQTT
#include "uplink/consumer/sources/mqtt_source.h"
#endif
#ifdef SPILLWAY_SOURCE_NATS
#include "uplink/consumer/sources/nats_source.h"
#endif
#ifdef SPILLWAY_SOURCE_KAFKA
#include "uplink/consumer/sources/kafka_source.h"
#endif
#ifdef SPILLWAY_SOURCE_RABBITMQ
#include "uplink/consumer/sources/rabbitmq_source.h"
#endif

namespace spillway::consumer {

namespace {

using core::Result;

using Make = Result<std::unique_ptr<BrokerSource>> (*)(const core::SourceConfig&);

struct Kind {
  std::string_view scheme;
  const char* option;
  Make make = nullptr;  // null: this build does not have it
};

#ifdef SPILLWAY_SOURCE_RABBITMQ
constexpr Make kMakeRabbitmq = make_rabbitmq_source;
#else
constexpr Make kMakeRabbitmq = nullptr;
#endif

#ifdef SPILLWAY_SOURCE_MQTT
constexpr Make kMakeMqtt = make_mqtt_source;
#else
constexpr Make kMakeMqtt = nullptr;
#endif

#ifdef SPILLWAY_SOURCE_NATS
constexpr Make kMakeNats = make_nats_source;
#else
constexpr Make kMakeNats = nullptr;
#endif

#ifdef SPILLWAY_SOURCE_KAFKA
constexpr Make kMakeKafka = make_kafka_source;
#else
constexpr Make kMakeKafka = nullptr;
#endif

constexpr std::array<Kind, 6> kKinds{{
    {"amqp", "SPILLWAY_SOURCE_RABBITMQ", kMakeRabbitmq},
    {"amqps", "SPILLWAY_SOURCE_RABBITMQ", kMakeRabbitmq},
    {"kafka", "SPILLWAY_SOURCE_KAFKA", kMakeKafka},
    {"mqtt", "SPILLWAY_SOURCE_MQTT", kMakeMqtt},
    {"mqtts", "SPILLWAY_SOURCE_MQTT", kMakeMqtt},
    {"nats", "SPILLWAY_SOURCE_NATS", kMakeNats},
}};

}  // namespace

Result<std::unique_ptr<BrokerSource>> make_source(const core::SourceConfig& config) {
  SPILLWAY_TRY(kind, uplink::find_kind<Kind>(kKinds, config.url.scheme, "[[consumer.source]]",
                                             "is nothing that can be read from"));
  return kind->make(config);
}

}  // namespace spillway::consumer
