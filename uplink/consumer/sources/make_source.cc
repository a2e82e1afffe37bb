#include "uplink/consumer/sources/make_source.h"

#include <algorithm>
#include <array>

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

using core::ErrorCode;
using core::fail;
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
    {"mqtt", "SPILLWAY_SOURCE_MQTT"},
    {"mqtts", "SPILLWAY_SOURCE_MQTT"},
    {"nats", "SPILLWAY_SOURCE_NATS", kMakeNats},
}};

}  // namespace

Result<std::unique_ptr<BrokerSource>> make_source(const core::SourceConfig& config) {
  const std::string& scheme = config.url.scheme;
  const auto found = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const Kind& kind) { return kind.scheme == scheme; });
  const std::string what = "[[consumer.source]]: " + scheme + ":// ";
  if (found == kKinds.end()) {
    return fail(ErrorCode::kInvalidArgument, what + "is nothing that can be read from");
  }
  if (found->make != nullptr) return found->make(config);
  return fail(ErrorCode::kInvalidArgument, what + "needs a build with -D" + found->option +
                                               "=ON, and this one was made without it");
}

}  // namespace spillway::consumer
