// Thin RAII over libpq: a connection, plain or for replication, and results. One thread.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>

#include "spillway/core/capture_config.h"
#include "spillway/core/result.h"

namespace spillway::agent::capture {

struct FinishConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct ClearResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, ClearResult>;

class PgConnection {
 public:
  /// Waits at most kConnectSeconds. kUnavailable: nobody answers; kPermission: not let in.
  [[nodiscard]] static core::Result<PgConnection> open(const core::CaptureConfig& capture,
                                                       bool replication);

  /// One statement; rows or none. kUnavailable: the connection is lost.
  [[nodiscard]] core::Result<PgResult> run(const std::string& sql);
  [[nodiscard]] PGconn* get() const { return connection_.get(); }
  /// 'text', "name" for SQL.
  [[nodiscard]] std::string literal(const std::string& text) const;
  [[nodiscard]] std::string quoted(const std::string& name) const;
  /// "schema"."table"; without a schema, public.
  [[nodiscard]] std::string quoted_table(const std::string& table) const;

 private:
  static constexpr int kConnectSeconds = 10;

  explicit PgConnection(PGconn* connection) : connection_(connection) {}
  std::unique_ptr<PGconn, FinishConnection> connection_;
};

/// The error that the connection tells of last, with the code that fits.
[[nodiscard]] core::Error pg_error(PGconn* connection, const std::string& what);
/// 'schema' and 'table' of what a person writes; without a schema, public.
struct TableName {
  std::string schema;
  std::string table;
};
[[nodiscard]] TableName split_table(const std::string& name);

[[nodiscard]] std::string text_of_lsn(std::uint64_t lsn);
/// 0 where it is none.
[[nodiscard]] std::uint64_t parse_lsn(const std::string& text);

}  // namespace spillway::agent::capture
