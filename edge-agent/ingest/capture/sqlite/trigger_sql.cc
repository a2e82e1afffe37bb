#include "edge-agent/ingest/capture/sqlite/trigger_sql.h"

namespace spillway::agent::capture {
namespace {

/// "o0, o1, o2"
std::string numbered(const std::string& side, std::size_t count) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += (i == 0 ? "" : ", ") + side + std::to_string(i);
  return list;
}

/// OLD."a", OLD."b"
std::string columns_of(const Layout& layout, const std::string& row) {
  std::string list;
  for (const Column& column : layout.columns) {
    list += (list.empty() ? "" : ", ") + row + quoted(column.name);
  }
  return list;
}

std::string rowid_of(const Layout& layout, const std::string& row) {
  return layout.rowid.empty() ? "NULL" : row + layout.rowid;
}

/// That a row of the table (`row`: "" or "t.") is the one noted as r in <p>_replaced.
std::string is_noted(const Layout& layout, const std::string& row) {
  if (!layout.rowid.empty()) return row + layout.rowid + " = r";
  std::string condition;
  for (const std::size_t column : layout.key()) {
    condition += (condition.empty() ? "" : " AND ") + row + quoted(layout.columns[column].name) +
                 " IS o" + std::to_string(column);
  }
  return condition;
}

/// That a row of the table has all values of one of NEW's unique sets.
std::string clashes(const Layout& layout) {
  std::string condition;
  for (const UniqueSet& set : layout.unique) {
    condition += condition.empty() ? "(" : " OR (";
    for (std::size_t i = 0; i < set.columns.size(); ++i) {
      const std::string name = quoted(layout.columns[set.columns[i]].name);
      condition.append(i == 0 ? "t." : " AND t.").append(name).append(" = NEW.").append(name);
      condition.append(" COLLATE ").append(quoted(set.collations[i]));
    }
    condition += ")";
  }
  return condition;
}

}  // namespace

std::string TriggerSql::name(const std::string& what) const { return quoted(plain_name(what)); }

std::vector<std::string> TriggerSql::tables() const {
  return {
      "CREATE TABLE " + name("meta") + "(key TEXT PRIMARY KEY, value) WITHOUT ROWID",
      "CREATE TABLE " + name("layout") +
          "(id INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT, columns TEXT, current INTEGER)",
      "CREATE TABLE " + name("outbox") +
          "(seq INTEGER PRIMARY KEY AUTOINCREMENT, layout INTEGER, op INTEGER, at INTEGER, ro, rn)",
      "CREATE INDEX " + name("mark") + " ON " + name("outbox") +
          "(seq) WHERE op = " + std::to_string(kMarkOperation),
      "CREATE TABLE " + name("snapshot") + "(layout INTEGER PRIMARY KEY, begun INTEGER, r, " +
          numbered("k", kKeyColumnsMax) + ")",
      "CREATE TABLE " + name("replaced") + "(layout INTEGER, r)",
  };
}

std::vector<std::string> TriggerSql::columns(std::size_t have, std::size_t want) const {
  std::vector<std::string> statements;
  for (std::size_t i = have; i < want; ++i) {
    const std::string number = std::to_string(i);
    statements.push_back("ALTER TABLE " + name("outbox") + " ADD COLUMN o" + number);
    statements.push_back("ALTER TABLE " + name("outbox") + " ADD COLUMN n" + number);
    statements.push_back("ALTER TABLE " + name("replaced") + " ADD COLUMN o" + number);
  }
  return statements;
}

std::string TriggerSql::note_replaced(const Layout& layout, bool update) const {
  const std::string id = std::to_string(layout.id);
  std::string other;
  if (update && !layout.rowid.empty()) other = " AND t." + layout.rowid + " <> OLD." + layout.rowid;
  if (update && layout.rowid.empty()) {
    for (const std::size_t column : layout.key()) {
      const std::string key = quoted(layout.columns[column].name);
      other.append(other.empty() ? " AND NOT (t." : " AND t.").append(key);
      other.append(" IS OLD.").append(key);
    }
    other += ")";
  }
  return "DELETE FROM " + name("replaced") + " WHERE layout = " + id + "; INSERT INTO " +
         name("replaced") + "(layout, r, " + numbered("o", layout.columns.size()) + ") SELECT " +
         id + ", " + rowid_of(layout, "t.") + ", " + columns_of(layout, "t.") + " FROM " +
         quoted(layout.table) + " AS t WHERE (" + clashes(layout) + ")" + other + ";";
}

std::string TriggerSql::tell_replaced(const Layout& layout) const {
  const std::string id = std::to_string(layout.id);
  // Gone, or its place was taken by the new row.
  std::string taken;
  if (!layout.rowid.empty()) taken = "r = NEW." + layout.rowid;
  if (layout.rowid.empty()) {
    for (const std::size_t column : layout.key()) {
      taken += (taken.empty() ? "" : " AND ") + ("o" + std::to_string(column)) + " IS NEW." +
               quoted(layout.columns[column].name);
    }
  }
  const std::string olds = numbered("o", layout.columns.size());
  return "INSERT INTO " + name("outbox") + "(layout, op, at, ro, " + olds + ") SELECT " + id +
         ", 2, " + kNow + ", r, " + olds + " FROM " + name("replaced") + " WHERE layout = " + id +
         " AND ((" + taken + ") OR NOT EXISTS(SELECT 1 FROM " + quoted(layout.table) +
         " AS t WHERE " + is_noted(layout, "t.") + ")); DELETE FROM " + name("replaced") +
         " WHERE layout = " + id + ";";
}

std::string TriggerSql::insert_trigger(const Layout& layout) const {
  return "INSERT INTO " + name("outbox") + "(layout, op, at, rn, " +
         numbered("n", layout.columns.size()) + ") VALUES(" + std::to_string(layout.id) + ", 0, " +
         kNow + ", " + rowid_of(layout, "NEW.") + ", " + columns_of(layout, "NEW.") + ");";
}

std::string TriggerSql::update_trigger(const Layout& layout) const {
  const std::size_t count = layout.columns.size();
  return "INSERT INTO " + name("outbox") + "(layout, op, at, ro, rn, " + numbered("o", count) +
         ", " + numbered("n", count) + ") VALUES(" + std::to_string(layout.id) + ", 1, " + kNow +
         ", " + rowid_of(layout, "OLD.") + ", " + rowid_of(layout, "NEW.") + ", " +
         columns_of(layout, "OLD.") + ", " + columns_of(layout, "NEW.") + ");";
}

std::string TriggerSql::delete_trigger(const Layout& layout) const {
  const std::string id = std::to_string(layout.id);
  std::string forget;
  // With recursive_triggers a replaced row comes here by itself.
  if (!layout.unique.empty()) {
    forget = "DELETE FROM " + name("replaced") + " WHERE layout = " + id + " AND " +
             is_noted(layout, "OLD.") + "; ";
  }
  return forget + "INSERT INTO " + name("outbox") + "(layout, op, at, ro, " +
         numbered("o", layout.columns.size()) + ") VALUES(" + id + ", 2, " + kNow + ", " +
         rowid_of(layout, "OLD.") + ", " + columns_of(layout, "OLD.") + ");";
}

std::vector<TriggerText> TriggerSql::triggers(const Layout& layout) const {
  std::vector<TriggerText> list;
  const auto add = [&](const std::string& event, const std::string& when, const std::string& body) {
    const std::string trigger = plain_name(event + "_" + layout.table);
    list.push_back({trigger, "CREATE TRIGGER " + quoted(trigger) + " " + when + " ON " +
                                 quoted(layout.table) + " BEGIN " + body + " END"});
  };
  const bool unique = !layout.unique.empty();
  const std::string tell = unique ? tell_replaced(layout) + " " : "";
  if (unique) {
    add("before_insert", "BEFORE INSERT", note_replaced(layout, false));
    add("before_update", "BEFORE UPDATE", note_replaced(layout, true));
  }
  add("insert", "AFTER INSERT", tell + insert_trigger(layout));
  add("update", "AFTER UPDATE", tell + update_trigger(layout));
  add("delete", "AFTER DELETE", delete_trigger(layout));
  return list;
}

std::vector<std::string> TriggerSql::trigger_names(const std::string& table) const {
  std::vector<std::string> names;
  for (const char* event : {"before_insert", "before_update", "insert", "update", "delete"}) {
    names.push_back(plain_name(std::string(event) + "_" + table));
  }
  return names;
}

std::string TriggerSql::snapshot_chunk(const Layout& layout, bool first, int rows) const {
  const std::size_t count = layout.columns.size();
  std::string order;
  std::string behind;
  if (!layout.rowid.empty()) {
    order = layout.rowid;
    behind = layout.rowid + " > (SELECT r FROM " + name("snapshot") +
             " WHERE layout = " + std::to_string(layout.id) + ")";
  } else {
    std::size_t number = 0;
    std::string stored;
    for (const std::size_t column : layout.key()) {
      order += (number == 0 ? "" : ", ") + quoted(layout.columns[column].name);
      stored += (number == 0 ? "k" : ", k") + std::to_string(number);
      ++number;
    }
    behind = "(" + order + ") > (SELECT " + stored + " FROM " + name("snapshot") +
             " WHERE layout = " + std::to_string(layout.id) + ")";
  }
  return "INSERT INTO " + name("outbox") + "(layout, op, at, rn, " + numbered("n", count) +
         ") SELECT " + std::to_string(layout.id) + ", 4, " + kNow + ", " + rowid_of(layout, "") +
         ", " + columns_of(layout, "") + " FROM " + quoted(layout.table) +
         (first ? "" : " WHERE " + behind) + " ORDER BY " + order + " LIMIT " +
         std::to_string(rows);
}

std::vector<std::string> TriggerSql::remove(const std::vector<std::string>& tables) const {
  std::vector<std::string> statements;
  for (const std::string& table : tables) {
    for (const std::string& trigger : trigger_names(table)) {
      statements.push_back("DROP TRIGGER IF EXISTS " + quoted(trigger));
    }
  }
  for (const char* table : {"outbox", "replaced", "snapshot", "layout", "meta"}) {
    statements.push_back("DROP TABLE IF EXISTS " + name(table));
  }
  return statements;
}

}  // namespace spillway::agent::capture
