#include "uplink/consumer/inbox/postgres_batches.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "spillway/core/gap_table.h"
#include "spillway/core/schema.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"

namespace spillway::consumer {

using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

/// The first look is short: while a hole stays open there is nothing to be walked over.
constexpr std::size_t kFirstLookRows = 2;
constexpr std::size_t kLookRowsMax = 32'768;

std::string hex_of(std::uint64_t id) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64, id);
  return text;
}

std::string fingerprint_of(const LaneLabel& lane) {
  return lane.schema_fingerprint == 0 ? "" : core::fingerprint_text(lane.schema_fingerprint);
}

std::optional<std::uint64_t> or_null(std::uint64_t time_ns) {
  return time_ns == 0 ? std::nullopt : std::optional(time_ns);
}

bool needs_position(const InboxBatch& batch) {
  return !batch.loose || !batch.runs.empty() || !batch.gaps.empty();
}

template <typename Key>
PgParameters& bind(PgParameters& parameters, const Key& key) {
  return parameters.text(std::get<0>(key)).text(std::get<1>(key)).text(std::get<2>(key));
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

std::optional<std::uint64_t> PostgresBatches::produced_at(const Applied& applied,
                                                          const InboxRun& run,
                                                          const InboxRecord& record,
                                                          LaneShare& share) const {
  if (record.produced_at_ns) {
    if (applied.unseen_from) return record.produced_at_ns;
    share.produced_at_ns = std::max(share.produced_at_ns, *record.produced_at_ns);
    return share.produced_at_ns;
  }
  if (!applied.unseen_from) return std::nullopt;
  const auto boot = boots_.find({std::get<0>(*applied.key), run.lane->boot_id.text()});
  if (boot == boots_.end()) return std::nullopt;
  return boot->second.utc_at(record.boottime_ns);
}

Result<void> PostgresBatches::insert_records() {
  std::vector<Applied*> sent;
  for (Applied& applied : applied_) {
    if (applied.batch->records.empty()) continue;
    SPILLWAY_CHECKED(send_records(applied));
    sent.push_back(&applied);
  }
  SPILLWAY_TRY(results, connection_.collect());
  for (std::size_t i = 0; i < sent.size(); ++i) {
    SPILLWAY_CHECKED(take_fresh(*sent[i], results[i]));
  }
  return {};
}

Result<void> PostgresBatches::send_records(Applied& applied) {
  const InboxBatch& batch = *applied.batch;
  const auto& [gateway, journal, stream] = *applied.key;
  PgArray topics(PgArray::Type::kText);
  PgArray schemas(PgArray::Type::kText);
  PgArray boots(PgArray::Type::kText);
  PgArray offsets(PgArray::Type::kInt8);
  PgArray lanes(PgArray::Type::kInt4);
  PgArray produced(PgArray::Type::kInt8);
  PgArray boottimes(PgArray::Type::kInt8);
  PgArray payloads(PgArray::Type::kBytea);
  std::size_t at = 0;
  std::map<const LaneLabel*, std::uint32_t> indexes;  // from 1
  for (const InboxRun& run : batch.runs) {
    const auto index = static_cast<std::uint32_t>(indexes.size() + 1);
    const auto [label, is_new_label] = indexes.try_emplace(run.lane.get(), index);
    if (is_new_label) {
      topics.add(std::string_view(run.lane->topic));
      const std::string schema = fingerprint_of(*run.lane);
      schema.empty() ? schemas.add_null() : schemas.add(std::string_view(schema));
      boots.add(std::string_view(run.lane->boot_id.text()));
    }
    const auto [share, is_new] = applied.shares.try_emplace(run.lane->lane_id);
    if (is_new && !applied.unseen_from) {
      const auto known = lane_times_.find({gateway, journal, stream, hex_of(run.lane->lane_id)});
      if (known != lane_times_.end()) share->second.produced_at_ns = known->second;
    }
    for (std::uint32_t i = 0; i < run.count; ++i, ++at) {
      const std::uint64_t offset = run.first_offset + i;
      if (offset < applied.unseen_from.value_or(0)) continue;
      const InboxRecord& record = batch.records[at];
      const auto time = produced_at(applied, run, record, share->second);
      offsets.add(std::optional(offset));
      lanes.add_index(label->second);
      produced.add(time);
      boottimes.add(time ? std::nullopt : std::optional(record.boottime_ns));
      payloads.add(record.payload);
    }
    // What the next batch of this lane may not fall behind.
    if (!applied.unseen_from) {
      lane_times_[{gateway, journal, stream, hex_of(run.lane->lane_id)}] =
          share->second.produced_at_ns;
    }
  }
  applied.sent = offsets.size();
  PgParameters parameters;
  bind(parameters, *applied.key)
      .array(std::move(topics))
      .number(batch.received_at_ns)
      .array(std::move(schemas))
      .array(std::move(boots))
      .array(std::move(offsets))
      .array(std::move(lanes))
      .array(std::move(produced))
      .array(std::move(boottimes))
      .array(std::move(payloads))
      .number(applied.sent);
  return connection_.send("insert", parameters);
}

Result<void> PostgresBatches::take_fresh(Applied& applied, const PgResult& result) {
  applied.all_fresh = result.number(0, 0) == applied.sent;
  if (!applied.all_fresh && !applied.unseen_from) {
    return fail(ErrorCode::kCorrupt,
                "rows of stream " + applied.batch->key.stream + " stand above its position");
  }
  if (!applied.all_fresh && !result.is_null(0, 1)) {
    const std::string_view list = result.text(0, 1);
    for (const char *at = list.data(), *end = at + list.size(); at < end; ++at) {
      std::uint64_t offset = 0;
      at = std::from_chars(at, end, offset).ptr;
      applied.fresh.insert(offset);
    }
  }
  count_fresh(applied);
  return {};
}

void PostgresBatches::count_fresh(Applied& applied) {
  std::size_t at = 0;
  std::set<std::uint64_t> counted;  // a record may stand in the batch twice
  for (const InboxRun& run : applied.batch->runs) {
    LaneShare& share = applied.shares[run.lane->lane_id];
    for (std::uint32_t i = 0; i < run.count; ++i, ++at) {
      const std::uint64_t offset = run.first_offset + i;
      if (offset < applied.unseen_from.value_or(0)) continue;
      if (!applied.all_fresh &&
          (!applied.fresh.contains(offset) || !counted.insert(offset).second)) {
        continue;
      }
      ++share.records;
      const InboxRecord& record = applied.batch->records[at];
      const auto time =
          applied.unseen_from ? produced_at(applied, run, record, share) : record.produced_at_ns;
      if (!time) {
        share.boottime_ns = std::max(share.boottime_ns, record.boottime_ns);
      } else {
        share.produced_at_ns = std::max(share.produced_at_ns, *time);
      }
    }
  }
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

Result<void> PostgresBatches::send_rest() {
  for (Applied& applied : applied_) {
    SPILLWAY_CHECKED(send_dead(applied));
    SPILLWAY_CHECKED(send_gaps(applied));
    SPILLWAY_CHECKED(send_lanes(applied));
    SPILLWAY_CHECKED(send_clocks(applied));
    SPILLWAY_CHECKED(send_schemas(applied));
    SPILLWAY_CHECKED(send_marks(*applied.batch));
  }
  return send_positions();
}

/// Only such as are new: one that was requeued meanwhile stays so.
Result<void> PostgresBatches::send_dead(const Applied& applied) {
  PgArray offsets(PgArray::Type::kInt8);
  PgArray reasons(PgArray::Type::kText);
  PgArray sizes(PgArray::Type::kInt8);
  for (const InboxDead& dead : applied.batch->dead) {
    const bool is_new = dead.offset >= applied.unseen_from.value_or(0) &&
                        (applied.all_fresh || applied.fresh.contains(dead.offset));
    if (!is_new) continue;
    const bool cut = dead.record_bytes > applied.batch->records[dead.record].payload.size();
    offsets.add(std::optional(dead.offset));
    reasons.add(std::string_view(dead.reason));
    sizes.add(cut ? std::optional(dead.record_bytes) : std::nullopt);
  }
  if (offsets.size() == 0) return {};
  PgParameters parameters;
  bind(parameters, *applied.key)
      .array(std::move(offsets))
      .array(std::move(reasons))
      .array(std::move(sizes));
  return connection_.send("mark_dead", parameters);
}

Result<void> PostgresBatches::send_gaps(const Applied& applied) {
  for (const InboxGap& gap : applied.batch->gaps) {
    const std::uint64_t seen_below = applied.unseen_from.value_or(0);
    if (gap.next_offset <= seen_below) continue;
    PgParameters parameters;
    bind(parameters, *applied.key)
        .number(std::max(gap.first_offset, seen_below))
        .number(gap.next_offset)
        .text(core::name_of(static_cast<format::GapReason>(gap.reason)))
        .number(applied.batch->received_at_ns);
    SPILLWAY_CHECKED(connection_.send("keep_gap", parameters));
  }
  return {};
}

Result<void> PostgresBatches::send_lanes(Applied& applied) {
  for (const LaneTotals& totals : applied.batch->lanes) {
    LaneShare& share = applied.shares[totals.lane->lane_id];
    // A lane may stand in the batch twice.
    const std::uint64_t records =
        applied.unseen_from ? std::exchange(share.records, 0) : totals.records;
    PgParameters parameters;
    bind(parameters, *applied.key)
        .text(hex_of(totals.lane->lane_id))
        .text(totals.lane->topic)
        .text(totals.lane->producer)
        .text(totals.lane->boot_id.text())
        .number(totals.lane_end)
        .number(totals.rejected)
        .number(static_cast<std::uint64_t>(totals.closed))
        .number(records)
        .text_or_null(fingerprint_of(*totals.lane))
        .number(or_null(share.produced_at_ns))
        .number(or_null(share.boottime_ns));
    SPILLWAY_CHECKED(connection_.send("upsert_lane", parameters));
  }
  return {};
}

/// A gateway speaks for its own records alone.
Result<void> PostgresBatches::send_clocks(const Applied& applied) {
  for (const InboxClock& clock : applied.batch->clocks) {
    PgParameters parameters;
    parameters.text(std::get<0>(*applied.key))
        .text(clock.boot_id.text())
        .number(clock.boottime_ns)
        .number(clock.utc_ns);
    SPILLWAY_CHECKED(connection_.send("correct_records", parameters));
    SPILLWAY_CHECKED(connection_.send("correct_lanes", parameters));
    parameters.number(static_cast<std::uint64_t>(kBootsMax));
    SPILLWAY_CHECKED(connection_.send("insert_boot", parameters));
  }
  return {};
}

Result<void> PostgresBatches::send_schemas(const Applied& applied) {
  for (const InboxSchema& schema : applied.batch->schemas) {
    PgParameters parameters;
    parameters.text(core::fingerprint_text(schema.fingerprint))
        .bytes(schema.bfbs)
        .number(static_cast<std::uint64_t>(kSchemasMax));
    SPILLWAY_CHECKED(connection_.send("insert_schema", parameters));
  }
  return {};
}

Result<void> PostgresBatches::send_marks(const InboxBatch& batch) {
  for (const InboxMark& mark : batch.marks) {
    PgParameters parameters;
    parameters.text(mark.source).text(mark.partition).number(mark.position);
    SPILLWAY_CHECKED(connection_.send("set_mark", parameters));
  }
  return {};
}

Result<void> PostgresBatches::send_positions() {
  for (const auto& [key, position] : positions_) {
    if (!position.moved) continue;
    PgParameters parameters;
    bind(parameters, key)
        .number(position.at.next)
        .number(position.last_record)
        .number(position.at.beyond);
    SPILLWAY_CHECKED(connection_.send("set_position", parameters));
  }
  return {};
}

}  // namespace spillway::consumer
