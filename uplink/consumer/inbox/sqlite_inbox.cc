#include "uplink/consumer/inbox/sqlite_inbox.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <unordered_map>

#include "spillway/core/gap_table.h"
#include "spillway/core/schema.h"
#include "uplink/consumer/inbox/sqlite_schema.h"
#include "uplink/consumer/inbox/sqlite_statement.h"

namespace spillway::consumer {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

/// A batch's key as the database spells it, made once a batch.
struct KeyText {
  explicit KeyText(const InboxKey& key)
      : gateway(key.gateway.text()), journal(key.journal.text()), stream(key.stream) {}
  void bind(Statement& statement) const {
    statement.bind(1, gateway);
    statement.bind(2, journal);
    statement.bind(3, stream);
  }
  std::string gateway;
  std::string journal;
  std::string_view stream;
};

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

/// The latest times of a lane's records; 0: there is none.
struct LaneTime {
  std::uint64_t produced_at_ns = 0;
  std::uint64_t boottime_ns = 0;  // of a record without a time
};
using LaneTimes = std::unordered_map<std::uint64_t, LaneTime>;

std::optional<std::uint64_t> or_null(std::uint64_t time_ns) {
  return time_ns == 0 ? std::nullopt : std::optional(time_ns);
}

class SqliteInbox final : public Inbox {
 public:
  SqliteInbox(std::string path, Database database)
      : path_(std::move(path)), database_(std::move(database)) {}

  Result<void> prepare();
  Result<std::optional<StoredPosition>> position(const InboxKey& key) override;
  void commit(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes) override;

 private:
  Result<void> apply_all(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes);
  Result<bool> move_position(const InboxBatch& batch, const KeyText& key);
  Result<void> apply(const InboxBatch& batch, const KeyText& key);
  Result<LaneTimes> insert_records(const InboxBatch& batch, const KeyText& key);
  Result<LaneTime*> time_of(const LaneLabel& lane, const KeyText& key, LaneTimes& times);
  Result<void> mark_dead(const InboxBatch& batch, const KeyText& key);
  Result<void> insert_gaps(const InboxBatch& batch, const KeyText& key);
  Result<void> update_lanes(const InboxBatch& batch, const KeyText& key, LaneTimes& times);
  Result<void> correct_times(const InboxBatch& batch, const KeyText& key);
  Result<void> keep_schemas(const InboxBatch& batch);

  std::string path_;
  Database database_;  // before the statements: they go first
  Statement begin_, commit_, rollback_;
  Statement read_position_, begin_position_, move_position_;
  Statement insert_record_, mark_dead_, insert_gap_, upsert_lane_, insert_schema_;
  Statement read_lane_time_, correct_records_, correct_lanes_;
};

Result<void> SqliteInbox::prepare() {
  const struct {
    Statement* into;
    const char* sql;
  } wanted[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&read_position_, kReadPositionSql},
      {&begin_position_, kBeginPositionSql},
      {&move_position_, kMovePositionSql},
      {&insert_record_, kInsertRecordSql},
      {&mark_dead_, kMarkDeadSql},
      {&insert_gap_, kInsertGapSql},
      {&upsert_lane_, kUpsertLaneSql},
      {&insert_schema_, kInsertSchemaSql},
      {&read_lane_time_, kReadLaneTimeSql},
      {&correct_records_, kCorrectRecordsSql},
      {&correct_lanes_, kCorrectLanesSql},
  };
  for (const auto& one : wanted) {
    SPILLWAY_TRY(statement, Statement::prepare(database_.get(), one.sql));
    *one.into = std::move(statement);
  }
  return {};
}

Result<std::optional<StoredPosition>> SqliteInbox::position(const InboxKey& key) {
  const KeyText text(key);
  text.bind(read_position_);
  SPILLWAY_TRY(found, read_position_.step());
  if (!found) return std::optional<StoredPosition>();
  const StoredPosition stored(read_position_.column(0), read_position_.column(1));
  read_position_.reset();
  return std::optional(stored);
}

void SqliteInbox::commit(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes) {
  outcomes.assign(batches.size(), {});
  auto whole = begin_.run();
  if (whole) {
    whole = apply_all(batches, outcomes);
    if (whole) whole = commit_.run();
    // After some errors SQLite has rolled back by itself; then there is nothing left to end.
    if (!whole && sqlite3_get_autocommit(database_.get()) == 0) static_cast<void>(rollback_.run());
  }
  if (whole) return;
  // Rows that contradict each other are one gateway's trouble: the others' batches are tried
  // without it.
  if (whole.error().code == ErrorCode::kCorrupt && batches.size() > 1) {
    std::vector<Result<void>> single;
    for (std::size_t i = 0; i < batches.size(); ++i) {
      commit(batches.subspan(i, 1), single);
      outcomes[i] = std::move(single.front());
    }
    return;
  }
  core::Error error = whole.error();
  error.message = "inbox " + path_ + ": " + error.message;
  if (error.code == ErrorCode::kFull) error.message += "; make room on its disk";
  outcomes.assign(batches.size(), tl::unexpected(error));
}

Result<void> SqliteInbox::apply_all(std::span<const InboxBatch> batches,
                                    std::vector<Result<void>>& outcomes) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const KeyText key(batches[i].key);
    SPILLWAY_TRY(moved, move_position(batches[i], key));
    if (!moved) {
      outcomes[i] = fail(ErrorCode::kBusy,
                         "stream " + batches[i].key.stream + " was moved on by another session");
      continue;
    }
    SPILLWAY_CHECKED(apply(batches[i], key));
  }
  return {};
}

/// Invariant 2 stands here: no row is touched unless the position is the expected one.
Result<bool> SqliteInbox::move_position(const InboxBatch& batch, const KeyText& key) {
  Statement& statement = batch.begins ? begin_position_ : move_position_;
  key.bind(statement);
  statement.bind(4, batch.next);
  statement.bind(5, batch.last_record);
  if (!batch.begins) statement.bind(6, batch.from);
  SPILLWAY_CHECKED(statement.run());
  return sqlite3_changes(database_.get()) == 1;
}

Result<void> SqliteInbox::apply(const InboxBatch& batch, const KeyText& key) {
  SPILLWAY_TRY(times, insert_records(batch, key));
  SPILLWAY_CHECKED(mark_dead(batch, key));
  SPILLWAY_CHECKED(insert_gaps(batch, key));
  SPILLWAY_CHECKED(update_lanes(batch, key, times));
  SPILLWAY_CHECKED(correct_times(batch, key));
  return keep_schemas(batch);
}

/// What the inbox has of the lane, over all sessions.
Result<LaneTime*> SqliteInbox::time_of(const LaneLabel& lane, const KeyText& key,
                                       LaneTimes& times) {
  const auto [at, is_new] = times.try_emplace(lane.lane_id);
  if (!is_new) return &at->second;
  const std::string lane_id = hex_of(lane.lane_id);
  key.bind(read_lane_time_);
  read_lane_time_.bind(4, std::string_view(lane_id));
  SPILLWAY_TRY(found, read_lane_time_.step());
  if (found) at->second.produced_at_ns = read_lane_time_.column(0);
  read_lane_time_.reset();
  return &at->second;
}

Result<LaneTimes> SqliteInbox::insert_records(const InboxBatch& batch, const KeyText& key) {
  LaneTimes times;
  if (batch.runs.empty()) return times;
  Statement& row = insert_record_;
  key.bind(row);
  row.bind(7, batch.received_at_ns);
  std::size_t at = 0;
  for (const InboxRun& run : batch.runs) {
    row.bind(5, run.lane->topic);
    const std::string schema = fingerprint_of(*run.lane);
    bind_or_null(row, 9, schema);
    const std::string boot_id = run.lane->boot_id.text();
    SPILLWAY_TRY(time, time_of(*run.lane, key, times));
    for (std::uint32_t i = 0; i < run.count; ++i, ++at) {
      const InboxRecord& record = batch.records[at];
      row.bind(4, run.first_offset + i);
      if (record.produced_at_ns) {
        time->produced_at_ns = std::max(time->produced_at_ns, *record.produced_at_ns);
        row.bind(6, time->produced_at_ns);
        row.bind_null(10);
        row.bind_null(11);
      } else {
        time->boottime_ns = std::max(time->boottime_ns, record.boottime_ns);
        row.bind_null(6);
        row.bind(10, std::string_view(boot_id));
        row.bind(11, record.boottime_ns);
      }
      row.bind_blob(8, record.payload);
      SPILLWAY_CHECKED(row.run());
    }
  }
  return times;
}

/// After their rows: the many others need not carry a state and a reason through their statement.
Result<void> SqliteInbox::mark_dead(const InboxBatch& batch, const KeyText& key) {
  for (const InboxDead& dead : batch.dead) {
    const bool cut = dead.record_bytes > batch.records[dead.record].payload.size();
    Statement& row = mark_dead_;
    key.bind(row);
    row.bind(4, dead.offset);
    row.bind(5, std::string_view(dead.reason));
    row.bind(6, cut ? std::optional(dead.record_bytes) : std::nullopt);
    SPILLWAY_CHECKED(row.run());
  }
  return {};
}

Result<void> SqliteInbox::insert_gaps(const InboxBatch& batch, const KeyText& key) {
  for (const InboxGap& gap : batch.gaps) {
    Statement& row = insert_gap_;
    key.bind(row);
    row.bind(4, gap.first_offset);
    row.bind(5, gap.next_offset);
    row.bind(6, core::name_of(static_cast<format::GapReason>(gap.reason)));
    row.bind(7, batch.received_at_ns);
    SPILLWAY_CHECKED(row.run());
  }
  return {};
}

Result<void> SqliteInbox::update_lanes(const InboxBatch& batch, const KeyText& key,
                                       LaneTimes& times) {
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
    row.bind(11, totals.records);
    const std::string schema = fingerprint_of(*totals.lane);
    bind_or_null(row, 12, schema);
    const LaneTime& time = times[totals.lane->lane_id];
    row.bind(13, or_null(time.produced_at_ns));
    row.bind(14, or_null(time.boottime_ns));
    SPILLWAY_CHECKED(row.run());
  }
  return {};
}

/// A gateway speaks for its own records alone.
Result<void> SqliteInbox::correct_times(const InboxBatch& batch, const KeyText& key) {
  for (const InboxClock& clock : batch.clocks) {
    const std::string boot_id = clock.boot_id.text();
    for (Statement* correct : {&correct_records_, &correct_lanes_}) {
      correct->bind(1, key.gateway);
      correct->bind(2, std::string_view(boot_id));
      correct->bind(3, clock.boottime_ns);
      correct->bind(4, clock.utc_ns);
      SPILLWAY_CHECKED(correct->run());
    }
  }
  return {};
}

Result<void> SqliteInbox::keep_schemas(const InboxBatch& batch) {
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

}  // namespace

Result<std::unique_ptr<Inbox>> open_sqlite_inbox(const std::string& path) {
  SPILLWAY_TRY(database, open_inbox_database(path));
  auto inbox = std::make_unique<SqliteInbox>(path, std::move(database));
  SPILLWAY_CHECKED(inbox->prepare());
  return std::unique_ptr<Inbox>(std::move(inbox));
}

}  // namespace spillway::consumer
