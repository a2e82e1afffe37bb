// PostgresBatches: what becomes of a batch's content as parameters of statements.
#include <algorithm>
#include <charconv>
#include <utility>

#include "spillway/core/gap_table.h"
#include "spillway/core/schema.h"
#include "uplink/consumer/inbox/postgres_batches.h"
#include "uplink/consumer/inbox/postgres_keys.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"

namespace spillway::consumer {

using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

std::string fingerprint_of(const LaneLabel& lane) {
  return lane.schema_fingerprint == 0 ? "" : core::fingerprint_text(lane.schema_fingerprint);
}

std::optional<std::uint64_t> or_null(std::uint64_t time_ns) {
  return time_ns == 0 ? std::nullopt : std::optional(time_ns);
}

}  // namespace

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

/// Before the walk, which passes those of this transaction, too.
Result<void> PostgresBatches::insert_gaps() {
  for (const Applied& applied : applied_) SPILLWAY_CHECKED(send_gaps(applied));
  return connection_.collect().map([](auto&&) {});
}

Result<void> PostgresBatches::send_rest() {
  for (Applied& applied : applied_) {
    SPILLWAY_CHECKED(send_dead(applied));
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
