// The SQL that a capture puts into a SQLite database: its own tables, and triggers for each captured
// one. Pure functions, any thread.
//
//   <p>_outbox    a row for each change, in order; o0.. and n0.. hold old and new values as they are
//   <p>_layout    what o0.. and n0.. mean, by number
//   <p>_meta      epoch, and up to where everything was confirmed
//   <p>_snapshot  tables whose rows are still to be brought, and up to where they were
//   <p>_replaced  rows that the statement now running may replace (see below)
//
// where <p> is spillway_<capture>. Triggers run inside of the writer's transaction, whoever writes:
// a change and its row in the outbox are one.
//
// INSERT OR REPLACE and UPDATE OR REPLACE remove rows of which SQLite tells no trigger. So a trigger
// before notes the rows that have the new row's unique values, and the one behind it, which runs only if
// the row came in, writes a delete for those that are gone. An index on expressions, or on a part of
// the table, is not looked at.
#pragma once

#include <string>
#include <vector>

#include "edge-agent/ingest/capture/sqlite/layout.h"

namespace spillway::agent::capture {

/// The outbox's `op`: change::Operation, or this: everything before it is of whole transactions.
inline constexpr int kMarkOperation = 100;

struct TriggerText {
  std::string name;
  std::string sql;
};

class TriggerSql {
 public:
  explicit TriggerSql(const std::string& capture) : prefix_("spillway_" + capture) {}

  /// "spillway_<capture>_<what>", quoted.
  [[nodiscard]] std::string name(const std::string& what) const;
  [[nodiscard]] std::string plain_name(const std::string& what) const {
    return prefix_ + "_" + what;
  }
  /// Everything but the outbox's columns o and n.
  [[nodiscard]] std::vector<std::string> tables() const;
  /// Columns o and n from number `have` on, up to `want`.
  [[nodiscard]] std::vector<std::string> columns(std::size_t have, std::size_t want) const;
  [[nodiscard]] std::vector<TriggerText> triggers(const Layout& layout) const;
  [[nodiscard]] std::vector<std::string> trigger_names(const std::string& table) const;
  /// Rows of the table behind the last one of the outbox, at most `rows` of them, into the outbox.
  [[nodiscard]] std::string snapshot_chunk(const Layout& layout, bool first, int rows) const;
  [[nodiscard]] std::vector<std::string> remove(const std::vector<std::string>& tables) const;

  /// Milliseconds, UTC.
  static constexpr const char* kNow =
      "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)";

 private:
  [[nodiscard]] std::string insert_trigger(const Layout& layout) const;
  [[nodiscard]] std::string update_trigger(const Layout& layout) const;
  [[nodiscard]] std::string delete_trigger(const Layout& layout) const;
  [[nodiscard]] std::string note_replaced(const Layout& layout, bool update) const;
  [[nodiscard]] std::string tell_replaced(const Layout& layout) const;

  std::string prefix_;
};

}  // namespace spillway::agent::capture
