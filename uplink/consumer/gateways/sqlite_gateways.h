// SqliteGateways: the registry of gateways, two tables in the inbox's file (or in a file of its own,
// where no inbox is).
//
// One thread for each. The consumer's keeper writes what it saw; `spillway-consumer gateway` writes what
// a person decided; both at once, in short transactions.
//
// Tables:
//   gateway(gateway, state, name, given_name, first_seen_ns, last_seen_ns, address, certificate, uplinks,
//           sessions, connected, conflicts, turned_away)
//   gateway_change(id = 1, generation): rises with each change by a person, so that a running consumer
//           notices
//
// Invariants:
//  1. What a person decided (state, given_name) is never overwritten by what was seen.
//  2. Strangers cannot make it grow without end: at most kNewGatewaysMax rows are in state 'new' where
//     only known ones get in, and kGatewaysMax rows in all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "uplink/consumer/gateways/gateway_book.h"
#include "uplink/consumer/inbox/sqlite_statement.h"

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

class SqliteGateways {
 public:
  static constexpr std::uint64_t kNewGatewaysMax = 1000;
  static constexpr std::uint64_t kGatewaysMax = 100'000;

  explicit SqliteGateways(Database database) : database_(std::move(database)) {}

  // --- the consumer ---
  [[nodiscard]] core::Result<std::uint64_t> generation();
  [[nodiscard]] core::Result<KnownGateways> known();
  /// One transaction. `new_max`: how many may be in state 'new'.
  [[nodiscard]] core::Result<void> note(const std::map<core::Uuid, Sighting>& sightings,
                                        std::uint64_t new_max);
  /// At the consumer's start: nobody is connected.
  [[nodiscard]] core::Result<void> forget_connected();

  // --- people ---
  [[nodiscard]] core::Result<std::vector<GatewayRow>> list();
  /// By id, or by a name that is one gateway's alone. kNotFound, kInvalidArgument.
  [[nodiscard]] core::Result<core::Uuid> find(const std::string& id_or_name);
  /// An id that was never seen may be allowed (or revoked) beforehand.
  [[nodiscard]] core::Result<void> set_state(const core::Uuid& gateway, GatewayState state);
  [[nodiscard]] core::Result<void> rename(const core::Uuid& gateway, const std::string& name);

 private:
  /// How many rows more may be 'new'.
  [[nodiscard]] core::Result<std::uint64_t> room(std::uint64_t new_max);
  [[nodiscard]] core::Result<void> in_transaction(
      const std::function<core::Result<void>()>& changes);

  Database database_;
};

}  // namespace spillway::consumer
