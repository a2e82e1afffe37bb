#include "uplink/consumer/inbox/postgres_batches.h"

#include <algorithm>
#include <deque>

#include "uplink/consumer/inbox/postgres_keys.h"

namespace spillway::consumer {

using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

/// The first look is short: while a hole stays open there is nothing to be walked over.
constexpr std::size_t kFirstLookRows = 2;
constexpr std::size_t kLookRowsMax = 32'768;

bool needs_position(const InboxBatch& batch) {
  return !batch.loose || !batch.runs.empty() || !batch.gaps.empty();
}

}  // namespace

PostgresBatches::PostgresBatches(PgConnection& connection, std::span<const InboxBatch> batches,
                                 std::vector<Result<void>>& outcomes)
    : connection_(connection), batches_(batches), outcomes_(outcomes) {
  for (const InboxBatch& batch : batches_) {
    const Key key{batch.key.gateway.text(), batch.key.journal.text(), batch.key.stream};
    keys_.push_back(&*all_keys_.insert(key).first);
  }
}

Result<void> PostgresBatches::apply() {
  SPILLWAY_CHECKED(connection_.send("begin"));
  SPILLWAY_CHECKED(read_positions());
  SPILLWAY_CHECKED(begin_positions());
  decide();
  SPILLWAY_CHECKED(insert_records());
  SPILLWAY_CHECKED(insert_gaps());
  SPILLWAY_CHECKED(walk_islands());
  return send_rest();
}

Result<void> PostgresBatches::read_positions() {
  PgArray gateways(PgArray::Type::kText);
  PgArray journals(PgArray::Type::kText);
  PgArray streams(PgArray::Type::kText);
  for (const auto& [gateway, journal, stream] : all_keys_) {
    gateways.add(std::string_view(gateway));
    journals.add(std::string_view(journal));
    streams.add(std::string_view(stream));
  }
  PgParameters parameters;
  parameters.array(std::move(gateways)).array(std::move(journals)).array(std::move(streams));
  SPILLWAY_CHECKED(connection_.send("positions", parameters));
  SPILLWAY_CHECKED(read_times());
  SPILLWAY_TRY(results, connection_.collect());
  const auto is_of = [](const PgResult& result, int columns) {
    return PQnfields(result.raw()) == columns;
  };
  for (const PgResult& result : results) {
    for (int row = 0; row < result.rows(); ++row) {
      const std::string first(result.text(row, 0));
      const std::string second(result.text(row, 1));
      if (is_of(result, 6)) {
        Position position;
        position.at = {result.number(row, 3), result.number(row, 5)};
        position.last_record = result.number(row, 4);
        position.began = position.at.next;
        positions_[{first, second, std::string(result.text(row, 2))}] = position;
      } else if (is_of(result, 5)) {
        lane_times_[{first, second, std::string(result.text(row, 2)),
                     std::string(result.text(row, 3))}] = result.number(row, 4);
      } else if (is_of(result, 4)) {
        boots_[{first, second}] = {{}, result.number(row, 2), result.number(row, 3)};
      }
    }
  }
  return {};
}

/// What records in their order may not fall behind, and what those without a time may have got meanwhile.
Result<void> PostgresBatches::read_times() {
  std::set<LaneKey> lanes;
  std::set<BootKey> boots;
  for (std::size_t i = 0; i < batches_.size(); ++i) {
    const auto& [gateway, journal, stream] = *keys_[i];
    std::size_t at = 0;
    for (const InboxRun& run : batches_[i].runs) {
      const auto records = std::span(batches_[i].records).subspan(at, run.count);
      at += run.count;
      lanes.insert({gateway, journal, stream, hex_of(run.lane->lane_id)});
      if (std::any_of(records.begin(), records.end(),
                      [](const InboxRecord& record) { return !record.produced_at_ns; })) {
        boots.insert({gateway, run.lane->boot_id.text()});
      }
    }
  }
  if (!lanes.empty()) {
    PgArray columns[4] = {PgArray(PgArray::Type::kText), PgArray(PgArray::Type::kText),
                          PgArray(PgArray::Type::kText), PgArray(PgArray::Type::kText)};
    for (const auto& [gateway, journal, stream, lane] : lanes) {
      columns[0].add(std::string_view(gateway));
      columns[1].add(std::string_view(journal));
      columns[2].add(std::string_view(stream));
      columns[3].add(std::string_view(lane));
    }
    PgParameters parameters;
    for (PgArray& column : columns) parameters.array(std::move(column));
    SPILLWAY_CHECKED(connection_.send("lane_times", parameters));
  }
  if (boots.empty()) return {};
  PgArray gateways(PgArray::Type::kText);
  PgArray ids(PgArray::Type::kText);
  for (const auto& [gateway, boot] : boots) {
    gateways.add(std::string_view(gateway));
    ids.add(std::string_view(boot));
  }
  PgParameters parameters;
  parameters.array(std::move(gateways)).array(std::move(ids));
  return connection_.send("boots", parameters);
}

/// Rows for the keys that are new. If another consumer was faster they are locked and read as all others.
Result<void> PostgresBatches::begin_positions() {
  std::map<Key, std::uint64_t> missing;
  for (std::size_t i = 0; i < batches_.size(); ++i) {
    const InboxBatch& batch = batches_[i];
    if (positions_.contains(*keys_[i]) || !needs_position(batch)) continue;
    if (!batch.loose && !batch.begins) continue;
    missing.try_emplace(*keys_[i], batch.loose ? batch.key.journal_first_offset : batch.from);
  }
  if (missing.empty()) return {};
  PgArray columns[3] = {PgArray(PgArray::Type::kText), PgArray(PgArray::Type::kText),
                        PgArray(PgArray::Type::kText)};
  PgArray firsts(PgArray::Type::kInt8);
  for (const auto& [key, first] : missing) {
    columns[0].add(std::string_view(std::get<0>(key)));
    columns[1].add(std::string_view(std::get<1>(key)));
    columns[2].add(std::string_view(std::get<2>(key)));
    firsts.add(std::optional(first));
  }
  PgParameters parameters;
  for (PgArray& column : columns) parameters.array(std::move(column));
  parameters.array(std::move(firsts));
  SPILLWAY_CHECKED(connection_.send("begin_positions", parameters));
  SPILLWAY_TRY(results, connection_.collect());
  for (int row = 0; row < results.front().rows(); ++row) {
    const Key key{results.front().text(row, 0), results.front().text(row, 1),
                  results.front().text(row, 2)};
    const std::uint64_t first = missing.at(key);
    positions_[key] = {{first, 0}, 0, first, true, false};
    missing.erase(key);
  }
  return missing.empty() ? Result<void>() : read_positions();
}

void PostgresBatches::decide() {
  for (std::size_t i = 0; i < batches_.size(); ++i) {
    Applied applied;
    applied.batch = &batches_[i];
    applied.key = keys_[i];
    if (decide(applied)) {
      applied_.push_back(std::move(applied));
    } else {
      outcomes_[i] = fail(ErrorCode::kBusy,
                          "stream " + batches_[i].key.stream + " was moved on by another session");
    }
  }
}

/// Invariant 2 of the inbox stands here: no row is touched unless the position is the expected one.
bool PostgresBatches::decide(Applied& applied) {
  const InboxBatch& batch = *applied.batch;
  if (!needs_position(batch)) {
    applied.unseen_from = 0;
    return true;
  }
  const auto found = positions_.find(*applied.key);
  if (found == positions_.end()) return false;
  Position& position = found->second;
  if (!batch.loose) {
    const bool fits =
        batch.begins ? position.is_fresh && !position.moved
                     : position.at.next == batch.from && (!position.is_fresh || position.moved);
    if (!fits) return false;
  }
  const bool is_plain = !batch.loose && !position.at.has_islands();
  if (!is_plain) applied.unseen_from = position.at.next;
  const LoosePosition before = position.at;
  if (is_plain) {
    position.at.next = batch.next;
    position.last_record = batch.last_record;
  } else {
    position.at = move_over(position.at, batch);
    const bool ends_it = !batch.loose && position.at.next == batch.next;
    if (position.at.next != before.next) position.last_record = ends_it ? batch.last_record : 0;
  }
  position.moved = true;
  return true;
}

Result<void> PostgresBatches::walk_islands() {
  for (auto& [key, position] : positions_) {
    if (!position.moved || !position.at.has_islands()) continue;
    std::uint64_t from = position.at.next;
    std::size_t limit = kFirstLookRows;
    std::deque<std::uint64_t> rows;
    bool at_end = false;
    const auto look = [&, &key = key]() -> Result<void> {
      PgParameters parameters;
      bind(parameters, key).number(from).number(limit);
      SPILLWAY_TRY(found,
                   connection_.query(
                       "SELECT record_offset FROM record WHERE gateway = $1 AND journal = $2 "
                       "AND stream = $3 AND record_offset >= $4 ORDER BY record_offset LIMIT $5",
                       parameters));
      for (int row = 0; row < found.rows(); ++row) rows.push_back(found.number(row, 0));
      at_end = static_cast<std::size_t>(found.rows()) < limit;
      limit = std::min(limit * 64, kLookRowsMax);
      return {};
    };
    PgParameters parameters;
    bind(parameters, key).number(position.began);
    SPILLWAY_TRY(gaps, connection_.query("SELECT first_offset, next_offset FROM gap "
                                         "WHERE gateway = $1 AND journal = $2 AND stream = $3 "
                                         "AND first_offset >= $4 ORDER BY first_offset",
                                         parameters));
    int gap = 0;
    SPILLWAY_TRY(
        next,
        walk(
            position.at.next,
            [&]() -> Result<std::optional<std::uint64_t>> {
              if (rows.empty() && !at_end) SPILLWAY_CHECKED(look());
              if (rows.empty()) return std::optional<std::uint64_t>();
              const std::uint64_t row = rows.front();
              rows.pop_front();
              from = row + 1;
              return std::optional(row);
            },
            [&]() -> Result<std::optional<OffsetRange>> {
              if (gap >= gaps.rows()) return std::optional<OffsetRange>();
              ++gap;
              return std::optional(OffsetRange{gaps.number(gap - 1, 0), gaps.number(gap - 1, 1)});
            }));
    if (next != position.at.next) position.last_record = 0;
    position.at.next = next;
  }
  return {};
}

}  // namespace spillway::consumer
