// GatewayBook: who may send here. It decides at each Hello, from what the registry says; the registry's
// file is read and written elsewhere (gateway_keeper.h).
//
// One thread, no I/O.
//
//   state      open     known     set by
//   (unknown)  let in   refused   --            becomes 'new' in the registry, so that a person sees it
//   new        let in   refused   the consumer
//   allowed    let in   let in    gateway allow
//   revoked    refused  refused   gateway revoke
//
// Invariants:
//  1. Nobody is let in before the registry was read once: a revoked gateway must not slip in at start.
//  2. A gateway whose certificate names a gateway is that one and no other.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/uuid.h"
#include "uplink/protocol/messages.h"

namespace spillway::consumer {

enum class GatewayState : std::uint8_t { kNew, kAllowed, kRevoked };

[[nodiscard]] std::string_view name_of(GatewayState state);
[[nodiscard]] std::optional<GatewayState> gateway_state_of(std::string_view name);

struct GatewayRules {
  bool known_only = false;
  bool bind_certificates = false;  // a certificate that names no gateway is refused, too
};

/// What is known of a gateway at each decision.
struct KnownGateway {
  GatewayState state = GatewayState::kNew;
  std::string given_name;  // by `gateway rename`; empty: its own counts
};
using KnownGateways = std::map<core::Uuid, KnownGateway>;

/// The gateways that a certificate's subjectAltName stands for: URI:urn:spillway:gateway:UUID, or a DNS
/// name whose first label is the UUID. Other names are no concern of ours.
[[nodiscard]] std::vector<core::Uuid> gateways_named(std::span<const std::string> names);

class GatewayBook {
 public:
  explicit GatewayBook(GatewayRules rules) : rules_(rules) {}

  /// What the registry says now.
  void load(KnownGateways known);
  [[nodiscard]] bool loaded() const { return loaded_; }
  /// Nothing: it may come in. Else what it is told.
  [[nodiscard]] std::optional<uplink::Refusal> refusal(const core::Uuid& gateway) const;
  /// The same for what its certificate says; `names` are those of the subjectAltName.
  [[nodiscard]] std::optional<uplink::Refusal> refusal_by_certificate(
      const core::Uuid& gateway, std::span<const std::string> names) const;
  /// The name that a person gave it, else its own.
  [[nodiscard]] std::string display_name(const core::Uuid& gateway, const std::string& own) const;

 private:
  GatewayRules rules_;
  KnownGateways known_;
  bool loaded_ = false;
};

}  // namespace spillway::consumer
