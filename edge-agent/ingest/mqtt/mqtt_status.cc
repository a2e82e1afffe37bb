#include "edge-agent/ingest/mqtt/mqtt_status.h"

#include <unistd.h>

#include <boost/json.hpp>

namespace spillway::agent::mqtt {

namespace {

namespace json = boost::json;

json::object map_json(const core::MqttMapConfig& map, const MapCounts& counts) {
  json::object object{{"filter", map.filter},
                      {"topic", map.topic},
                      {"taken", counts.taken},
                      {"redelivered", counts.redelivered},
                      {"held_up", counts.held_up}};
  for (std::size_t i = 0; i < kFates; ++i) object[kFateNames[i].key] = counts.fates[i];
  return object;
}

}  // namespace

std::string render_status(const core::MqttIngestConfig& config, const Counts& counts) {
  json::array maps;
  for (std::size_t i = 0; i < config.maps.size(); ++i) {
    maps.push_back(map_json(config.maps[i], counts.maps.at(i)));
  }
  return json::serialize(
      json::object{{"adapter", "mqtt"},
                   {"pid", ::getpid()},
                   {"version", SPILLWAY_VERSION},
                   {"broker", config.url.scheme + "://" + config.url.hosts_text()},
                   {"client_id", config.client_id},
                   {"state", counts.state},
                   {"error", counts.error},
                   {"connections", counts.connections},
                   {"sessions_lost", counts.sessions_lost},
                   {"acknowledged", counts.acknowledged},
                   {"unmapped", counts.unmapped},
                   {"lanes", counts.lanes},
                   {"maps", std::move(maps)}});
}

}  // namespace spillway::agent::mqtt
