// Routes: which map a message belongs to, and its record. One thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edge-agent/ingest/api/topic_schema.h"
#include "spillway/core/mqtt_ingest_config.h"
#include "spillway/core/result.h"

namespace spillway::agent::mqtt {

struct Route {
  std::size_t index = 0;  // of its map
  const core::MqttMapConfig* map = nullptr;
  std::string producer_name;                 // maps to one topic are producers of their own
  std::shared_ptr<api::TopicSchema> schema;  // may be null
};

class Routes {
 public:
  /// The configuration must outlive it. kInvalidArgument where a schema cannot be used.
  [[nodiscard]] static core::Result<Routes> make(const core::MqttIngestConfig& config);

  /// Null: no map takes it.
  [[nodiscard]] const Route* find(std::string_view message_topic) const;

 private:
  std::vector<Route> routes_;
};

/// The bytes to put: the payload itself, or what the schema makes of it; good until the next call. kInvalidArgument says
/// what is wrong with the JSON.
[[nodiscard]] core::Result<std::span<const std::byte>> record_of(
    const Route& route, std::span<const std::byte> payload);

}  // namespace spillway::agent::mqtt
