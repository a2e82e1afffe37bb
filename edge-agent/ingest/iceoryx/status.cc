#include <unistd.h>

#include <boost/json.hpp>

#include "edge-agent/ingest/iceoryx/bridge.h"

namespace spillway::agent::iceoryx {
namespace {

namespace json = boost::json;

std::uint64_t value_of(const MapCounters::Count& count) {
  return count.load(std::memory_order_relaxed);
}

json::object map_json(const core::IceoryxMapConfig& map, const MapCounters& counters) {
  return {{"service", map.service},
          {"instance", map.instance},
          {"event", map.event},
          {"topic", map.topic},
          {"publishers", value_of(counters.publishers)},
          {"taken", value_of(counters.taken)},
          {"enqueued", value_of(counters.enqueued)},
          {"rejected", value_of(counters.rejected)},
          {"too_large", value_of(counters.too_large)},
          {"empty", value_of(counters.empty)},
          {"seen_before", value_of(counters.seen_before)},
          {"lost", value_of(counters.lost)},
          {"unseen", value_of(counters.unseen)},
          {"held_up", value_of(counters.held_up)}};
}

}  // namespace

std::string render_status(const core::IceoryxConfig& config, const BridgePage& page,
                          const BridgeFacts& facts) {
  json::array maps;
  for (std::size_t i = 0; i < config.maps.size(); ++i) {
    maps.push_back(map_json(config.maps[i], page.maps.at(i)));
  }
  return json::serialize(json::object{{"adapter", "iceoryx"},
                                      {"pid", ::getpid()},
                                      {"version", SPILLWAY_VERSION},
                                      {"state", facts.state},
                                      {"error", facts.error},
                                      {"roudi", facts.roudi_there},
                                      {"roudi_answers", facts.roudi_answers},
                                      {"roudi_lives", facts.lives},
                                      {"reader_starts", facts.starts},
                                      {"maps", std::move(maps)}});
}

}  // namespace spillway::agent::iceoryx
