// What a sink's module exports (engine_module.h), and what its functions take. One in each engine's folder.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spillway/core/config.h"
#include "uplink/engines/engine_module.h"
#include "uplink/sinks/sink.h"

namespace spillway::uplink {

/// What `spillway sink setup` makes: one line for each thing, whether or not it is made.
struct SinkSetup {
  bool dry_run = false;
  std::vector<std::string> lines;
};

struct SinkModule {
  EngineModule head;
  core::Result<std::unique_ptr<Sink>> (*make)(const core::UplinkConfig&);
  /// Null: this engine needs nothing that would have to be set up.
  core::Result<void> (*set_up)(const core::UplinkConfig&, SinkSetup&);
};

}  // namespace spillway::uplink

#define SPILLWAY_EXPORT_SINK(make, set_up)                 \
  extern "C" __attribute__((visibility("default")))        \
  const spillway::uplink::SinkModule spillway_sink_module; \
  const spillway::uplink::SinkModule spillway_sink_module { {SPILLWAY_VERSION}, make, set_up }
