// GatewayStore: the registry of gateways, whatever database it is in.
//
// One thread for each. The consumer's keeper writes what it saw; `spillway-consumer gateway` writes what
// a person decided; both at once, in short transactions.
//
// Invariants:
//  1. What a person decided (state, given_name) is never overwritten by what was seen.
//  2. Strangers cannot make it grow without end: at most kNewGatewaysMax rows are in state 'new' where
//     only known ones get in, and kGatewaysMax rows in all.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "spillway/core/result.h"
#include "uplink/consumer/gateways/gateway_book.h"

namespace spillway::consumer {

/// What happened to a gateway since it was last written down.
struct Sighting {
  std::string name;
  std::string address;
  std::string certificate;  // subject and fingerprint; empty: it showed none
  std::string uplink;
  std::uint64_t at_ns = 0;
  std::uint64_t connected = 0;  // its sessions now
  std::uint64_t sessions = 0;   // begun
  std::uint64_t conflicts = 0;  // two claimed to be it
  std::uint64_t turned_away = 0;
};

struct GatewayRow {
  std::string id;
  std::string state;
  std::string name;
  std::string given_name;
  std::uint64_t first_seen_ns = 0;  // 0: not yet
  std::uint64_t last_seen_ns = 0;
  std::string address;
  std::string certificate;
  std::string uplinks;
  std::uint64_t sessions = 0;
  std::uint64_t connected = 0;
  std::uint64_t conflicts = 0;
  std::uint64_t turned_away = 0;
  std::uint64_t records = 0;  // received from it
  std::uint64_t dead = 0;     // of them in state 'dead' now
};

class GatewayStore {
 public:
  static constexpr std::uint64_t kNewGatewaysMax = 1000;
  static constexpr std::uint64_t kGatewaysMax = 100'000;

  virtual ~GatewayStore() = default;

  // --- the consumer ---
  /// Rises with each change by a person.
  [[nodiscard]] virtual core::Result<std::uint64_t> generation() = 0;
  [[nodiscard]] virtual core::Result<KnownGateways> known() = 0;
  /// One transaction. `new_max`: how many may be in state 'new'.
  [[nodiscard]] virtual core::Result<void> note(const std::map<core::Uuid, Sighting>& sightings,
                                                std::uint64_t new_max) = 0;
  /// At the consumer's start: nobody is connected.
  [[nodiscard]] virtual core::Result<void> forget_connected() = 0;

  // --- people ---
  [[nodiscard]] virtual core::Result<std::vector<GatewayRow>> list() = 0;
  /// By id, or by a name that is one gateway's alone. kNotFound, kInvalidArgument.
  [[nodiscard]] virtual core::Result<core::Uuid> find(const std::string& id_or_name) = 0;
  /// An id that was never seen may be allowed (or revoked) beforehand.
  [[nodiscard]] virtual core::Result<void> set_state(const core::Uuid& gateway,
                                                     GatewayState state) = 0;
  [[nodiscard]] virtual core::Result<void> rename(const core::Uuid& gateway,
                                                  const std::string& name) = 0;

 protected:
  GatewayStore() = default;
  GatewayStore(GatewayStore&&) = default;
  GatewayStore& operator=(GatewayStore&&) = default;
};

}  // namespace spillway::consumer
