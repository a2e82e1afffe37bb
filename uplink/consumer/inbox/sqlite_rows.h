// SqliteRows: how a batch's content becomes rows of the SQLite inbox. Whether it may, and how far the
// position moves, is decided by SqliteInbox, in whose transaction all of this runs.
//
// One thread.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/inbox/sqlite_statement.h"

namespace spillway::consumer {

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

class SqliteRows {
 public:
  [[nodiscard]] core::Result<void> prepare(sqlite3* database);

  /// All but the position and the marks. `unseen_from`: records and gaps may stand there already; those
  /// below it are seen. Nothing: they follow the position, and a row that is there is an error.
  [[nodiscard]] core::Result<void> insert(const InboxBatch& batch, const KeyText& key,
                                          std::optional<std::uint64_t> unseen_from);

 private:
  /// What a batch brought of a lane. The times are the latest of its records; 0: there is none.
  struct LaneShare {
    std::uint64_t produced_at_ns = 0;
    std::uint64_t boottime_ns = 0;  // of a record without a time
    std::uint64_t records = 0;      // rows that are new
  };
  using LaneShares = std::unordered_map<std::uint64_t, LaneShare>;

  [[nodiscard]] core::Result<LaneShares> insert_records(const InboxBatch& batch,
                                                        const KeyText& key);
  [[nodiscard]] core::Result<LaneShares> insert_unseen(const InboxBatch& batch, const KeyText& key,
                                                       std::uint64_t unseen_from);
  void bind_run(Statement& row, const InboxRun& run);
  void bind_record(Statement& row, std::uint64_t offset, const InboxRecord& record,
                   std::optional<std::uint64_t> produced_at_ns);
  [[nodiscard]] core::Result<LaneShare*> share_of(const LaneLabel& lane, const KeyText& key,
                                                  LaneShares& shares);
  [[nodiscard]] core::Result<std::optional<InboxClock>> clock_of(const LaneLabel& lane,
                                                                 const KeyText& key);
  [[nodiscard]] core::Result<void> mark_dead(const InboxBatch& batch, const KeyText& key,
                                             const InboxDead& dead);
  [[nodiscard]] core::Result<void> insert_gaps(const InboxBatch& batch, const KeyText& key,
                                               std::optional<std::uint64_t> unseen_from);
  [[nodiscard]] core::Result<void> update_lanes(const InboxBatch& batch, const KeyText& key,
                                                LaneShares& shares, bool are_counted);
  [[nodiscard]] core::Result<void> correct_times(const InboxBatch& batch, const KeyText& key);
  [[nodiscard]] core::Result<void> keep_schemas(const InboxBatch& batch);

  sqlite3* database_ = nullptr;
  Statement insert_record_, insert_unseen_, mark_dead_, insert_gap_, keep_gap_;
  Statement upsert_lane_, read_lane_time_, insert_schema_;
  Statement correct_records_, correct_lanes_, insert_boot_, read_boot_;
  // Bound by pointer: they live until the row is written.
  std::string schema_;
  std::string boot_id_;
};

}  // namespace spillway::consumer
