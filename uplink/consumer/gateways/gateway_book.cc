#include "uplink/consumer/gateways/gateway_book.h"

#include <algorithm>
#include <array>

namespace spillway::consumer {

using uplink::Refusal;
using uplink::RefusalCode;

namespace {

constexpr std::array<std::string_view, 3> kNames{"new", "allowed", "revoked"};
constexpr std::string_view kUrn = "urn:spillway:gateway:";
/// The registry is read within a moment of the consumer's start, or as soon as its disk lets it.
constexpr std::uint64_t kNotReadRetryMs = 1000;

Refusal not_allowed(const core::Uuid& gateway, const std::string& why) {
  return {RefusalCode::kNotAllowed, "gateway " + gateway.text() + " " + why, 0};
}

}  // namespace

std::string_view name_of(GatewayState state) { return kNames[static_cast<std::size_t>(state)]; }

std::optional<GatewayState> gateway_state_of(std::string_view name) {
  const auto* found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<GatewayState>(found - kNames.begin());
}

std::vector<core::Uuid> gateways_named(std::span<const std::string> names) {
  std::vector<core::Uuid> gateways;
  for (const std::string_view name : names) {
    const auto id =
        name.starts_with(kUrn) ? name.substr(kUrn.size()) : name.substr(0, name.find('.'));
    if (const auto gateway = core::Uuid::parse(id)) gateways.push_back(*gateway);
  }
  return gateways;
}

void GatewayBook::load(KnownGateways known) {
  known_ = std::move(known);
  loaded_ = true;
}

std::optional<Refusal> GatewayBook::refusal(const core::Uuid& gateway) const {
  if (!loaded_) {
    return Refusal{RefusalCode::kUnavailable, "the list of gateways is not read yet",
                   kNotReadRetryMs};
  }
  const auto found = known_.find(gateway);
  const auto state = found == known_.end() ? GatewayState::kNew : found->second.state;
  if (state == GatewayState::kRevoked) {
    return not_allowed(gateway, "was revoked here (spillway-consumer gateway revoke)");
  }
  if (state == GatewayState::kAllowed || !rules_.known_only) return std::nullopt;
  return not_allowed(
      gateway,
      "is not known here: let it in with `spillway-consumer gateway allow " + gateway.text() + "`");
}

std::optional<Refusal> GatewayBook::refusal_by_certificate(
    const core::Uuid& gateway, std::span<const std::string> names) const {
  const auto named = gateways_named(names);
  if (named.empty()) {
    if (!rules_.bind_certificates) return std::nullopt;
    return not_allowed(gateway,
                       "shows a certificate that names no gateway: issue it one with "
                       "subjectAltName URI:" +
                           std::string(kUrn) + gateway.text());
  }
  if (std::find(named.begin(), named.end(), gateway) != named.end()) return std::nullopt;
  return not_allowed(gateway, "shows the certificate of gateway " + named.front().text() +
                                  ": give each machine the certificate of its own id");
}

std::string GatewayBook::display_name(const core::Uuid& gateway, const std::string& own) const {
  const auto found = known_.find(gateway);
  if (found == known_.end() || found->second.given_name.empty()) return own;
  return found->second.given_name;
}

}  // namespace spillway::consumer
