// Thin RAII over SQLite's C interface: a connection and prepared statements. One thread.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "edge-agent/ingest/capture/change.h"
#include "spillway/core/result.h"

namespace spillway::agent::capture {

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

/// "<what>: <SQLite's message>", with the code that fits; kBusy while another connection writes.
[[nodiscard]] core::Error sqlite_error(sqlite3* database, const std::string& what);
/// Opens what is there already; kNotFound else.
[[nodiscard]] core::Result<Database> open_database(const std::string& path);
/// Runs statements that return no rows.
[[nodiscard]] core::Result<void> execute(sqlite3* database, const std::string& sql);

class Statement {
 public:
  Statement() = default;
  [[nodiscard]] static core::Result<Statement> prepare(sqlite3* database, const std::string& sql);

  // Text is not copied: it must live until step() or run() is done.
  void bind(int index, std::string_view text);
  void bind(int index, std::int64_t value);
  /// True: there is a row. Reset after the last one.
  [[nodiscard]] core::Result<bool> step();
  /// To the end, then ready for the next binding.
  [[nodiscard]] core::Result<void> run();
  void reset() { sqlite3_reset(statement_.get()); }

  [[nodiscard]] std::int64_t integer(int index) const;
  [[nodiscard]] std::string text(int index) const;
  [[nodiscard]] bool is_null(int index) const;
  /// Exactly what the column holds.
  [[nodiscard]] Value value(int index, std::string_view column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// The first column of the first row; 0 where there is none or it is NULL.
[[nodiscard]] core::Result<std::int64_t> read_integer(sqlite3* database, const std::string& sql);

/// A transaction that takes the write lock at once; rolled back unless it is committed.
class WriteTransaction {
 public:
  [[nodiscard]] static core::Result<WriteTransaction> begin(sqlite3* database);
  ~WriteTransaction();
  WriteTransaction(WriteTransaction&& other) noexcept;
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;
  WriteTransaction& operator=(WriteTransaction&&) = delete;
  [[nodiscard]] core::Result<void> commit();

 private:
  explicit WriteTransaction(sqlite3* database) : database_(database) {}
  sqlite3* database_;
};

}  // namespace spillway::agent::capture
