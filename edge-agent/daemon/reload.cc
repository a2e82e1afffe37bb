#include "edge-agent/daemon/reload.h"

#include <algorithm>
#include <tuple>

namespace spillway::agent {
namespace {

using core::Config;
using core::GatewayConfig;
using core::StreamConfig;

auto keys_of(const StreamConfig& stream) {
  return std::tie(stream.topics, stream.sync_interval_ns, stream.segment_bytes, stream.max_bytes,
                  stream.when_full, stream.max_age_ns, stream.compress, stream.placement,
                  stream.memory_bytes, stream.memory_age_ns);
}

std::vector<std::string> names_of(const Config& config) {
  std::vector<std::string> names;
  for (const auto& stream : config.streams) names.push_back(stream.name);
  return names;
}

void compare_gateways(const GatewayConfig& now, const GatewayConfig& next,
                      std::vector<std::string>& changed) {
  const auto note = [&changed](bool same, const char* key) {
    if (!same) changed.push_back(std::string("[gateway] ") + key);
  };
  note(now.name == next.name, "name");
  note(now.queue_dir == next.queue_dir, "queue_dir");
  note(now.spill_dir == next.spill_dir, "spill_dir");
  note(now.nap_ns == next.nap_ns, "nap");
  note(now.lanes_per_user_max == next.lanes_per_user_max, "lanes_per_user_max");
  note(now.lane_bytes_per_user_max == next.lane_bytes_per_user_max, "lane_bytes_per_user_max");
  note(now.flash_endurance_bytes == next.flash_endurance_bytes, "flash_endurance");
  note(now.sandbox == next.sandbox, "sandbox");
}

}  // namespace

std::vector<std::string> uplinks_of(const Config& config, const std::string& stream) {
  std::vector<std::string> uplinks;
  for (const auto& uplink : config.uplinks) {
    const auto& names = uplink.streams;
    if (std::find(names.begin(), names.end(), stream) != names.end()) {
      uplinks.push_back(uplink.name);
    }
  }
  return uplinks;
}

ReloadPlan plan_reload(const Config& now, const Config& next) {
  ReloadPlan plan;
  compare_gateways(now.gateway, next.gateway, plan.for_restart);
  if (names_of(now) != names_of(next)) {
    plan.for_restart.emplace_back("the list of [[stream]]");
    return plan;
  }
  for (std::size_t i = 0; i < now.streams.size(); ++i) {
    const std::string& name = now.streams[i].name;
    const bool same = keys_of(now.streams[i]) == keys_of(next.streams[i]) &&
                      uplinks_of(now, name) == uplinks_of(next, name);
    if (!same) plan.streams.push_back(i);
  }
  return plan;
}

}  // namespace spillway::agent
