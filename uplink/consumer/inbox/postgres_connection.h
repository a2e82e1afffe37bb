// Thin RAII over libpq: one connection, prepared statements sent in a pipeline, parameters in binary
// arrays. One thread.
//
// Connecting, a statement, and waiting for a lock each have a bound (kConnectS, kStatementMs, kLockMs), and
// a network or a machine that is gone is found out by the kernel (kSilenceMs).
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::consumer {

/// Where the inbox is, and who asks.
struct PostgresAddress {
  std::string url;       // postgresql://user@host:port/database?...
  std::string password;  // empty: as libpq finds it
};

/// An array parameter in PostgreSQL's binary format.
class PgArray {
 public:
  enum class Type : std::uint32_t { kBytea = 17, kInt8 = 20, kInt4 = 23, kText = 25 };

  explicit PgArray(Type type);

  void add(std::string_view text);
  void add(std::span<const std::byte> bytes);
  void add(std::optional<std::uint64_t> number);  // kInt8; above 2^63 - 1 it is that
  void add_index(std::uint32_t number);           // kInt4
  void add_null();
  [[nodiscard]] std::size_t size() const { return count_; }
  /// Complete; nothing is added any more.
  [[nodiscard]] std::string take();

 private:
  Type type_;
  std::uint32_t count_ = 0;
  bool has_null_ = false;
  std::string elements_;
};

class PgParameters {
 public:
  PgParameters& text(std::string_view value);
  PgParameters& text_or_null(std::string_view value);  // empty: NULL
  PgParameters& number(std::optional<std::uint64_t> value);
  PgParameters& bytes(std::span<const std::byte> value);
  PgParameters& array(PgArray value);

 private:
  friend class PgConnection;
  PgParameters& add(std::string value, bool is_binary);

  std::deque<std::string> storage_;  // whose elements stay where they are
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
};

class PgResult {
 public:
  explicit PgResult(PGresult* raw) : raw_(raw) {}

  [[nodiscard]] int rows() const { return PQntuples(raw_.get()); }
  [[nodiscard]] bool is_null(int row, int column) const {
    return PQgetisnull(raw_.get(), row, column) == 1;
  }
  [[nodiscard]] std::string_view text(int row, int column) const {
    return {PQgetvalue(raw_.get(), row, column),
            static_cast<std::size_t>(PQgetlength(raw_.get(), row, column))};
  }
  [[nodiscard]] std::uint64_t number(int row, int column) const;
  /// Of a bytea in text: its bytes.
  [[nodiscard]] std::vector<std::byte> bytes(int row, int column) const;
  /// How many rows a statement changed.
  [[nodiscard]] std::uint64_t changed() const;
  [[nodiscard]] const PGresult* raw() const { return raw_.get(); }

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> raw_;
};

class PgConnection {
 public:
  static constexpr int kConnectS = 5;
  static constexpr int kStatementMs = 60'000;
  static constexpr int kLockMs = 5'000;
  static constexpr int kSilenceMs = 20'000;

  [[nodiscard]] static core::Result<PgConnection> open(const PostgresAddress& address);

  [[nodiscard]] core::Result<void> prepare(const char* name, const char* sql);
  /// Statements without parameters, one after another.
  [[nodiscard]] core::Result<void> execute(const char* sql);
  [[nodiscard]] core::Result<PgResult> query(const char* sql, const PgParameters& parameters = {});

  // A pipeline: send() any number of prepared statements, then collect() their results in that order. If
  // one fails those behind it are not run; the first error is the answer.
  [[nodiscard]] core::Result<void> send(const char* name, const PgParameters& parameters = {});
  [[nodiscard]] core::Result<std::vector<PgResult>> collect();

  /// Nothing more can come of it.
  [[nodiscard]] bool is_broken() const { return PQstatus(connection_.get()) != CONNECTION_OK; }
  /// Rolls back, if a transaction is open.
  void roll_back();

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  explicit PgConnection(PGconn* raw) : connection_(raw) {}
  [[nodiscard]] core::Error error(const PGresult* result) const;
  [[nodiscard]] core::Result<PgResult> checked(PGresult* raw) const;

  std::unique_ptr<PGconn, Finish> connection_;
};

}  // namespace spillway::consumer
