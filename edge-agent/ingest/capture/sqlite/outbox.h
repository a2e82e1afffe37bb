// Outbox: a capture's tables and triggers inside of a SQLite database: made, kept up to date with the
// tables' columns, emptied, and taken away.
//
// One thread. Everything that writes runs in one transaction, which the caller of turn() sees as a
// whole.
//
// Invariants:
//  1. A mark is written while nobody else can write: what stands before it is of whole transactions.
//  2. Rows are deleted from the front only, and their numbers are never used again.
//  3. A table whose triggers were not what they should be has its rows brought again, behind a
//     snapshot_begin: what was missed cannot be known. So has one whose only key is the row id when the
//     schema has changed: VACUUM gives such rows new ids, and tells nobody but by the schema's version.
//  4. A turn is taken only if the database is as the turn before has left it. A copy that was put into
//     the file's place, even into the open file, is not: it lacks the last mark, which nobody can guess.
#pragma once

#include <map>
#include <memory>

#include "edge-agent/ingest/capture/sqlite/trigger_sql.h"
#include "spillway/core/capture_config.h"

namespace spillway::agent::capture {

/// What names a history, and how far it was forgotten.
struct History {
  std::uint64_t epoch = 0;
  std::uint64_t confirmed = 0;

  friend bool operator==(const History&, const History&) = default;
};

/// A row behind whole transactions. No other one has its nonce, in no copy of the database.
struct Mark {
  std::int64_t number = 0;  // 0: there is none
  std::int64_t nonce = 0;
};

class Outbox {
 public:
  Outbox(sqlite3* database, const core::CaptureConfig& capture)
      : database_(database), capture_(capture), sql_(capture.name) {}

  [[nodiscard]] core::Result<bool> is_installed();
  /// In a transaction of its own. What is there is left as it is.
  [[nodiscard]] core::Result<void> install();
  [[nodiscard]] core::Result<void> remove();
  /// What install() would do, as SQL.
  [[nodiscard]] core::Result<std::vector<std::string>> install_sql();

  /// As the database says it now; the next turn expects to find it so.
  [[nodiscard]] core::Result<History> history();
  [[nodiscard]] core::Result<bool> holds(const Mark& mark);
  /// A new history: what is in the outbox is dropped, and every table's rows are brought again.
  [[nodiscard]] core::Result<void> begin_epoch(const std::string& why);

  /// One transaction: forgets what is up to `confirmed`, looks at the tables' columns if the schema has
  /// changed, brings some more rows of a snapshot, and sets a mark: the last one is returned.
  /// kUnavailable: the database is another one than before.
  [[nodiscard]] core::Result<Mark> turn(std::uint64_t confirmed);
  /// Rows of a snapshot are still to be brought.
  [[nodiscard]] bool snapshot_pending() const { return snapshot_pending_; }
  /// Of a row's number; null for one that there never was.
  [[nodiscard]] core::Result<std::shared_ptr<const Layout>> layout(std::int64_t id);
  /// How many columns o and n the outbox has.
  [[nodiscard]] std::size_t width() const { return width_; }
  [[nodiscard]] const TriggerSql& sql() const { return sql_; }

 private:
  [[nodiscard]] core::Result<Mark> take_turn(std::uint64_t confirmed);
  [[nodiscard]] core::Result<History> read_history();
  [[nodiscard]] core::Result<void> check_history();
  [[nodiscard]] core::Result<void> make_tables();
  [[nodiscard]] core::Result<void> widen(std::size_t columns);
  [[nodiscard]] core::Result<void> read_width();
  [[nodiscard]] core::Result<void> look_at_tables();
  [[nodiscard]] core::Result<void> look_at_table(const std::string& table, bool renumbered);
  [[nodiscard]] core::Result<void> look_at_row_ids(const Layout& layout);
  [[nodiscard]] core::Result<void> adopt(const std::string& table, const Layout* before,
                                         const Layout& now, const std::string& why);
  [[nodiscard]] core::Result<void> forget_table(const Layout& before);
  [[nodiscard]] core::Result<void> tell_gone(const std::string& table);
  [[nodiscard]] core::Result<std::int64_t> store_layout(const Layout& layout);
  [[nodiscard]] core::Result<bool> triggers_are(const Layout& layout);
  [[nodiscard]] core::Result<bool> triggers_there(const Layout& layout);
  [[nodiscard]] core::Result<void> make_triggers(const Layout& layout);
  [[nodiscard]] core::Result<void> begin_snapshot(const Layout& layout, const std::string& why);
  [[nodiscard]] core::Result<void> bring_rows();
  [[nodiscard]] core::Result<void> keep_snapshot_place(const Layout& layout);
  [[nodiscard]] core::Result<void> write_row(std::int64_t layout, int operation,
                                             const std::string& note);
  [[nodiscard]] core::Result<void> write_meta(const std::string& key, std::uint64_t value);
  [[nodiscard]] core::Result<std::uint64_t> read_meta(const std::string& key);
  [[nodiscard]] core::Result<std::optional<Layout>> current_layout(const std::string& table);
  [[nodiscard]] core::Result<Mark> mark();

  sqlite3* database_;
  const core::CaptureConfig& capture_;
  TriggerSql sql_;
  std::map<std::int64_t, std::shared_ptr<const Layout>> layouts_;
  History history_;  // and the mark: as they were left
  Mark mark_;
  std::size_t width_ = 0;
  std::int64_t schema_version_ = -1;  // of the schema that was looked at
  bool snapshot_pending_ = true;      // perhaps
};

}  // namespace spillway::agent::capture
