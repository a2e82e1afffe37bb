#include "uplink/consumer/gateways/gateway_keeper.h"

#include "spillway/core/log.h"

namespace spillway::consumer {

using core::Result;

GatewayKeeper::GatewayKeeper(Open open, std::uint64_t new_max, OnKnown on_known)
    : open_(std::move(open)), new_max_(new_max), on_known_(std::move(on_known)) {
  // Before the first gateway can ask.
  write_and_look();
  thread_ = std::thread([this] { run(); });
}

GatewayKeeper::~GatewayKeeper() { stop(); }

void GatewayKeeper::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void GatewayKeeper::merge(Sighting& into, const Sighting& newer) {
  const Sighting older = into;
  into = newer;
  into.sessions += older.sessions;
  into.conflicts += older.conflicts;
  into.turned_away += older.turned_away;
}

void GatewayKeeper::note(const core::Uuid& gateway, const Sighting& sighting) {
  const std::lock_guard lock(mutex_);
  if (pending_.size() >= kPendingMax && !pending_.contains(gateway)) return;
  merge(pending_[gateway], sighting);
}

/// What could not be written is older than what has come since.
void GatewayKeeper::merge_back(Sightings seen) {
  const std::lock_guard lock(mutex_);
  for (auto& [gateway, sighting] : seen) {
    const auto [at, is_new] = pending_.try_emplace(gateway, sighting);
    if (is_new) continue;
    merge(sighting, at->second);
    at->second = sighting;
  }
}

void GatewayKeeper::run() {
  bool last = false;
  while (!last) {
    {
      std::unique_lock lock(mutex_);
      last = wake_.wait_for(lock, kLookEvery, [this] { return stopping_; });
    }
    write_and_look();
  }
}

void GatewayKeeper::write_and_look() {
  Sightings seen;
  {
    const std::lock_guard lock(mutex_);
    seen = std::exchange(pending_, {});
  }
  const auto looked = look(seen);
  if (looked) return logged_.clear();
  // A server may have gone away: the next look begins anew.
  if (looked.error().code == core::ErrorCode::kUnavailable) gateways_.reset();
  if (looked.error().message != logged_) {
    spdlog::warn("the list of gateways is not up to date: {}", looked.error().message);
  }
  logged_ = looked.error().message;
  merge_back(std::move(seen));
}

Result<void> GatewayKeeper::open() {
  if (gateways_) return {};
  SPILLWAY_TRY(gateways, open_());
  SPILLWAY_CHECKED(gateways->forget_connected());
  gateways_ = std::move(gateways);
  return {};
}

Result<void> GatewayKeeper::look(Sightings& seen) {
  SPILLWAY_CHECKED(open());
  SPILLWAY_TRY(generation, gateways_->generation());
  if (generation != generation_) {
    SPILLWAY_TRY(known, gateways_->known());
    on_known_(std::move(known));
    generation_ = generation;
  }
  if (!seen.empty()) SPILLWAY_CHECKED(gateways_->note(seen, new_max_));
  return {};
}

}  // namespace spillway::consumer
