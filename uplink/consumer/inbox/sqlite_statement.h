// Thin RAII over SQLite's C interface: a connection and prepared statements. One thread.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::consumer {

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

/// "<what>: <SQLite's message>", with the code that fits.
[[nodiscard]] core::Error sqlite_error(sqlite3* database, const std::string& what);

/// Runs statements that return no rows.
[[nodiscard]] core::Result<void> execute(sqlite3* database, const char* sql,
                                         const std::string& what);

class Statement {
 public:
  Statement() = default;
  [[nodiscard]] static core::Result<Statement> prepare(sqlite3* database, const char* sql);

  // Text and blobs are not copied: they must live until run() or step() is done.
  void bind(int index, std::string_view text);
  void bind(int index, std::uint64_t value);
  void bind(int index, std::optional<std::uint64_t> value);
  void bind_null(int index) { sqlite3_bind_null(statement_.get(), index); }
  void bind_blob(int index, std::span<const std::byte> bytes);

  /// To the end, then ready for the next binding.
  [[nodiscard]] core::Result<void> run();
  /// True: there is a row. Reset after the last one.
  [[nodiscard]] core::Result<bool> step();
  void reset() { sqlite3_reset(statement_.get()); }
  [[nodiscard]] std::uint64_t column(int index) const;
  [[nodiscard]] bool is_null(int index) const;
  // Copies: the row goes on.
  [[nodiscard]] std::string text(int index) const;
  [[nodiscard]] std::vector<std::byte> blob(int index) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

}  // namespace spillway::consumer
