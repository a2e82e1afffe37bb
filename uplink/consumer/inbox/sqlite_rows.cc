#include "uplink/consumer/inbox/sqlite_rows.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "spillway/core/gap_table.h"
#include "spillway/core/schema.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"
#include "uplink/consumer/inbox/sqlite_schema.h"

namespace spillway::consumer {

using core::Result;

namespace {

std::string hex_of(std::uint64_t id) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64, id);
  return text;
}

/// Empty: the lane names no schema.
std::string fingerprint_of(const LaneLabel& lane) {
  return lane.schema_fingerprint == 0 ? "" : core::fingerprint_text(lane.schema_fingerprint);
}

void bind_or_null(Statement& row, int index, std::string_view text) {
  if (text.empty()) {
    row.bind_null(index);
  } else {
    row.bind(index, text);
  }
}

std::optional<std::uint64_t> or_null(std::uint64_t time_ns) {
  return time_ns == 0 ? std::nullopt : std::optional(time_ns);
}

}  // namespace

Result<void> SqliteRows::prepare(sqlite3* database) {
  database_ = database;
  const struct {
    Statement* into;
    const char* sql;
  } wanted[] = {
      {&insert_record_, kInsertRecordSql}, {&insert_unseen_, kInsertUnseenSql},
      {&mark_dead_, kMarkDeadSql},         {&insert_gap_, kInsertGapSql},
      {&keep_gap_, kKeepGapSql},           {&upsert_lane_, kUpsertLaneSql},
      {&insert_schema_, kInsertSchemaSql}, {&read_lane_time_, kReadLaneTimeSql},
      {&insert_boot_, kInsertBootSql},     {&correct_records_, kCorrectRecordsSql},
      {&read_boot_, kReadBootSql},         {&correct_lanes_, kCorrectLanesSql},
  };
  for (const auto& one : wanted) {
    SPILLWAY_TRY(statement, Statement::prepare(database, one.sql));
    *one.into = std::move(statement);
  }
  return {};
}

Result<void> SqliteRows::insert(const InboxBatch& batch, const KeyText& key,
                                std::optional<std::uint64_t> unseen_from) {
  SPILLWAY_TRY(shares,
               unseen_from ? insert_unseen(batch, key, *unseen_from) : insert_records(batch, key));
  SPILLWAY_CHECKED(insert_gaps(batch, key, unseen_from));
  SPILLWAY_CHECKED(update_lanes(batch, key, shares, unseen_from.has_value()));
  SPILLWAY_CHECKED(correct_times(batch, key));
  return keep_schemas(batch);
}

/// What the inbox has of the lane, over all sessions.
Result<SqliteRows::LaneShare*> SqliteRows::share_of(const LaneLabel& lane, const KeyText& key,
                                                    LaneShares& shares) {
  const auto [at, is_new] = shares.try_emplace(lane.lane_id);
  if (!is_new) return &at->second;
  const std::string lane_id = hex_of(lane.lane_id);
  key.bind(read_lane_time_);
  read_lane_time_.bind(4, std::string_view(lane_id));
  SPILLWAY_TRY(found, read_lane_time_.step());
  if (found) at->second.produced_at_ns = read_lane_time_.column(0);
  read_lane_time_.reset();
  return &at->second;
}

void SqliteRows::bind_run(Statement& row, const InboxRun& run) {
  schema_ = fingerprint_of(*run.lane);
  boot_id_ = run.lane->boot_id.text();
  row.bind(5, run.lane->topic);
  bind_or_null(row, 9, schema_);
}

void SqliteRows::bind_record(Statement& row, std::uint64_t offset, const InboxRecord& record,
                             std::optional<std::uint64_t> produced_at_ns) {
  row.bind(4, offset);
  row.bind(6, produced_at_ns);
  row.bind_blob(8, record.payload);
  if (produced_at_ns) {
    row.bind_null(10);
    row.bind_null(11);
  } else {
    row.bind(10, std::string_view(boot_id_));
    row.bind(11, record.boottime_ns);
  }
}

Result<SqliteRows::LaneShares> SqliteRows::insert_records(const InboxBatch& batch,
                                                          const KeyText& key) {
  LaneShares shares;
  if (batch.runs.empty()) return shares;
  Statement& row = insert_record_;
  key.bind(row);
  row.bind(7, batch.received_at_ns);
  std::size_t at = 0;
  for (const InboxRun& run : batch.runs) {
    bind_run(row, run);
    SPILLWAY_TRY(share, share_of(*run.lane, key, shares));
    for (std::uint32_t i = 0; i < run.count; ++i, ++at) {
      const InboxRecord& record = batch.records[at];
      if (record.produced_at_ns) {
        share->produced_at_ns = std::max(share->produced_at_ns, *record.produced_at_ns);
        bind_record(row, run.first_offset + i, record, share->produced_at_ns);
      } else {
        share->boottime_ns = std::max(share->boottime_ns, record.boottime_ns);
        bind_record(row, run.first_offset + i, record, std::nullopt);
      }
      SPILLWAY_CHECKED(row.run());
    }
    share->records += run.count;
  }
  // After their rows: the many others need not carry a state and a reason through their statement.
  for (const InboxDead& dead : batch.dead) SPILLWAY_CHECKED(mark_dead(batch, key, dead));
  return shares;
}

/// When the boot was, if that is known: then no reading of its clock has to come any more.
Result<std::optional<InboxClock>> SqliteRows::clock_of(const LaneLabel& lane, const KeyText& key) {
  const std::string boot_id = lane.boot_id.text();
  read_boot_.bind(1, key.gateway);
  read_boot_.bind(2, std::string_view(boot_id));
  SPILLWAY_TRY(found, read_boot_.step());
  if (!found) return std::optional<InboxClock>();
  const InboxClock known{lane.boot_id, read_boot_.column(0), read_boot_.column(1)};
  read_boot_.reset();
  return std::optional(known);
}

Result<SqliteRows::LaneShares> SqliteRows::insert_unseen(const InboxBatch& batch,
                                                         const KeyText& key,
                                                         std::uint64_t unseen_from) {
  LaneShares shares;
  Statement& row = insert_unseen_;
  key.bind(row);
  row.bind(7, batch.received_at_ns);
  std::size_t at = 0;
  auto dead = batch.dead.begin();
  for (const InboxRun& run : batch.runs) {
    bind_run(row, run);
    LaneShare& share = shares[run.lane->lane_id];
    std::optional<std::optional<InboxClock>> clock;  // asked for where it is needed
    for (std::uint32_t i = 0; i < run.count; ++i, ++at) {
      const InboxRecord& record = batch.records[at];
      const bool is_dead = dead != batch.dead.end() && dead->record == at;
      const InboxDead* verdict = is_dead ? &*dead++ : nullptr;
      if (run.first_offset + i < unseen_from) continue;
      auto produced = record.produced_at_ns;
      if (!produced) {
        if (!clock) {
          SPILLWAY_TRY(known, clock_of(*run.lane, key));
          clock = known;
        }
        if (*clock) produced = (*clock)->utc_at(record.boottime_ns);
      }
      bind_record(row, run.first_offset + i, record, produced);
      SPILLWAY_CHECKED(row.run());
      if (sqlite3_changes(database_) == 0) continue;
      ++share.records;
      share.produced_at_ns = std::max(share.produced_at_ns, produced.value_or(0));
      if (!produced) share.boottime_ns = std::max(share.boottime_ns, record.boottime_ns);
      if (verdict != nullptr) SPILLWAY_CHECKED(mark_dead(batch, key, *verdict));
    }
  }
  return shares;
}

Result<void> SqliteRows::mark_dead(const InboxBatch& batch, const KeyText& key,
                                   const InboxDead& dead) {
  const bool cut = dead.record_bytes > batch.records[dead.record].payload.size();
  Statement& row = mark_dead_;
  key.bind(row);
  row.bind(4, dead.offset);
  row.bind(5, std::string_view(dead.reason));
  row.bind(6, cut ? std::optional(dead.record_bytes) : std::nullopt);
  return row.run();
}

Result<void> SqliteRows::insert_gaps(const InboxBatch& batch, const KeyText& key,
                                     std::optional<std::uint64_t> unseen_from) {
  Statement& row = unseen_from ? keep_gap_ : insert_gap_;
  for (const InboxGap& gap : batch.gaps) {
    if (gap.next_offset <= unseen_from.value_or(0)) continue;
    key.bind(row);
    row.bind(4, std::max(gap.first_offset, unseen_from.value_or(0)));
    row.bind(5, gap.next_offset);
    row.bind(6, core::name_of(static_cast<format::GapReason>(gap.reason)));
    row.bind(7, batch.received_at_ns);
    SPILLWAY_CHECKED(row.run());
  }
  return {};
}

Result<void> SqliteRows::update_lanes(const InboxBatch& batch, const KeyText& key,
                                      LaneShares& shares, bool are_counted) {
  for (const LaneTotals& totals : batch.lanes) {
    Statement& row = upsert_lane_;
    const std::string lane_id = hex_of(totals.lane->lane_id);
    const std::string boot_id = totals.lane->boot_id.text();
    key.bind(row);
    row.bind(4, std::string_view(lane_id));
    row.bind(5, totals.lane->topic);
    row.bind(6, totals.lane->producer);
    row.bind(7, std::string_view(boot_id));
    row.bind(8, totals.lane_end);
    row.bind(9, totals.rejected);
    row.bind(10, static_cast<std::uint64_t>(totals.closed));
    // Only the inbox knows which of them were new; a lane may stand in the batch twice.
    LaneShare& share = shares[totals.lane->lane_id];
    row.bind(11, are_counted ? std::exchange(share.records, 0) : totals.records);
    const std::string schema = fingerprint_of(*totals.lane);
    bind_or_null(row, 12, schema);
    row.bind(13, or_null(share.produced_at_ns));
    row.bind(14, or_null(share.boottime_ns));
    SPILLWAY_CHECKED(row.run());
  }
  return {};
}

/// A gateway speaks for its own records alone.
Result<void> SqliteRows::correct_times(const InboxBatch& batch, const KeyText& key) {
  for (const InboxClock& clock : batch.clocks) {
    const std::string boot_id = clock.boot_id.text();
    for (Statement* statement : {&insert_boot_, &correct_records_, &correct_lanes_}) {
      statement->bind(1, key.gateway);
      statement->bind(2, std::string_view(boot_id));
      statement->bind(3, clock.boottime_ns);
      statement->bind(4, clock.utc_ns);
      if (statement == &insert_boot_) statement->bind(5, static_cast<std::uint64_t>(kBootsMax));
      SPILLWAY_CHECKED(statement->run());
    }
  }
  return {};
}

Result<void> SqliteRows::keep_schemas(const InboxBatch& batch) {
  for (const InboxSchema& schema : batch.schemas) {
    Statement& row = insert_schema_;
    const std::string fingerprint = core::fingerprint_text(schema.fingerprint);
    row.bind(1, std::string_view(fingerprint));
    row.bind_blob(2, schema.bfbs);
    row.bind(3, static_cast<std::uint64_t>(kSchemasMax));
    SPILLWAY_CHECKED(row.run());
  }
  return {};
}

}  // namespace spillway::consumer
