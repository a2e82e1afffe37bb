// What a source's module exports (uplink/engines/engine_module.h).
#pragma once

#include <memory>

#include "spillway/core/source_config.h"
#include "uplink/consumer/sources/broker_source.h"
#include "uplink/engines/engine_module.h"

namespace spillway::consumer {

struct SourceModule {
  uplink::EngineModule head;
  core::Result<std::unique_ptr<BrokerSource>> (*make)(const core::SourceConfig&);
};

}  // namespace spillway::consumer

#define SPILLWAY_EXPORT_SOURCE(make)                             \
  extern "C" __attribute__((visibility("default")))              \
  const spillway::consumer::SourceModule spillway_source_module; \
  const spillway::consumer::SourceModule spillway_source_module { {SPILLWAY_VERSION}, make }
