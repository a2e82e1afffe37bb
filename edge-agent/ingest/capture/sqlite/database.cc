#include "edge-agent/ingest/capture/sqlite/database.h"

#include <unistd.h>

#include <utility>

namespace spillway::agent::capture {

using core::ErrorCode;
using core::Result;

namespace {

/// Writers hold their lock for a moment; who holds it longer is waited for in the next turn. SQLite's
/// own waiting sleeps ever longer, and busy writers would never let us in.
constexpr int kBusyTriesMax = 3000;
constexpr useconds_t kBusyPauseUs = 1000;

int wait_for_lock(void* /*none*/, int tries) {
  if (tries >= kBusyTriesMax) return 0;
  ::usleep(kBusyPauseUs);
  return 1;
}

ErrorCode code_of(int sqlite_code) {
  switch (sqlite_code & 0xFF) {
    case SQLITE_FULL:
      return ErrorCode::kFull;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::kBusy;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return ErrorCode::kPermission;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::kCorrupt;
    case SQLITE_CANTOPEN:
      return ErrorCode::kNotFound;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

core::Error sqlite_error(sqlite3* database, const std::string& what) {
  return {code_of(sqlite3_errcode(database)), what + ": " + sqlite3_errmsg(database)};
}

Result<Database> open_database(const std::string& path) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) return tl::unexpected(sqlite_error(raw, "cannot open " + path));
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_handler(raw, wait_for_lock, nullptr);
  // FULL: what is captured is synced in the source first, so that it can never forget what the spill
  // has, and use its numbers again.
  SPILLWAY_CHECKED(execute(raw, "PRAGMA synchronous = FULL"));
  SPILLWAY_CHECKED(execute(raw, "PRAGMA foreign_keys = OFF"));
  return database;
}

Result<void> execute(sqlite3* database, const std::string& sql) {
  if (sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  constexpr std::size_t kShown = 80;
  return tl::unexpected(sqlite_error(database, "\"" + sql.substr(0, kShown) + "\""));
}

Result<Statement> Statement::prepare(sqlite3* database, const std::string& sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v3(database, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) !=
      SQLITE_OK) {
    return tl::unexpected(sqlite_error(database, "cannot prepare a statement"));
  }
  Statement statement;
  statement.statement_.reset(raw);
  return statement;
}

void Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(statement_.get(), index, text.data(), text.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

void Statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), index, value);
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  auto error = sqlite_error(sqlite3_db_handle(statement_.get()), "the source database");
  sqlite3_reset(statement_.get());
  return tl::unexpected(std::move(error));
}

Result<void> Statement::run() {
  bool row = true;
  while (row) {
    SPILLWAY_TRY(more, step());
    row = more;
  }
  return {};
}

std::int64_t Statement::integer(int index) const {
  return sqlite3_column_int64(statement_.get(), index);
}

std::string Statement::text(int index) const {
  const auto* begin = static_cast<const char*>(sqlite3_column_blob(statement_.get(), index));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), index));
  return begin == nullptr ? std::string() : std::string(begin, size);
}

bool Statement::is_null(int index) const {
  return sqlite3_column_type(statement_.get(), index) == SQLITE_NULL;
}

Value Statement::value(int index, std::string_view column) const {
  Value value;
  value.column = column;
  switch (sqlite3_column_type(statement_.get(), index)) {
    case SQLITE_INTEGER:
      value.kind = change::Kind::integer;
      value.integer = integer(index);
      break;
    case SQLITE_FLOAT:
      value.kind = change::Kind::real;
      value.real = sqlite3_column_double(statement_.get(), index);
      break;
    case SQLITE_TEXT:
      value.kind = change::Kind::text;
      value.bytes = text(index);
      break;
    case SQLITE_BLOB:
      value.kind = change::Kind::blob;
      value.bytes = text(index);
      break;
    default:
      break;
  }
  return value;
}

Result<std::int64_t> read_integer(sqlite3* database, const std::string& sql) {
  SPILLWAY_TRY(statement, Statement::prepare(database, sql));
  SPILLWAY_TRY(row, statement.step());
  return row ? statement.integer(0) : 0;
}

Result<WriteTransaction> WriteTransaction::begin(sqlite3* database) {
  SPILLWAY_CHECKED(execute(database, "BEGIN IMMEDIATE"));
  return WriteTransaction(database);
}

WriteTransaction::WriteTransaction(WriteTransaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

WriteTransaction::~WriteTransaction() {
  if (database_ != nullptr) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<void> WriteTransaction::commit() {
  SPILLWAY_CHECKED(execute(database_, "COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace spillway::agent::capture
