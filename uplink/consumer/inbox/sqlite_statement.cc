#include "uplink/consumer/inbox/sqlite_statement.h"

#include <algorithm>
#include <limits>

namespace spillway::consumer {

using core::ErrorCode;
using core::Result;

namespace {

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
    case SQLITE_CONSTRAINT:
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

Result<void> execute(sqlite3* database, const char* sql, const std::string& what) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return tl::unexpected(sqlite_error(database, what));
}

Result<Statement> Statement::prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) !=
      SQLITE_OK) {
    return tl::unexpected(sqlite_error(database, "cannot prepare an inbox statement"));
  }
  Statement statement;
  statement.statement_.reset(raw);
  return statement;
}

void Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(statement_.get(), index, text.data(), text.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

void Statement::bind(int index, std::uint64_t value) {
  // SQLite's integers are signed; offsets stay below 2^62, and a peer's other numbers are capped
  // here.
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  sqlite3_bind_int64(statement_.get(), index,
                     static_cast<sqlite3_int64>(std::min(value, kLargest)));
}

void Statement::bind(int index, std::optional<std::uint64_t> value) {
  if (value) {
    bind(index, *value);
  } else {
    sqlite3_bind_null(statement_.get(), index);
  }
}

void Statement::bind_blob(int index, std::span<const std::byte> bytes) {
  sqlite3_bind_blob64(statement_.get(), index, bytes.data(), bytes.size(), SQLITE_STATIC);
}

Result<void> Statement::run() {
  const int code = sqlite3_step(statement_.get());
  sqlite3* database = sqlite3_db_handle(statement_.get());
  if (code == SQLITE_DONE || code == SQLITE_ROW) {
    sqlite3_reset(statement_.get());
    return {};
  }
  auto error = sqlite_error(database, "cannot write into the inbox");
  sqlite3_reset(statement_.get());
  return tl::unexpected(std::move(error));
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  auto error = sqlite_error(sqlite3_db_handle(statement_.get()), "cannot read from the inbox");
  sqlite3_reset(statement_.get());
  return tl::unexpected(std::move(error));
}

std::uint64_t Statement::column(int index) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), index));
}

bool Statement::is_null(int index) const {
  return sqlite3_column_type(statement_.get(), index) == SQLITE_NULL;
}

std::string Statement::text(int index) const {
  const auto* begin = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), index));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), index));
  return begin == nullptr ? std::string() : std::string(begin, size);
}

std::vector<std::byte> Statement::blob(int index) const {
  const auto* begin = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), index));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), index));
  if (begin == nullptr) return {};
  return {begin, begin + size};
}

}  // namespace spillway::consumer
