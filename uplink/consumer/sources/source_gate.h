// SourceGate: whose records the consumer's sources may take, and who was seen: the registry of gateways
// (gateway_book.h) for those that come through an engine. They show no certificate and hold no session:
// their id is what the message says, and the engine's own access rights are what stands behind it.
//
// Any thread.
//
// Invariants:
//  1. Nothing is taken before the registry was read once.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "uplink/consumer/gateways/gateway_book.h"
#include "uplink/consumer/gateways/gateway_store.h"

namespace spillway::consumer {

class SourceGate {
 public:
  using OnSeen = std::function<void(const core::Uuid&, const Sighting&)>;

  explicit SourceGate(GatewayRules rules) : book_(rules) {}

  /// Before the first source runs.
  void when_seen(OnSeen on_seen) { on_seen_ = std::move(on_seen); }
  void set_known(KnownGateways known) {
    const std::lock_guard lock(mutex_);
    book_.load(std::move(known));
    ready_ = true;
  }
  [[nodiscard]] bool is_ready() const {
    const std::lock_guard lock(mutex_);
    return ready_;
  }
  /// Why this gateway's records are not taken; nothing if they are.
  [[nodiscard]] std::optional<std::string> refusal(const core::Uuid& gateway) const {
    const std::lock_guard lock(mutex_);
    auto refusal = book_.refusal(gateway);
    return refusal ? std::optional(std::move(refusal->text)) : std::nullopt;
  }
  void note(const core::Uuid& gateway, const Sighting& sighting) const {
    if (on_seen_) on_seen_(gateway, sighting);
  }

 private:
  mutable std::mutex mutex_;
  GatewayBook book_;
  bool ready_ = false;
  OnSeen on_seen_;
};

}  // namespace spillway::consumer
