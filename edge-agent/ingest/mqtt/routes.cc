#include "edge-agent/ingest/mqtt/routes.h"

#include <algorithm>

#include "edge-agent/ingest/lane_parts.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/schema.h"

namespace spillway::agent::mqtt {

using core::Result;

namespace {

/// A text is larger than what it compiles to.
constexpr std::size_t kSchemaFileBytesMax = 256U << 10;

Result<std::shared_ptr<api::TopicSchema>> load_schema(const std::string& path) {
  if (path.empty()) return std::shared_ptr<api::TopicSchema>();
  SPILLWAY_TRY(bytes, core::env::read_file(core::env::posix_env(), path, kSchemaFileBytesMax));
  auto bfbs = api::compile_schema(bytes);
  if (!bfbs) {
    return core::fail(bfbs.error().code, path + ": " + bfbs.error().message);
  }
  return api::TopicSchema::make(std::move(*bfbs));
}

/// A name has no wildcards of MQTT's, and no two filters have one name.
std::string producer_name_of(const std::string& filter) {
  std::string name = "mqtt/";
  for (const char letter : filter) {
    if (letter == '#') name += "**";
    if (letter == '+') name += '*';
    if (letter != '#' && letter != '+') name += letter;
  }
  if (filter.find('*') != std::string::npos) {
    name +=
        "~" + core::fingerprint_text(core::schema_fingerprint(std::as_bytes(std::span(filter))));
  }
  return fitting_producer_name(std::move(name));
}

}  // namespace

Result<Routes> Routes::make(const core::MqttIngestConfig& config) {
  Routes routes;
  for (const core::MqttMapConfig& map : config.maps) {
    SPILLWAY_TRY(schema, load_schema(map.schema));
    routes.routes_.push_back(
        {routes.routes_.size(), &map, producer_name_of(map.filter), std::move(schema)});
  }
  return routes;
}

const Route* Routes::find(std::string_view message_topic) const {
  const auto found = std::find_if(routes_.begin(), routes_.end(), [&](const Route& route) {
    return core::mqtt_filter_matches(route.map->filter, message_topic);
  });
  return found == routes_.end() ? nullptr : &*found;
}

Result<std::span<const std::byte>> record_of(const Route& route,
                                             std::span<const std::byte> payload) {
  if (!route.map->json) return payload;
  return route.schema->build({reinterpret_cast<const char*>(payload.data()), payload.size()});
}

}  // namespace spillway::agent::mqtt
