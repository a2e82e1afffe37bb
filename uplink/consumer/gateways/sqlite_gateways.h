// SqliteGateways: the registry of gateways in SQLite, two tables in the inbox's file.
//
// Tables:
//   gateway(gateway, state, name, given_name, first_seen_ns, last_seen_ns, address, certificate, uplinks,
//           sessions, connected, conflicts, turned_away)
//   gateway_change(id = 1, generation): rises with each change by a person, so that a running consumer
//           notices
#pragma once

#include <functional>

#include "uplink/consumer/gateways/gateway_store.h"
#include "uplink/consumer/inbox/sqlite_statement.h"

namespace spillway::consumer {

class SqliteGateways final : public GatewayStore {
 public:
  explicit SqliteGateways(Database database) : database_(std::move(database)) {}

  core::Result<std::uint64_t> generation() override;
  core::Result<KnownGateways> known() override;
  core::Result<void> note(const std::map<core::Uuid, Sighting>& sightings,
                          std::uint64_t new_max) override;
  core::Result<void> forget_connected() override;
  core::Result<std::vector<GatewayRow>> list() override;
  core::Result<core::Uuid> find(const std::string& id_or_name) override;
  core::Result<void> set_state(const core::Uuid& gateway, GatewayState state) override;
  core::Result<void> rename(const core::Uuid& gateway, const std::string& name) override;

 private:
  /// How many rows more may be 'new'.
  [[nodiscard]] core::Result<std::uint64_t> room(std::uint64_t new_max);
  [[nodiscard]] core::Result<void> in_transaction(
      const std::function<core::Result<void>()>& changes);

  Database database_;
};

}  // namespace spillway::consumer
