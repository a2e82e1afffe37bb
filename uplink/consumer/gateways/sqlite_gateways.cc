#include "uplink/consumer/gateways/sqlite_gateways.h"

#include <algorithm>
#include <functional>

namespace spillway::consumer {

using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

// The names of uplinks are a list, cut at 255 bytes.
constexpr const char* kUpdateSql =
    "UPDATE gateway SET name = ?2, first_seen_ns = ifnull(first_seen_ns, ?3), last_seen_ns = ?3, "
    "address = ?4, certificate = ?5, "
    "uplinks = CASE WHEN instr(',' || uplinks || ',', ',' || ?6 || ',') > 0 THEN uplinks "
    "               WHEN uplinks = '' THEN ?6 ELSE substr(uplinks || ',' || ?6, 1, 255) END, "
    "sessions = sessions + ?7, connected = ?8, conflicts = conflicts + ?9, "
    "turned_away = turned_away + ?10 WHERE gateway = ?1";
constexpr const char* kInsertSql =
    "INSERT INTO gateway(gateway, state, name, first_seen_ns, last_seen_ns, address, certificate, "
    "uplinks, sessions, connected, conflicts, turned_away) "
    "VALUES(?1, 'new', ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
constexpr const char* kCountSql = "SELECT ifnull(sum(state = 'new'), 0), count(*) FROM gateway";
constexpr const char* kStateSql =
    "INSERT INTO gateway(gateway, state) VALUES(?1, ?2) "
    "ON CONFLICT DO UPDATE SET state = excluded.state";
constexpr const char* kListSql =
    "SELECT gateway, state, name, ifnull(given_name, ''), ifnull(first_seen_ns, 0), "
    "ifnull(last_seen_ns, 0), address, certificate, uplinks, sessions, connected, conflicts, "
    "turned_away, "
    "(SELECT ifnull(sum(records), 0) FROM lane WHERE lane.gateway = gateway.gateway), "
    "(SELECT count(*) FROM record WHERE record.gateway = gateway.gateway AND record.state = "
    "'dead') "
    "FROM gateway ORDER BY ifnull(nullif(ifnull(given_name, ''), ''), name), gateway";
constexpr const char* kChangedSql = "UPDATE gateway_change SET generation = generation + 1";

void bind_sighting(Statement& row, const std::string& id, const Sighting& seen) {
  row.bind(1, std::string_view(id));
  row.bind(2, std::string_view(seen.name));
  row.bind(3, seen.at_ns);
  row.bind(4, std::string_view(seen.address));
  row.bind(5, std::string_view(seen.certificate));
  row.bind(6, std::string_view(seen.uplink));
  row.bind(7, seen.sessions);
  row.bind(8, seen.connected);
  row.bind(9, seen.conflicts);
  row.bind(10, seen.turned_away);
}

GatewayRow row_of(const Statement& row) {
  GatewayRow gateway;
  gateway.id = row.text(0);
  gateway.state = row.text(1);
  gateway.name = row.text(2);
  gateway.given_name = row.text(3);
  gateway.first_seen_ns = row.column(4);
  gateway.last_seen_ns = row.column(5);
  gateway.address = row.text(6);
  gateway.certificate = row.text(7);
  gateway.uplinks = row.text(8);
  gateway.sessions = row.column(9);
  gateway.connected = row.column(10);
  gateway.conflicts = row.column(11);
  gateway.turned_away = row.column(12);
  gateway.records = row.column(13);
  gateway.dead = row.column(14);
  return gateway;
}

}  // namespace

Result<std::uint64_t> SqliteGateways::generation() {
  SPILLWAY_TRY(select,
               Statement::prepare(database_.get(), "SELECT generation FROM gateway_change"));
  SPILLWAY_TRY(found, select.step());
  return found ? select.column(0) : 0;
}

Result<KnownGateways> SqliteGateways::known() {
  SPILLWAY_TRY(select,
               Statement::prepare(database_.get(),
                                  "SELECT gateway, state, ifnull(given_name, '') FROM gateway"));
  KnownGateways known;
  while (true) {
    SPILLWAY_TRY(found, select.step());
    if (!found) return known;
    const auto id = core::Uuid::parse(select.text(0));
    const auto state = gateway_state_of(select.text(1));
    // A state of a later version, or of a typing hand: nobody gets in by it.
    if (id) known[*id] = {state.value_or(GatewayState::kRevoked), select.text(2)};
  }
}

Result<void> SqliteGateways::in_transaction(const std::function<Result<void>()>& changes) {
  SPILLWAY_CHECKED(
      execute(database_.get(), "BEGIN IMMEDIATE", "cannot change the list of gateways now"));
  auto outcome = changes();
  if (outcome) {
    outcome = execute(database_.get(), "COMMIT", "cannot change the list of gateways");
  }
  if (!outcome) sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  return outcome;
}

Result<std::uint64_t> SqliteGateways::room(std::uint64_t new_max) {
  SPILLWAY_TRY(select, Statement::prepare(database_.get(), kCountSql));
  SPILLWAY_TRY(found, select.step());
  if (!found || select.column(0) >= new_max || select.column(1) >= kGatewaysMax)
    return std::uint64_t{0};
  return std::min(new_max - select.column(0), kGatewaysMax - select.column(1));
}

Result<void> SqliteGateways::note(const std::map<core::Uuid, Sighting>& sightings,
                                  std::uint64_t new_max) {
  SPILLWAY_TRY(update, Statement::prepare(database_.get(), kUpdateSql));
  SPILLWAY_TRY(insert, Statement::prepare(database_.get(), kInsertSql));
  return in_transaction([&]() -> Result<void> {
    SPILLWAY_TRY(left, room(new_max));
    for (const auto& [gateway, seen] : sightings) {
      const std::string id = gateway.text();
      bind_sighting(update, id, seen);
      SPILLWAY_CHECKED(update.run());
      if (sqlite3_changes(database_.get()) != 0 || left == 0) continue;
      bind_sighting(insert, id, seen);
      SPILLWAY_CHECKED(insert.run());
      --left;
    }
    return {};
  });
}

Result<void> SqliteGateways::forget_connected() {
  return execute(database_.get(), "UPDATE gateway SET connected = 0 WHERE connected <> 0",
                 "cannot bring the list of gateways up to date");
}

Result<std::vector<GatewayRow>> SqliteGateways::list() {
  SPILLWAY_TRY(select, Statement::prepare(database_.get(), kListSql));
  std::vector<GatewayRow> rows;
  while (true) {
    SPILLWAY_TRY(found, select.step());
    if (!found) return rows;
    rows.push_back(row_of(select));
  }
}

Result<core::Uuid> SqliteGateways::find(const std::string& id_or_name) {
  if (const auto id = core::Uuid::parse(id_or_name)) return *id;
  SPILLWAY_TRY(select, Statement::prepare(database_.get(),
                                          "SELECT gateway FROM gateway WHERE given_name = ?1 OR "
                                          "(ifnull(given_name, '') = '' AND name = ?1) LIMIT 2"));
  select.bind(1, std::string_view(id_or_name));
  SPILLWAY_TRY(found, select.step());
  if (!found) {
    return fail(ErrorCode::kNotFound,
                "there is no gateway \"" + id_or_name + "\": see `spillway-consumer gateway list`");
  }
  const auto id = core::Uuid::parse(select.text(0));
  SPILLWAY_TRY(another, select.step());
  if (another || !id) {
    return fail(ErrorCode::kInvalidArgument,
                "more than one gateway has the name \"" + id_or_name + "\": give its id");
  }
  return *id;
}

Result<void> SqliteGateways::set_state(const core::Uuid& gateway, GatewayState state) {
  SPILLWAY_TRY(upsert, Statement::prepare(database_.get(), kStateSql));
  const std::string id = gateway.text();
  return in_transaction([&]() -> Result<void> {
    upsert.bind(1, std::string_view(id));
    upsert.bind(2, name_of(state));
    SPILLWAY_CHECKED(upsert.run());
    return execute(database_.get(), kChangedSql, "cannot change the list of gateways");
  });
}

Result<void> SqliteGateways::rename(const core::Uuid& gateway, const std::string& name) {
  SPILLWAY_TRY(update, Statement::prepare(database_.get(),
                                          "UPDATE gateway SET given_name = nullif(?2, '') "
                                          "WHERE gateway = ?1"));
  const std::string id = gateway.text();
  return in_transaction([&]() -> Result<void> {
    update.bind(1, std::string_view(id));
    update.bind(2, std::string_view(name));
    SPILLWAY_CHECKED(update.run());
    if (sqlite3_changes(database_.get()) == 0) {
      return fail(ErrorCode::kNotFound, "there is no gateway " + id + " here yet");
    }
    return execute(database_.get(), kChangedSql, "cannot change the list of gateways");
  });
}

}  // namespace spillway::consumer
