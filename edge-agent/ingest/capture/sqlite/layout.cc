#include "edge-agent/ingest/capture/sqlite/layout.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

namespace spillway::agent::capture {

namespace json = boost::json;
using core::ErrorCode;
using core::Result;

namespace {

std::string doubled(std::string_view text, char mark) {
  std::string out(1, mark);
  for (const char c : text) {
    if (c == mark) out += mark;
    out += c;
  }
  return out + mark;
}

Result<void> read_columns(sqlite3* database, Layout& layout) {
  SPILLWAY_TRY(
      rows, Statement::prepare(database, "SELECT name, type, pk, hidden FROM pragma_table_xinfo(" +
                                             literal(layout.table) + ") ORDER BY cid"));
  while (true) {
    SPILLWAY_TRY(row, rows.step());
    if (!row) return {};
    // A generated column follows from the others.
    if (rows.integer(3) != 0) continue;
    layout.columns.push_back({rows.text(0), rows.text(1), static_cast<int>(rows.integer(2))});
  }
}

Result<std::optional<UniqueSet>> read_index(sqlite3* database, const Layout& layout,
                                            const std::string& index) {
  SPILLWAY_TRY(rows,
               Statement::prepare(database, "SELECT cid, name, coll FROM pragma_index_xinfo(" +
                                                literal(index) + ") WHERE key = 1 ORDER BY seqno"));
  UniqueSet set;
  bool usable = true;
  while (true) {
    SPILLWAY_TRY(row, rows.step());
    if (!row) break;
    const std::string name = rows.text(1);
    const auto found = std::find_if(layout.columns.begin(), layout.columns.end(),
                                    [&](const Column& column) { return column.name == name; });
    usable = usable && rows.integer(0) >= 0 && found != layout.columns.end();
    if (!usable) continue;
    set.columns.push_back(static_cast<std::size_t>(found - layout.columns.begin()));
    set.collations.push_back(rows.text(2));
  }
  if (!usable || set.columns.empty()) return std::optional<UniqueSet>{};
  return std::optional<UniqueSet>(std::move(set));
}

Result<void> read_unique(sqlite3* database, Layout& layout) {
  auto key = layout.key();
  // The row id by another name stands in no index.
  if (!layout.rowid.empty() && key.size() == 1)
    layout.unique.push_back({std::move(key), {"BINARY"}});
  SPILLWAY_TRY(rows, Statement::prepare(database, "SELECT name FROM pragma_index_list(" +
                                                      literal(layout.table) +
                                                      ") WHERE \"unique\" = 1 AND partial = 0 "
                                                      "ORDER BY name"));
  while (true) {
    SPILLWAY_TRY(row, rows.step());
    if (!row) return {};
    SPILLWAY_TRY(set, read_index(database, layout, rows.text(0)));
    if (set) layout.unique.push_back(std::move(*set));
  }
}

/// The name under which the row id can be asked for, if no column hides it.
std::string rowid_name(const Layout& layout) {
  for (const char* name : {"rowid", "_rowid_", "oid"}) {
    const bool hidden = std::any_of(
        layout.columns.begin(), layout.columns.end(),
        [&](const Column& column) { return sqlite3_stricmp(column.name.c_str(), name) == 0; });
    if (!hidden) return name;
  }
  return {};
}

Result<void> check(const Layout& layout, bool without_rowid) {
  const auto refuse = [&](const std::string& why) {
    return core::fail(ErrorCode::kInvalidArgument,
                      "table " + layout.table + " cannot be captured: " + why);
  };
  if (layout.columns.empty() || layout.columns.size() > kColumnsMax) {
    return refuse("it has more than " + std::to_string(kColumnsMax) + " columns");
  }
  for (const Column& column : layout.columns) {
    if (column.name.size() > kColumnNameBytesMax) return refuse("a column's name is too long");
  }
  if (layout.key().size() > kKeyColumnsMax) return refuse("its key has more than 16 columns");
  if (layout.rowid.empty() && !without_rowid) {
    return refuse("columns named rowid, _rowid_ and oid hide its row id");
  }
  return {};
}

}  // namespace

std::string quoted(const std::string& name) { return doubled(name, '"'); }
std::string literal(std::string_view text) { return doubled(text, '\''); }

std::vector<std::size_t> Layout::key() const {
  std::vector<std::size_t> key;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].key > 0) key.push_back(i);
  }
  std::sort(key.begin(), key.end(),
            [this](std::size_t a, std::size_t b) { return columns[a].key < columns[b].key; });
  return key;
}

std::string Layout::text() const {
  json::array list;
  for (const Column& column : columns) list.push_back({column.name, column.type, column.key});
  json::array sets;
  for (const UniqueSet& set : unique) {
    sets.push_back({json::value_from(set.columns), json::value_from(set.collations)});
  }
  return json::serialize(
      json::object{{"rowid", rowid}, {"columns", std::move(list)}, {"unique", std::move(sets)}});
}

Result<Layout> Layout::parse(std::int64_t id, const std::string& table, const std::string& text) {
  Layout layout;
  layout.id = id;
  layout.table = table;
  try {
    const json::value value = json::parse(text);
    layout.rowid = json::value_to<std::string>(value.at("rowid"));
    for (const json::value& column : value.at("columns").as_array()) {
      const auto& parts = column.as_array();
      layout.columns.push_back({json::value_to<std::string>(parts.at(0)),
                                json::value_to<std::string>(parts.at(1)),
                                parts.at(2).to_number<int>()});
    }
    for (const json::value& set : value.at("unique").as_array()) {
      layout.unique.push_back({json::value_to<std::vector<std::size_t>>(set.as_array().at(0)),
                               json::value_to<std::vector<std::string>>(set.as_array().at(1))});
    }
  } catch (const std::exception& error) {
    return core::fail(ErrorCode::kCorrupt, "the stored layout of table " + table +
                                               " cannot be read (" + error.what() +
                                               "): spillway-capture remove and setup make it anew");
  }
  return layout;
}

Result<std::optional<Layout>> describe_table(sqlite3* database, const std::string& table) {
  SPILLWAY_TRY(facts, Statement::prepare(database,
                                         "SELECT type, wr, name FROM pragma_table_list WHERE "
                                         "schema = 'main' AND name = ?1 COLLATE NOCASE"));
  facts.bind(1, std::string_view(table));
  SPILLWAY_TRY(there, facts.step());
  if (!there) return std::optional<Layout>{};
  if (facts.text(0) != "table") {
    return core::fail(ErrorCode::kInvalidArgument,
                      table + " is a " + facts.text(0) + ": only tables can be captured");
  }
  const bool without_rowid = facts.integer(1) != 0;
  Layout layout;
  layout.table = table;
  SPILLWAY_CHECKED(read_columns(database, layout));
  if (!without_rowid) layout.rowid = rowid_name(layout);
  SPILLWAY_CHECKED(check(layout, without_rowid));
  SPILLWAY_CHECKED(read_unique(database, layout));
  return std::optional<Layout>(std::move(layout));
}

}  // namespace spillway::agent::capture
