#include "edge-agent/ingest/capture/sqlite/outbox.h"

#include <algorithm>

#include "edge-agent/ingest/capture/epoch.h"
#include "spillway/core/log.h"
#include "spillway/core/step.h"

namespace spillway::agent::capture {

using core::ErrorCode;
using core::Result;

namespace {

/// Of a snapshot, in one transaction: others wait for so long.
constexpr int kSnapshotRows = 500;
/// No more rows of a snapshot are brought while so many wait to be taken.
constexpr std::int64_t kWaitingRowsMax = 4000;
constexpr std::uint64_t kLayoutVersion = 1;

/// The same columns in the same places, under other names perhaps.
bool only_renamed(const Layout& before, const Layout& now) {
  return before.columns.size() == now.columns.size() &&
         std::equal(
             before.columns.begin(), before.columns.end(), now.columns.begin(),
             [](const Column& a, const Column& b) { return a.type == b.type && a.key == b.key; });
}

}  // namespace

Result<bool> Outbox::is_installed() {
  SPILLWAY_TRY(there, read_integer(database_, "SELECT count(*) FROM sqlite_master WHERE name = " +
                                                  literal(sql_.plain_name("meta"))));
  return there != 0;
}

Result<void> Outbox::make_tables() {
  for (const std::string& statement : sql_.tables())
    SPILLWAY_CHECKED(execute(database_, statement));
  SPILLWAY_CHECKED(write_meta("version", kLayoutVersion));
  SPILLWAY_CHECKED(write_meta("epoch", random_epoch()));
  return write_meta("confirmed", 0);
}

Result<void> Outbox::install() {
  SPILLWAY_TRY(transaction, WriteTransaction::begin(database_));
  SPILLWAY_TRY(there, is_installed());
  if (!there) {
    SPILLWAY_CHECKED(make_tables());
    spdlog::info("{}: its outbox was made in {}", capture_.name, capture_.source);
  }
  SPILLWAY_CHECKED(look_at_tables());
  return transaction.commit();
}

Result<std::vector<std::string>> Outbox::install_sql() {
  std::vector<std::string> statements = sql_.tables();
  std::size_t width = 0;
  std::int64_t id = 0;
  std::vector<std::string> triggers;
  for (const std::string& table : capture_.tables) {
    SPILLWAY_TRY(layout, describe_table(database_, table));
    if (!layout) {
      return core::fail(ErrorCode::kNotFound, capture_.source + " has no table " + table);
    }
    layout->id = ++id;
    width = std::max(width, layout->columns.size());
    for (auto& trigger : sql_.triggers(*layout)) triggers.push_back(std::move(trigger.sql));
  }
  for (auto& column : sql_.columns(0, width)) statements.push_back(std::move(column));
  statements.insert(statements.end(), triggers.begin(), triggers.end());
  return statements;
}

Result<void> Outbox::remove() {
  SPILLWAY_TRY(transaction, WriteTransaction::begin(database_));
  for (const std::string& statement : sql_.remove(capture_.tables)) {
    SPILLWAY_CHECKED(execute(database_, statement));
  }
  return transaction.commit();
}

Result<std::uint64_t> Outbox::read_meta(const std::string& key) {
  SPILLWAY_TRY(value, read_integer(database_, "SELECT value FROM " + sql_.name("meta") +
                                                  " WHERE key = " + literal(key)));
  return static_cast<std::uint64_t>(value);
}

Result<History> Outbox::read_history() {
  SPILLWAY_TRY(epoch, read_meta("epoch"));
  SPILLWAY_TRY(confirmed, read_meta("confirmed"));
  return History{epoch, confirmed};
}

Result<History> Outbox::history() {
  SPILLWAY_TRY(history, read_history());
  history_ = history;
  mark_ = {};
  return history;
}

Result<bool> Outbox::holds(const Mark& mark) {
  SPILLWAY_TRY(rows, read_integer(database_, "SELECT count(*) FROM " + sql_.name("outbox") +
                                                 " WHERE seq = " + std::to_string(mark.number) +
                                                 " AND op = " + std::to_string(kMarkOperation) +
                                                 " AND rn = " + std::to_string(mark.nonce)));
  return rows != 0;
}

/// Invariant 4.
Result<void> Outbox::check_history() {
  SPILLWAY_TRY(now, read_history());
  bool same = now == history_;
  if (same && mark_.number > static_cast<std::int64_t>(now.confirmed)) {
    SPILLWAY_TRY(held, holds(mark_));
    same = held;
  }
  if (same) return {};
  return core::fail(ErrorCode::kUnavailable,
                    capture_.source + " holds another content than was captured before");
}

Result<void> Outbox::begin_epoch(const std::string& why) {
  SPILLWAY_TRY(transaction, WriteTransaction::begin(database_));
  SPILLWAY_CHECKED(execute(database_, "DELETE FROM " + sql_.name("outbox")));
  SPILLWAY_CHECKED(execute(database_, "DELETE FROM " + sql_.name("snapshot")));
  SPILLWAY_CHECKED(write_meta("epoch", random_epoch()));
  SPILLWAY_CHECKED(write_meta("confirmed", 0));
  SPILLWAY_CHECKED(read_width());
  for (const std::string& table : capture_.tables) {
    SPILLWAY_TRY(layout, current_layout(table));
    if (!layout) {
      SPILLWAY_CHECKED(tell_gone(table));
      continue;
    }
    SPILLWAY_CHECKED(write_row(layout->id, static_cast<int>(change::Operation::schema), why));
    SPILLWAY_CHECKED(begin_snapshot(*layout, why));
  }
  return transaction.commit();
}

Result<void> Outbox::write_meta(const std::string& key, std::uint64_t value) {
  return execute(database_, "INSERT INTO " + sql_.name("meta") + "(key, value) VALUES(" +
                                literal(key) + ", " + std::to_string(value) +
                                ") ON CONFLICT(key) DO UPDATE SET value = excluded.value");
}

Result<void> Outbox::read_width() {
  SPILLWAY_TRY(columns, read_integer(database_, "SELECT count(*) FROM pragma_table_xinfo(" +
                                                    literal(sql_.plain_name("outbox")) +
                                                    ") WHERE name GLOB 'o[0-9]*'"));
  width_ = static_cast<std::size_t>(columns);
  return {};
}

Result<void> Outbox::widen(std::size_t columns) {
  SPILLWAY_CHECKED(read_width());
  for (const std::string& statement : sql_.columns(width_, columns)) {
    SPILLWAY_CHECKED(execute(database_, statement));
  }
  width_ = std::max(width_, columns);
  return {};
}

Result<Mark> Outbox::turn(std::uint64_t confirmed) {
  auto mark = take_turn(confirmed);
  if (!mark) {
    // What it has learned may have been rolled back with it.
    schema_version_ = -1;
    layouts_.clear();
  }
  return mark;
}

Result<Mark> Outbox::take_turn(std::uint64_t confirmed) {
  SPILLWAY_TRY(transaction, WriteTransaction::begin(database_));
  SPILLWAY_CHECKED(check_history());
  SPILLWAY_CHECKED(execute(database_, "DELETE FROM " + sql_.name("outbox") +
                                          " WHERE seq <= " + std::to_string(confirmed)));
  SPILLWAY_CHECKED(write_meta("confirmed", confirmed));
  SPILLWAY_TRY(version, read_integer(database_, "PRAGMA schema_version"));
  if (version != schema_version_) SPILLWAY_CHECKED(look_at_tables());
  SPILLWAY_TRY(waiting,
               read_integer(database_, "SELECT coalesce(max(seq), 0) FROM " + sql_.name("outbox")));
  if (waiting - static_cast<std::int64_t>(confirmed) < kWaitingRowsMax) {
    SPILLWAY_CHECKED(bring_rows());
  }
  SPILLWAY_TRY(last_mark, mark());
  SPILLWAY_CHECKED(transaction.commit());
  history_.confirmed = confirmed;
  mark_ = last_mark;
  SPILLWAY_STEP("capture.turned");
  return last_mark;
}

Result<Mark> Outbox::mark() {
  SPILLWAY_TRY(last,
               Statement::prepare(database_, "SELECT seq, op, rn FROM " + sql_.name("outbox") +
                                                 " ORDER BY seq DESC LIMIT 1"));
  SPILLWAY_TRY(row, last.step());
  if (!row) return Mark{};
  const Mark there{last.integer(0), last.integer(2)};
  const bool marked = last.integer(1) == kMarkOperation;
  last.reset();
  if (marked) return there;
  const auto nonce = static_cast<std::int64_t>(random_epoch());
  SPILLWAY_CHECKED(execute(database_, "INSERT INTO " + sql_.name("outbox") +
                                          "(layout, op, at, rn) VALUES(0, " +
                                          std::to_string(kMarkOperation) + ", " + TriggerSql::kNow +
                                          ", " + std::to_string(nonce) + ")"));
  return Mark{sqlite3_last_insert_rowid(database_), nonce};
}

Result<void> Outbox::write_row(std::int64_t layout, int operation, const std::string& note) {
  const std::string columns = note.empty() ? "" : ", n0";
  const std::string values = note.empty() ? "" : ", " + literal(note);
  return execute(database_, "INSERT INTO " + sql_.name("outbox") + "(layout, op, at" + columns +
                                ") VALUES(" + std::to_string(layout) + ", " +
                                std::to_string(operation) + ", " + TriggerSql::kNow + values + ")");
}

// ---- the tables' columns ----

Result<void> Outbox::look_at_tables() {
  SPILLWAY_CHECKED(read_width());
  SPILLWAY_TRY(looked_at, read_meta("schema"));
  SPILLWAY_TRY(found, read_integer(database_, "PRAGMA schema_version"));
  const bool renumbered = looked_at != 0 && looked_at != static_cast<std::uint64_t>(found);
  for (const std::string& table : capture_.tables) {
    SPILLWAY_CHECKED(look_at_table(table, renumbered));
  }
  // With what was made here.
  SPILLWAY_TRY(version, read_integer(database_, "PRAGMA schema_version"));
  schema_version_ = version;
  if (looked_at == static_cast<std::uint64_t>(version)) return {};
  return write_meta("schema", static_cast<std::uint64_t>(version));
}

Result<std::optional<Layout>> Outbox::current_layout(const std::string& table) {
  SPILLWAY_TRY(found,
               Statement::prepare(database_, "SELECT id, columns FROM " + sql_.name("layout") +
                                                 " WHERE tbl = ?1 AND current = 1"));
  found.bind(1, std::string_view(table));
  SPILLWAY_TRY(row, found.step());
  if (!row) return std::optional<Layout>{};
  SPILLWAY_TRY(layout, Layout::parse(found.integer(0), table, found.text(1)));
  return std::optional<Layout>(std::move(layout));
}

/// `renumbered`: rows may have got new ids.
Result<void> Outbox::look_at_table(const std::string& table, bool renumbered) {
  SPILLWAY_TRY(before, current_layout(table));
  SPILLWAY_TRY(now, describe_table(database_, table));
  if (!now) {
    if (before) return forget_table(*before);
    spdlog::warn("{}: {} has no table {} yet", capture_.name, capture_.source, table);
    return {};
  }
  if (!before) return adopt(table, nullptr, *now, "");
  SPILLWAY_TRY(there, triggers_there(*before));
  if (before->text() == now->text()) {
    SPILLWAY_TRY(intact, triggers_are(*before));
    if (intact) return renumbered ? look_at_row_ids(*before) : Result<void>{};
    return adopt(table, nullptr, *now,
                 "the triggers were changed or gone: changes may have been missed");
  }
  if (!there) {
    return adopt(table, nullptr, *now, "the table was made anew: changes may have been missed");
  }
  return adopt(table, &*before, *now, "the columns have changed");
}

/// Invariant 3: also a snapshot that is under way knows its place by a row id.
Result<void> Outbox::look_at_row_ids(const Layout& layout) {
  SPILLWAY_TRY(begun, read_integer(database_, "SELECT count(*) FROM " + sql_.name("snapshot") +
                                                  " WHERE begun = 1 AND layout = " +
                                                  std::to_string(layout.id)));
  if (!layout.key().empty() && begun == 0) return {};
  const std::string why = "the schema has changed, and row ids may have (VACUUM)";
  if (capture_.snapshot) return begin_snapshot(layout, why);
  spdlog::warn("{}: {}: {}; the rows are not brought again, for snapshot = false", capture_.name,
               layout.table, why);
  return {};
}

/// `before`: null where changes may have been missed.
Result<void> Outbox::adopt(const std::string& table, const Layout* before, const Layout& now,
                           const std::string& why) {
  SPILLWAY_CHECKED(widen(std::max<std::size_t>(now.columns.size(), 1)));
  Layout layout = now;
  SPILLWAY_TRY(id, store_layout(layout));
  layout.id = id;
  SPILLWAY_CHECKED(make_triggers(layout));
  SPILLWAY_CHECKED(write_row(id, static_cast<int>(change::Operation::schema), why));
  spdlog::info("{}: table {} has {} columns{}{}", capture_.name, table, layout.columns.size(),
               why.empty() ? "" : ": ", why);
  // Rows under new names are known with all their values: the triggers were renamed with them.
  if (before != nullptr && only_renamed(*before, now)) {
    return execute(database_, "UPDATE " + sql_.name("snapshot") +
                                  " SET layout = " + std::to_string(id) +
                                  " WHERE layout = " + std::to_string(before->id));
  }
  if (capture_.snapshot) return begin_snapshot(layout, why);
  if (!why.empty()) {
    spdlog::warn("{}: the rows of {} are not brought again, for snapshot = false", capture_.name,
                 table);
  }
  return {};
}

Result<void> Outbox::forget_table(const Layout& before) {
  spdlog::warn("{}: table {} is gone from {}", capture_.name, before.table, capture_.source);
  for (const std::string& trigger : sql_.trigger_names(before.table)) {
    SPILLWAY_CHECKED(execute(database_, "DROP TRIGGER IF EXISTS " + quoted(trigger)));
  }
  SPILLWAY_CHECKED(execute(database_, "DELETE FROM " + sql_.name("snapshot") +
                                          " WHERE layout = " + std::to_string(before.id)));
  return tell_gone(before.table);
}

Result<void> Outbox::tell_gone(const std::string& table) {
  Layout none;
  none.table = table;
  SPILLWAY_TRY(id, store_layout(none));
  SPILLWAY_CHECKED(execute(database_, "UPDATE " + sql_.name("layout") +
                                          " SET current = 0 WHERE id = " + std::to_string(id)));
  return write_row(id, static_cast<int>(change::Operation::schema), "the table is gone");
}

Result<std::int64_t> Outbox::store_layout(const Layout& layout) {
  SPILLWAY_CHECKED(execute(database_, "UPDATE " + sql_.name("layout") +
                                          " SET current = 0 WHERE tbl = " + literal(layout.table)));
  SPILLWAY_CHECKED(
      execute(database_, "INSERT INTO " + sql_.name("layout") + "(tbl, columns, current) VALUES(" +
                             literal(layout.table) + ", " + literal(layout.text()) + ", 1)"));
  return sqlite3_last_insert_rowid(database_);
}

Result<bool> Outbox::triggers_there(const Layout& layout) {
  for (const TriggerText& trigger : sql_.triggers(layout)) {
    SPILLWAY_TRY(
        there, read_integer(database_,
                            "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND "
                            "name = " +
                                literal(trigger.name) + " AND tbl_name = " + literal(layout.table) +
                                " COLLATE NOCASE"));
    if (there == 0) return false;
  }
  return true;
}

Result<bool> Outbox::triggers_are(const Layout& layout) {
  for (const TriggerText& trigger : sql_.triggers(layout)) {
    SPILLWAY_TRY(same,
                 read_integer(database_,
                              "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND "
                              "name = " +
                                  literal(trigger.name) + " AND sql = " + literal(trigger.sql)));
    if (same == 0) return false;
  }
  return true;
}

Result<void> Outbox::make_triggers(const Layout& layout) {
  for (const std::string& trigger : sql_.trigger_names(layout.table)) {
    SPILLWAY_CHECKED(execute(database_, "DROP TRIGGER IF EXISTS " + quoted(trigger)));
  }
  for (const TriggerText& trigger : sql_.triggers(layout)) {
    SPILLWAY_CHECKED(execute(database_, trigger.sql));
  }
  return {};
}

Result<std::shared_ptr<const Layout>> Outbox::layout(std::int64_t id) {
  if (const auto known = layouts_.find(id); known != layouts_.end()) return known->second;
  SPILLWAY_TRY(found, Statement::prepare(database_, "SELECT tbl, columns FROM " +
                                                        sql_.name("layout") + " WHERE id = ?1"));
  found.bind(1, id);
  SPILLWAY_TRY(row, found.step());
  if (!row) return std::shared_ptr<const Layout>();
  SPILLWAY_TRY(layout, Layout::parse(id, found.text(0), found.text(1)));
  auto shared = std::make_shared<const Layout>(std::move(layout));
  layouts_[id] = shared;
  return std::shared_ptr<const Layout>(shared);
}

// ---- the rows that are there at first ----

Result<void> Outbox::begin_snapshot(const Layout& layout, const std::string& why) {
  SPILLWAY_CHECKED(execute(
      database_, "DELETE FROM " + sql_.name("snapshot") + " WHERE layout IN (SELECT id FROM " +
                     sql_.name("layout") + " WHERE tbl = " + literal(layout.table) + ")"));
  SPILLWAY_CHECKED(execute(database_, "INSERT INTO " + sql_.name("snapshot") +
                                          "(layout, begun) VALUES(" + std::to_string(layout.id) +
                                          ", 0)"));
  snapshot_pending_ = true;
  return write_row(layout.id, static_cast<int>(change::Operation::snapshot_begin), why);
}

Result<void> Outbox::bring_rows() {
  SPILLWAY_TRY(next,
               Statement::prepare(database_, "SELECT layout, begun FROM " + sql_.name("snapshot") +
                                                 " ORDER BY layout LIMIT 1"));
  SPILLWAY_TRY(row, next.step());
  snapshot_pending_ = row;
  if (!row) return {};
  const std::int64_t id = next.integer(0);
  const bool first = next.integer(1) == 0;
  next.reset();
  SPILLWAY_TRY(shared, layout(id));
  if (!shared)
    return core::fail(ErrorCode::kCorrupt, "a snapshot names a layout that is not there");
  SPILLWAY_CHECKED(execute(database_, sql_.snapshot_chunk(*shared, first, kSnapshotRows)));
  if (sqlite3_changes(database_) == kSnapshotRows) return keep_snapshot_place(*shared);
  SPILLWAY_CHECKED(execute(
      database_, "DELETE FROM " + sql_.name("snapshot") + " WHERE layout = " + std::to_string(id)));
  return write_row(id, static_cast<int>(change::Operation::snapshot_end), "");
}

/// The last row of the outbox is the last one that was brought.
Result<void> Outbox::keep_snapshot_place(const Layout& layout) {
  std::string places =
      "begun = 1, r = (SELECT rn FROM " + sql_.name("outbox") + " ORDER BY seq DESC LIMIT 1)";
  std::size_t number = 0;
  for (const std::size_t column : layout.key()) {
    places += ", k" + std::to_string(number++) + " = (SELECT n" + std::to_string(column) +
              " FROM " + sql_.name("outbox") + " ORDER BY seq DESC LIMIT 1)";
  }
  return execute(database_, "UPDATE " + sql_.name("snapshot") + " SET " + places +
                                " WHERE layout = " + std::to_string(layout.id));
}

}  // namespace spillway::agent::capture
