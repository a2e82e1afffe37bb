// Layout: the columns of one captured table, as its triggers know them.
//
// One thread. A layout never changes: another one takes its place, under another number.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "edge-agent/ingest/capture/sqlite/database.h"

namespace spillway::agent::capture {

struct Column {
  std::string name;
  std::string type;
  int key = 0;  // its place in the primary key, from 1; 0: not in it
};

/// Columns (by number) of which the table holds each combination once, with their collations.
struct UniqueSet {
  std::vector<std::size_t> columns;
  std::vector<std::string> collations;
};

struct Layout {
  std::int64_t id = 0;
  std::string table;
  std::string rowid;  // how the row id is called; empty: the table has none
  std::vector<Column> columns;
  std::vector<UniqueSet> unique;

  /// The key columns' numbers, in the key's order; empty: the row id is the key.
  [[nodiscard]] std::vector<std::size_t> key() const;
  /// As it is stored, and compared.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] static core::Result<Layout> parse(std::int64_t id, const std::string& table,
                                                  const std::string& text);
};

inline constexpr std::size_t kColumnsMax = 400;
inline constexpr std::size_t kColumnNameBytesMax = 255;
inline constexpr std::size_t kKeyColumnsMax = 16;

/// As the database has the table now; nothing if there is no such table. kInvalidArgument for one that
/// cannot be captured (a view, a virtual table, too many columns).
[[nodiscard]] core::Result<std::optional<Layout>> describe_table(sqlite3* database,
                                                                 const std::string& table);

/// "name", for SQL.
[[nodiscard]] std::string quoted(const std::string& name);
/// 'text', for SQL.
[[nodiscard]] std::string literal(std::string_view text);

}  // namespace spillway::agent::capture
