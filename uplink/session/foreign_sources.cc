#include "uplink/session/foreign_sources.h"

#include <set>

#include "uplink/protocol/messages.h"

namespace spillway::uplink {

using core::ErrorCode;
using core::Result;

namespace {

bool concerns_all(const core::Error& error) {
  return error.code == ErrorCode::kBusy || error.code == ErrorCode::kNewerVersion;
}

}  // namespace

Result<core::Gateway> load_relay(core::env::Env& env, const std::string& relay_directory) {
  auto gateway = core::load_gateway(env, relay_directory);
  if (gateway || gateway.error().code != ErrorCode::kNotFound) return gateway;
  return core::fail(ErrorCode::kNotFound, "there is no relay in " + relay_directory +
                                              " yet: a spillway-consumer with inbox = \"spill:" +
                                              relay_directory + "\" makes it at its first start");
}

Result<bool> open_new_foreign(core::env::Env& env, const std::string& relay_directory,
                              const std::string& uplink,
                              std::vector<std::unique_ptr<StreamSource>>& sources) {
  SPILLWAY_TRY(places, core::list_foreign_streams(env, relay_directory));
  if (places.size() <= sources.size()) return false;
  std::set<std::pair<core::Uuid, std::string>> known;
  for (const auto& source : sources) known.emplace(source->origin()->gateway, source->name());
  bool any = false;
  Result<void> failed;
  for (const core::ForeignPlace& place : places) {
    if (sources.size() >= kStreamsMax) break;
    if (known.contains({place.gateway, place.stream})) continue;
    auto source = StreamSource::open_foreign(env, place, uplink);
    if (!source && source.error().code == ErrorCode::kNotFound) continue;  // being made
    if (!source && concerns_all(source.error())) return tl::unexpected(std::move(source).error());
    if (!source) {  // one that does not open keeps no other from being sent
      failed = tl::unexpected(std::move(source).error());
      continue;
    }
    if (sources.size() >= kForeignDictionariesMax) (*source)->packer().forgo_dictionary();
    sources.push_back(std::move(*source));
    any = true;
  }
  if (!failed && !any) return tl::unexpected(std::move(failed).error());
  return any;
}

}  // namespace spillway::uplink
