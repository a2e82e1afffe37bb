// OutboxTables: an outbox in a PostgreSQL database, for users that may not use replication: a table of a
// capture's own, and a trigger for each captured one that writes a row into it in the writer's
// transaction. Only SQL stands here.
//
// One thread. Invariant: numbers in the outbox are not given in the order of commits; but under
// settle(), which waits until nobody writes, every number up to the largest is there or never will be.
#pragma once

#include <optional>
#include <vector>

#include "edge-agent/ingest/capture/postgres/connection.h"

namespace spillway::agent::capture {

/// The outbox's `op`: change::Operation, or this: every number before it is there or never will be.
inline constexpr int kPgMarkOperation = 100;

/// Such a row. No other one has its nonce, in no copy of the database.
struct PgMark {
  std::uint64_t number = 0;  // 0: there is none
  std::uint64_t nonce = 0;
};

class OutboxTables {
 public:
  OutboxTables(PgConnection& connection, const core::CaptureConfig& capture);

  [[nodiscard]] core::Result<bool> is_installed();
  /// In one transaction, with the tables' rows where a snapshot is wanted; what is there stays.
  [[nodiscard]] core::Result<void> install(std::uint64_t epoch);
  [[nodiscard]] std::vector<std::string> install_sql(std::uint64_t epoch) const;
  [[nodiscard]] std::vector<std::string> remove_sql() const;
  /// Triggers of the configured tables that are not there any more.
  [[nodiscard]] core::Result<std::vector<std::string>> missing_triggers();
  /// A new history, with all rows, in one transaction.
  [[nodiscard]] core::Result<void> begin_epoch(std::uint64_t epoch, const std::string& why);

  /// The last mark, set now if rows stand behind it; kBusy while writers hold the table for longer than
  /// a moment.
  [[nodiscard]] core::Result<PgMark> settle();
  [[nodiscard]] core::Result<bool> holds(const PgMark& mark);
  [[nodiscard]] core::Result<std::uint64_t> read_meta(const std::string& key);
  /// Deletes what is up to there, and notes that it did.
  [[nodiscard]] core::Result<void> forget(std::uint64_t confirmed);
  [[nodiscard]] const std::string& outbox() const { return outbox_; }

 private:
  [[nodiscard]] core::Result<void> run_all(const std::vector<std::string>& statements);
  void add_table(std::vector<std::string>& statements, const std::string& table,
                 const std::string& note) const;

  PgConnection& connection_;
  const core::CaptureConfig& capture_;
  std::string outbox_;    // quoted
  std::string meta_;      // quoted
  std::string function_;  // quoted
};

}  // namespace spillway::agent::capture
