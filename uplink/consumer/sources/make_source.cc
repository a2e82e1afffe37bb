#include "uplink/consumer/sources/make_source.h"

#include <array>

namespace spillway::consumer {

namespace {

constexpr std::array<uplink::EngineKind, 6> kKinds{{
    {"amqp", "rabbitmq"},
    {"amqps", "rabbitmq"},
    {"kafka", "kafka"},
    {"mqtt", "mqtt"},
    {"mqtts", "mqtt"},
    {"nats", "nats"},
}};

}  // namespace

core::Result<std::unique_ptr<BrokerSource>> make_source(const core::SourceConfig& config) {
  const std::string whose = "[[consumer.source]] " + config.url.scheme + "://";
  SPILLWAY_TRY(engine, uplink::engine_of(kKinds, config.url.scheme, "[[consumer.source]]",
                                         "is nothing that can be read from"));
  SPILLWAY_TRY(module, uplink::load_engine_module("source", engine, whose));
  // head is its first member
  return reinterpret_cast<const SourceModule*>(module)->make(config);
}

}  // namespace spillway::consumer
