#include "uplink/sinks/make_sink.h"

#include <array>

namespace spillway::uplink {

namespace {

using core::Result;

constexpr std::array<EngineKind, 8> kKinds{{
    {"amqp", "rabbitmq"},
    {"amqps", "rabbitmq"},
    {"kafka", "kafka"},
    {"mqtt", "mqtt"},
    {"mqtts", "mqtt"},
    {"nats", "nats"},
    {"http", "http"},
    {"https", "http"},
}};

Result<const SinkModule*> module_of(const core::UplinkConfig& uplink) {
  const std::string whose = "uplink " + uplink.name;
  SPILLWAY_TRY(engine, engine_of(kKinds, uplink.engine.url.scheme, whose, "is no engine's"));
  SPILLWAY_TRY(module, load_engine_module("sink", engine, whose));
  return reinterpret_cast<const SinkModule*>(module);  // head is its first member
}

}  // namespace

Result<std::unique_ptr<Sink>> make_sink(const core::UplinkConfig& uplink) {
  SPILLWAY_TRY(module, module_of(uplink));
  return module->make(uplink);
}

Result<void> set_up_sink(const core::UplinkConfig& uplink, SinkSetup& setup) {
  SPILLWAY_TRY(module, module_of(uplink));
  if (module->set_up != nullptr) return module->set_up(uplink, setup);
  return core::fail(core::ErrorCode::kInvalidArgument,
                    "uplink " + uplink.name + ": " + uplink.engine.url.scheme +
                        ":// has nothing that would have to be set up");
}

}  // namespace spillway::uplink
