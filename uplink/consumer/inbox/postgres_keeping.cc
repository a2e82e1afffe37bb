#include "uplink/consumer/inbox/postgres_keeping.h"

#include "spillway/core/topic.h"

namespace spillway::consumer {

namespace {

using core::Result;

constexpr const char* kListSql =
    "SELECT gateway, journal, stream, record_offset, topic, coalesce(reason, ''), produced_at_ns, "
    "received_at_ns, coalesce(record_bytes, length(payload)), length(payload), "
    "coalesce(schema_fingerprint, '') FROM record "
    "WHERE state = 'dead' AND ($1 = '' OR gateway = $1) AND ($2 = '' OR stream = $2) "
    "AND ($3 = '' OR (journal = $3 AND record_offset = $4::bigint)) "
    "ORDER BY gateway, stream, journal, record_offset";
constexpr const char* kPayloadSql =
    "SELECT payload FROM record WHERE gateway = $1 AND journal = $2 AND stream = $3 "
    "AND record_offset = $4::bigint AND state = 'dead'";
// The state once more: another command may have been faster.
constexpr const char* kRequeueSql =
    "UPDATE record r SET state = 'received', reason = NULL "
    "FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) "
    "AS n(gateway, journal, stream, record_offset) WHERE r.gateway = n.gateway "
    "AND r.journal = n.journal AND r.stream = n.stream AND r.record_offset = n.record_offset "
    "AND r.state = 'dead' AND r.record_bytes IS NULL";
// At or above the next offset the row itself says that the record has come.
constexpr const char* kDropSql =
    "DELETE FROM record r USING unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) "
    "AS n(gateway, journal, stream, record_offset), position p WHERE r.gateway = n.gateway "
    "AND r.journal = n.journal AND r.stream = n.stream AND r.record_offset = n.record_offset "
    "AND r.state = 'dead' AND p.gateway = n.gateway AND p.journal = n.journal "
    "AND p.stream = n.stream AND r.record_offset < p.next_offset";

class PostgresDeadRows final : public DeadStore {
 public:
  explicit PostgresDeadRows(PgConnection connection) : connection_(std::move(connection)) {}

  Result<std::vector<DeadRow>> list(const DeadFilter& filter, std::size_t limit) override;
  Result<std::vector<std::byte>> payload(const RecordName& name) override;

 private:
  Result<std::uint64_t> change(std::span<const DeadRow> rows, Change what) override;

  PgConnection connection_;
};

Result<std::vector<DeadRow>> PostgresDeadRows::list(const DeadFilter& filter, std::size_t limit) {
  const RecordName name = filter.name.value_or(RecordName{});
  PgParameters parameters;
  parameters.text(filter.name ? name.gateway : filter.gateway)
      .text(filter.name ? name.stream : filter.stream)
      .text(name.journal)
      .number(name.offset);
  SPILLWAY_TRY(found, connection_.query(kListSql, parameters));
  std::vector<DeadRow> rows;
  for (int row = 0; row < found.rows() && rows.size() < limit; ++row) {
    const auto text = [&](int column) { return std::string(found.text(row, column)); };
    if (!filter.topic.empty() && !core::topic_matches(filter.topic, found.text(row, 4))) continue;
    DeadRow dead;
    dead.name = {text(0), text(1), text(2), found.number(row, 3)};
    dead.topic = text(4);
    dead.reason = text(5);
    if (!found.is_null(row, 6)) dead.produced_at_ns = found.number(row, 6);
    dead.received_at_ns = found.number(row, 7);
    dead.record_bytes = found.number(row, 8);
    dead.kept_bytes = found.number(row, 9);
    dead.schema_fingerprint = text(10);
    rows.push_back(std::move(dead));
  }
  return rows;
}

Result<std::vector<std::byte>> PostgresDeadRows::payload(const RecordName& name) {
  PgParameters parameters;
  parameters.text(name.gateway).text(name.journal).text(name.stream).number(name.offset);
  SPILLWAY_TRY(found, connection_.query(kPayloadSql, parameters));
  if (found.rows() == 0) {
    return core::fail(core::ErrorCode::kNotFound, "there is no dead record " + name.text());
  }
  return found.bytes(0, 0);
}

/// One statement, which is a transaction.
Result<std::uint64_t> PostgresDeadRows::change(std::span<const DeadRow> rows, Change what) {
  PgArray columns[3] = {PgArray(PgArray::Type::kText), PgArray(PgArray::Type::kText),
                        PgArray(PgArray::Type::kText)};
  PgArray offsets(PgArray::Type::kInt8);
  for (const DeadRow& row : rows) {
    columns[0].add(std::string_view(row.name.gateway));
    columns[1].add(std::string_view(row.name.journal));
    columns[2].add(std::string_view(row.name.stream));
    offsets.add(std::optional(row.name.offset));
  }
  PgParameters parameters;
  for (PgArray& column : columns) parameters.array(std::move(column));
  parameters.array(std::move(offsets));
  SPILLWAY_TRY(changed,
               connection_.query(what == Change::kRequeue ? kRequeueSql : kDropSql, parameters));
  return changed.changed();
}

/// The key whose oldest record was received first, as far as nothing decides once-only by it.
constexpr const char* kOldestSql =
    "SELECT p.gateway, p.journal, p.stream, r.received_at_ns FROM position p, LATERAL "
    "(SELECT received_at_ns FROM record WHERE gateway = p.gateway AND journal = p.journal "
    "AND stream = p.stream AND record_offset < p.next_offset ORDER BY record_offset LIMIT 1) r "
    "ORDER BY r.received_at_ns LIMIT 1";
// Within a key they were received in the order of their offsets; the first that is younger stops it.
constexpr const char* kPruneSql =
    "WITH oldest AS (SELECT record_offset, bool_and(received_at_ns < $4::bigint) "
    "OVER (ORDER BY record_offset) AS old FROM (SELECT r.record_offset, r.received_at_ns "
    "FROM record r JOIN position p USING (gateway, journal, stream) WHERE r.gateway = $1 "
    "AND r.journal = $2 AND r.stream = $3 AND r.record_offset < p.next_offset "
    "ORDER BY r.record_offset LIMIT $5::bigint) first) "
    "DELETE FROM record WHERE gateway = $1 AND journal = $2 AND stream = $3 "
    "AND record_offset IN (SELECT record_offset FROM oldest WHERE old)";
class PostgresPruner final : public Pruner {
 public:
  PostgresPruner(PgConnection connection, std::uint64_t retain_ns)
      : connection_(std::move(connection)), retain_ns_(retain_ns) {}

  Result<std::uint64_t> prune_some(std::uint64_t utc_ns) override;

 private:
  PgConnection connection_;
  std::uint64_t retain_ns_;
};

Result<std::uint64_t> PostgresPruner::prune_some(std::uint64_t utc_ns) {
  if (utc_ns <= retain_ns_) return std::uint64_t{0};
  const std::uint64_t received_before = utc_ns - retain_ns_;
  SPILLWAY_TRY(oldest, connection_.query(kOldestSql));
  if (oldest.rows() == 0 || oldest.number(0, 3) >= received_before) return std::uint64_t{0};
  PgParameters parameters;
  parameters.text(oldest.text(0, 0))
      .text(oldest.text(0, 1))
      .text(oldest.text(0, 2))
      .number(received_before)
      .number(Retention::kRowsPerTransaction);
  SPILLWAY_TRY(pruned, connection_.query(kPruneSql, parameters));
  return pruned.changed();
}

}  // namespace

std::unique_ptr<DeadStore> make_postgres_dead_rows(PgConnection connection) {
  return std::make_unique<PostgresDeadRows>(std::move(connection));
}

std::unique_ptr<Pruner> make_postgres_pruner(PgConnection connection, std::uint64_t retain_ns) {
  return std::make_unique<PostgresPruner>(std::move(connection), retain_ns);
}

}  // namespace spillway::consumer
