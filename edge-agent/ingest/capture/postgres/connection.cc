#include "edge-agent/ingest/capture/postgres/connection.h"

#include <array>
#include <cstdio>

#include "spillway/core/env/posix_env.h"

namespace spillway::agent::capture {

using core::ErrorCode;
using core::Result;

namespace {

constexpr std::size_t kPasswordBytesMax = 4096;

Result<std::string> read_password(const core::CaptureConfig& capture) {
  if (capture.password_file.empty()) return std::string();
  SPILLWAY_TRY(bytes, core::env::read_file(core::env::posix_env(), capture.password_file,
                                           kPasswordBytesMax));
  std::string password(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!password.empty() && (password.back() == '\n' || password.back() == '\r')) {
    password.pop_back();
  }
  return password;
}

std::string trimmed(const char* message) {
  std::string text(message);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

ErrorCode code_of(const PGconn* connection, const PGresult* result) {
  if (PQstatus(connection) == CONNECTION_BAD) return ErrorCode::kUnavailable;
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string_view code = state == nullptr ? "" : state;
  if (code == "42501" || code.starts_with("28")) return ErrorCode::kPermission;
  if (code.starts_with("42")) return ErrorCode::kNotFound;
  if (code.starts_with("55")) return ErrorCode::kBusy;
  if (code.starts_with("53")) return ErrorCode::kFull;
  return ErrorCode::kUnavailable;
}

}  // namespace

core::Error pg_error(PGconn* connection, const std::string& what) {
  return {ErrorCode::kUnavailable, what + ": " + trimmed(PQerrorMessage(connection))};
}

Result<PgConnection> PgConnection::open(const core::CaptureConfig& capture, bool replication) {
  SPILLWAY_TRY(password, read_password(capture));
  const std::string name = "spillway-capture " + capture.name;
  const std::string timeout = std::to_string(kConnectSeconds);
  // Values come as text: in forms that say everything, whatever the server's settings are.
  constexpr const char* kForms =
      "-c bytea_output=hex -c extra_float_digits=3 -c datestyle=ISO,YMD -c intervalstyle=iso_8601 "
      "-c timezone=UTC -c idle_in_transaction_session_timeout=0 -c statement_timeout=0";
  const std::array<const char*, 10> keys{"dbname",
                                         "application_name",
                                         "connect_timeout",
                                         "client_encoding",
                                         "options",
                                         "keepalives_idle",
                                         "tcp_user_timeout",
                                         replication ? "replication" : "keepalives",
                                         password.empty() ? nullptr : "password",
                                         nullptr};
  const std::array<const char*, 10> values{capture.source.c_str(),
                                           name.c_str(),
                                           timeout.c_str(),
                                           "UTF8",
                                           kForms,
                                           "30",
                                           "60000",
                                           replication ? "database" : "1",
                                           password.empty() ? nullptr : password.c_str(),
                                           nullptr};
  PgConnection connection(PQconnectdbParams(keys.data(), values.data(), 1));
  if (PQstatus(connection.get()) == CONNECTION_OK) return connection;
  return tl::unexpected(pg_error(connection.get(), "cannot connect to the database"));
}

Result<PgResult> PgConnection::run(const std::string& sql) {
  PgResult result(PQexec(get(), sql.c_str()));
  switch (PQresultStatus(result.get())) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_COPY_BOTH:
    case PGRES_EMPTY_QUERY:
      return result;
    default:
      break;
  }
  constexpr std::size_t kShown = 100;
  return core::fail(code_of(get(), result.get()),
                    "\"" + sql.substr(0, kShown) + "\": " + trimmed(PQerrorMessage(get())));
}

std::string PgConnection::literal(const std::string& text) const {
  char* const made = PQescapeLiteral(get(), text.data(), text.size());
  std::string literal = made == nullptr ? "''" : made;
  PQfreemem(made);
  return literal;
}

std::string PgConnection::quoted(const std::string& name) const {
  char* const made = PQescapeIdentifier(get(), name.data(), name.size());
  std::string quoted = made == nullptr ? "\"\"" : made;
  PQfreemem(made);
  return quoted;
}

std::string PgConnection::quoted_table(const std::string& table) const {
  const TableName name = split_table(table);
  return quoted(name.schema) + "." + quoted(name.table);
}

TableName split_table(const std::string& name) {
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos) return {"public", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

std::string text_of_lsn(std::uint64_t lsn) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%X/%X", static_cast<unsigned>(lsn >> 32),
                static_cast<unsigned>(lsn));
  return text.data();
}

std::uint64_t parse_lsn(const std::string& text) {
  unsigned high = 0;
  unsigned low = 0;
  if (std::sscanf(text.c_str(), "%X/%X", &high, &low) != 2) return 0;
  return static_cast<std::uint64_t>(high) << 32 | low;
}

}  // namespace spillway::agent::capture
