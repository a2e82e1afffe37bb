#include "uplink/consumer/inbox/postgres_keeping.h"

namespace spillway::consumer {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

// The names of uplinks are a list, cut at 255 characters.
constexpr const char* kUpdateSql =
    "UPDATE gateway SET name = $2, first_seen_ns = coalesce(first_seen_ns, $3::bigint), "
    "last_seen_ns = $3::bigint, address = $4, certificate = $5, "
    "uplinks = CASE WHEN strpos(',' || uplinks || ',', ',' || $6::text || ',') > 0 THEN uplinks "
    "               WHEN uplinks = '' THEN $6::text ELSE left(uplinks || ',' || $6::text, 255) "
    "END, "
    "sessions = sessions + $7::bigint, connected = $8::bigint, conflicts = conflicts + $9::bigint, "
    "turned_away = turned_away + $10::bigint WHERE gateway = $1";
// $11: the bound of new ones, $12: that of all.
constexpr const char* kInsertSql =
    "INSERT INTO gateway(gateway, state, name, first_seen_ns, last_seen_ns, address, certificate, "
    "uplinks, sessions, connected, conflicts, turned_away) "
    "SELECT $1, 'new', $2, $3::bigint, $3::bigint, $4, $5, $6, $7::bigint, $8::bigint, $9::bigint, "
    "$10::bigint WHERE (SELECT count(*) FROM gateway WHERE state = 'new') < $11::bigint "
    "AND (SELECT count(*) FROM gateway) < $12::bigint ON CONFLICT DO NOTHING";
constexpr const char* kStateSql =
    "INSERT INTO gateway(gateway, state) VALUES($1, $2) "
    "ON CONFLICT (gateway) DO UPDATE SET state = excluded.state";
constexpr const char* kListSql =
    "SELECT g.gateway, g.state, g.name, coalesce(g.given_name, ''), coalesce(g.first_seen_ns, 0), "
    "coalesce(g.last_seen_ns, 0), g.address, g.certificate, g.uplinks, g.sessions, g.connected, "
    "g.conflicts, g.turned_away, "
    "(SELECT coalesce(sum(records), 0) FROM lane WHERE lane.gateway = g.gateway), "
    "(SELECT count(*) FROM record WHERE record.gateway = g.gateway AND record.state = 'dead') "
    "FROM gateway g ORDER BY coalesce(nullif(g.given_name, ''), g.name), g.gateway";
constexpr const char* kChangedSql = "UPDATE gateway_change SET generation = generation + 1";

PgParameters parameters_of(const core::Uuid& gateway, const Sighting& seen) {
  PgParameters parameters;
  parameters.text(gateway.text())
      .text(seen.name)
      .number(seen.at_ns)
      .text(seen.address)
      .text(seen.certificate)
      .text(seen.uplink)
      .number(seen.sessions)
      .number(seen.connected)
      .number(seen.conflicts)
      .number(seen.turned_away);
  return parameters;
}

class PostgresGateways final : public GatewayStore {
 public:
  explicit PostgresGateways(PgConnection connection) : connection_(std::move(connection)) {}

  Result<std::uint64_t> generation() override {
    SPILLWAY_TRY(found, connection_.query("SELECT generation FROM gateway_change"));
    return found.rows() == 0 ? 0 : found.number(0, 0);
  }
  Result<KnownGateways> known() override;
  Result<void> note(const std::map<core::Uuid, Sighting>& sightings,
                    std::uint64_t new_max) override;
  Result<void> forget_connected() override {
    return connection_.execute("UPDATE gateway SET connected = 0 WHERE connected <> 0");
  }
  Result<std::vector<GatewayRow>> list() override;
  Result<core::Uuid> find(const std::string& id_or_name) override;
  Result<void> set_state(const core::Uuid& gateway, GatewayState state) override;
  Result<void> rename(const core::Uuid& gateway, const std::string& name) override;

 private:
  template <typename Changes>
  Result<void> in_transaction(const Changes& changes) {
    SPILLWAY_CHECKED(connection_.execute("BEGIN"));
    Result<void> outcome = changes();
    if (outcome) outcome = connection_.execute("COMMIT");
    if (!outcome) connection_.roll_back();
    return outcome;
  }

  PgConnection connection_;
};

Result<KnownGateways> PostgresGateways::known() {
  SPILLWAY_TRY(found,
               connection_.query("SELECT gateway, state, coalesce(given_name, '') FROM gateway"));
  KnownGateways known;
  for (int row = 0; row < found.rows(); ++row) {
    const auto id = core::Uuid::parse(found.text(row, 0));
    const auto state = gateway_state_of(found.text(row, 1));
    // A state of a later version, or of a typing hand: nobody gets in by it.
    if (id) {
      known[*id] = {state.value_or(GatewayState::kRevoked), std::string(found.text(row, 2))};
    }
  }
  return known;
}

Result<void> PostgresGateways::note(const std::map<core::Uuid, Sighting>& sightings,
                                    std::uint64_t new_max) {
  return in_transaction([&]() -> Result<void> {
    for (const auto& [gateway, seen] : sightings) {
      PgParameters parameters = parameters_of(gateway, seen);
      SPILLWAY_TRY(updated, connection_.query(kUpdateSql, parameters));
      if (updated.changed() != 0) continue;
      parameters.number(new_max).number(kGatewaysMax);
      SPILLWAY_CHECKED(connection_.query(kInsertSql, parameters).map([](auto&&) {}));
    }
    return {};
  });
}

Result<std::vector<GatewayRow>> PostgresGateways::list() {
  SPILLWAY_TRY(found, connection_.query(kListSql));
  std::vector<GatewayRow> rows;
  for (int row = 0; row < found.rows(); ++row) {
    const auto text = [&](int column) { return std::string(found.text(row, column)); };
    GatewayRow gateway;
    gateway.id = text(0);
    gateway.state = text(1);
    gateway.name = text(2);
    gateway.given_name = text(3);
    gateway.first_seen_ns = found.number(row, 4);
    gateway.last_seen_ns = found.number(row, 5);
    gateway.address = text(6);
    gateway.certificate = text(7);
    gateway.uplinks = text(8);
    gateway.sessions = found.number(row, 9);
    gateway.connected = found.number(row, 10);
    gateway.conflicts = found.number(row, 11);
    gateway.turned_away = found.number(row, 12);
    gateway.records = found.number(row, 13);
    gateway.dead = found.number(row, 14);
    rows.push_back(std::move(gateway));
  }
  return rows;
}

Result<core::Uuid> PostgresGateways::find(const std::string& id_or_name) {
  if (const auto id = core::Uuid::parse(id_or_name)) return *id;
  PgParameters parameters;
  parameters.text(id_or_name);
  SPILLWAY_TRY(found, connection_.query("SELECT gateway FROM gateway WHERE given_name = $1 OR "
                                        "(coalesce(given_name, '') = '' AND name = $1) LIMIT 2",
                                        parameters));
  if (found.rows() == 0) {
    return fail(ErrorCode::kNotFound,
                "there is no gateway \"" + id_or_name + "\": see `spillway-consumer gateway list`");
  }
  const auto id = core::Uuid::parse(found.text(0, 0));
  if (found.rows() > 1 || !id) {
    return fail(ErrorCode::kInvalidArgument,
                "more than one gateway has the name \"" + id_or_name + "\": give its id");
  }
  return *id;
}

Result<void> PostgresGateways::set_state(const core::Uuid& gateway, GatewayState state) {
  return in_transaction([&]() -> Result<void> {
    PgParameters parameters;
    parameters.text(gateway.text()).text(name_of(state));
    SPILLWAY_CHECKED(connection_.query(kStateSql, parameters).map([](auto&&) {}));
    return connection_.execute(kChangedSql);
  });
}

Result<void> PostgresGateways::rename(const core::Uuid& gateway, const std::string& name) {
  return in_transaction([&]() -> Result<void> {
    PgParameters parameters;
    parameters.text(gateway.text()).text(name);
    SPILLWAY_TRY(renamed, connection_.query("UPDATE gateway SET given_name = nullif($2, '') "
                                            "WHERE gateway = $1",
                                            parameters));
    if (renamed.changed() == 0) {
      return fail(ErrorCode::kNotFound, "there is no gateway " + gateway.text() + " here yet");
    }
    return connection_.execute(kChangedSql);
  });
}

}  // namespace

std::unique_ptr<GatewayStore> make_postgres_gateways(PgConnection connection) {
  return std::make_unique<PostgresGateways>(std::move(connection));
}

}  // namespace spillway::consumer
