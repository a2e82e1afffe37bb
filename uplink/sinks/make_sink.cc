#include "uplink/sinks/make_sink.h"

#include <algorithm>
#include <array>

#include "spillway/core/secret_file.h"
#include "uplink/engines/engine_kinds.h"

#ifdef SPILLWAY_SINK_HTTP
#include "uplink/sinks/http/http_sink.h"
#endif
#ifdef SPILLWAY_SINK_KAFKA
#include "uplink/sinks/kafka/kafka_setup.h"
#endif
#ifdef SPILLWAY_SINK_MQTT
#include "uplink/sinks/mqtt/mqtt_sink.h"
#endif
#ifdef SPILLWAY_SINK_NATS
#include "uplink/sinks/nats/nats_setup.h"
#include "uplink/sinks/nats/nats_sink.h"
#endif
#ifdef SPILLWAY_SINK_RABBITMQ
#include "uplink/sinks/rabbitmq/rabbitmq_setup.h"
#include "uplink/sinks/rabbitmq/rabbitmq_sink.h"
#endif

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

using Make = Result<std::unique_ptr<Sink>> (*)(const core::UplinkConfig&);
using SetUp = Result<void> (*)(const core::UplinkConfig&, SinkSetup&);

struct Kind {
  std::string_view scheme;
  const char* option;
  Make make = nullptr;  // null: this build does not have it
  SetUp set_up = nullptr;
};

#ifdef SPILLWAY_SINK_RABBITMQ
constexpr Make kMakeRabbitmq = make_rabbitmq_sink;
constexpr SetUp kSetUpRabbitmq = set_up_rabbitmq;
#else
constexpr Make kMakeRabbitmq = nullptr;
constexpr SetUp kSetUpRabbitmq = nullptr;
#endif

#ifdef SPILLWAY_SINK_KAFKA
constexpr Make kMakeKafka = kafka::make_kafka_sink;
constexpr SetUp kSetUpKafka = kafka::set_up_kafka;
#else
constexpr Make kMakeKafka = nullptr;
constexpr SetUp kSetUpKafka = nullptr;
#endif

#ifdef SPILLWAY_SINK_NATS
constexpr Make kMakeNats = make_nats_sink;
constexpr SetUp kSetUpNats = set_up_nats;
#else
constexpr Make kMakeNats = nullptr;
constexpr SetUp kSetUpNats = nullptr;
#endif

#ifdef SPILLWAY_SINK_MQTT
constexpr Make kMakeMqtt = make_mqtt_sink;
#else
constexpr Make kMakeMqtt = nullptr;
#endif

#ifdef SPILLWAY_SINK_HTTP
constexpr Make kMakeHttp = make_http_sink;
#else
constexpr Make kMakeHttp = nullptr;
#endif

constexpr std::array<Kind, 8> kKinds{{
    {"amqp", "SPILLWAY_SINK_RABBITMQ", kMakeRabbitmq, kSetUpRabbitmq},
    {"amqps", "SPILLWAY_SINK_RABBITMQ", kMakeRabbitmq, kSetUpRabbitmq},
    {"kafka", "SPILLWAY_SINK_KAFKA", kMakeKafka, kSetUpKafka},
    {"mqtt", "SPILLWAY_SINK_MQTT", kMakeMqtt},
    {"mqtts", "SPILLWAY_SINK_MQTT", kMakeMqtt},
    {"nats", "SPILLWAY_SINK_NATS", kMakeNats, kSetUpNats},
    {"http", "SPILLWAY_SINK_HTTP", kMakeHttp},
    {"https", "SPILLWAY_SINK_HTTP", kMakeHttp},
}};

Result<const Kind*> kind_of(const core::UplinkConfig& uplink) {
  return find_kind<Kind>(kKinds, uplink.engine.url.scheme, "uplink " + uplink.name,
                         "is no engine's");
}

}  // namespace

Result<std::unique_ptr<Sink>> make_sink(const core::UplinkConfig& uplink) {
  SPILLWAY_TRY(kind, kind_of(uplink));
  return kind->make(uplink);
}

Result<void> set_up_sink(const core::UplinkConfig& uplink, SinkSetup& setup) {
  SPILLWAY_TRY(kind, kind_of(uplink));
  if (kind->set_up != nullptr) return kind->set_up(uplink, setup);
  return fail(ErrorCode::kInvalidArgument, "uplink " + uplink.name + ": " +
                                               uplink.engine.url.scheme +
                                               ":// has nothing that would have to be set up");
}

Result<std::string> engine_password(const core::EngineConfig& engine) {
  return core::read_password(engine.password_file);
}

}  // namespace spillway::uplink
