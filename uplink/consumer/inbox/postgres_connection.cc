#include "uplink/consumer/inbox/postgres_connection.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace spillway::consumer {

using core::Error;
using core::ErrorCode;
using core::Result;

namespace {

void put_u32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
}

std::uint64_t capped(std::uint64_t value) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  return std::min(value, kLargest);
}

std::uint64_t parse(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return static_cast<std::uint64_t>(value);
}

/// By the class of its SQLSTATE (PostgreSQL, appendix A).
ErrorCode code_of(std::string_view state) {
  if (state.empty() || state.starts_with("08") || state.starts_with("57P") || state == "53300") {
    return ErrorCode::kUnavailable;
  }
  if (state.starts_with("53")) return ErrorCode::kFull;
  if (state.starts_with("40") || state == "55P03" || state == "57014") return ErrorCode::kBusy;
  if (state == "42501" || state.starts_with("28")) return ErrorCode::kPermission;
  if (state == "3D000") return ErrorCode::kNotFound;
  if (state == "25006") return ErrorCode::kReadOnly;
  if (state.starts_with("22") || state.starts_with("23") || state.starts_with("XX001")) {
    return ErrorCode::kCorrupt;
  }
  return ErrorCode::kIo;
}

/// One line: libpq's have several.
std::string line_of(std::string_view message) {
  std::string line(message);
  while (line.ends_with('\n')) line.pop_back();
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

PgArray::PgArray(Type type) : type_(type) {}

void PgArray::add(std::string_view text) {
  put_u32(elements_, static_cast<std::uint32_t>(text.size()));
  elements_ += text;
  ++count_;
}

void PgArray::add(std::span<const std::byte> bytes) {
  add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void PgArray::add(std::optional<std::uint64_t> number) {
  if (!number) return add_null();
  put_u32(elements_, 8);
  const std::uint64_t value = capped(*number);
  put_u32(elements_, static_cast<std::uint32_t>(value >> 32));
  put_u32(elements_, static_cast<std::uint32_t>(value));
  ++count_;
}

void PgArray::add_index(std::uint32_t number) {
  put_u32(elements_, 4);
  put_u32(elements_, number);
  ++count_;
}

void PgArray::add_null() {
  put_u32(elements_, 0xFFFF'FFFF);
  has_null_ = true;
  ++count_;
}

std::string PgArray::take() {
  std::string whole;
  whole.reserve(elements_.size() + 20);
  put_u32(whole, count_ == 0 ? 0 : 1);  // dimensions
  put_u32(whole, has_null_ ? 1 : 0);
  put_u32(whole, static_cast<std::uint32_t>(type_));
  if (count_ == 0) return whole;
  put_u32(whole, count_);
  put_u32(whole, 1);  // the first index
  return whole += elements_;
}

PgParameters& PgParameters::add(std::string value, bool is_binary) {
  storage_.push_back(std::move(value));
  values_.push_back(storage_.back().c_str());
  lengths_.push_back(static_cast<int>(storage_.back().size()));
  formats_.push_back(is_binary ? 1 : 0);
  return *this;
}

PgParameters& PgParameters::text(std::string_view value) { return add(std::string(value), false); }

PgParameters& PgParameters::text_or_null(std::string_view value) {
  if (!value.empty()) return text(value);
  values_.push_back(nullptr);
  lengths_.push_back(0);
  formats_.push_back(0);
  return *this;
}

PgParameters& PgParameters::number(std::optional<std::uint64_t> value) {
  return text_or_null(value ? std::to_string(capped(*value)) : std::string());
}

PgParameters& PgParameters::bytes(std::span<const std::byte> value) {
  return add(std::string(reinterpret_cast<const char*>(value.data()), value.size()), true);
}

PgParameters& PgParameters::array(PgArray value) { return add(value.take(), true); }

std::uint64_t PgResult::number(int row, int column) const { return parse(text(row, column)); }

std::uint64_t PgResult::changed() const { return parse(PQcmdTuples(raw_.get())); }

std::vector<std::byte> PgResult::bytes(int row, int column) const {
  std::size_t size = 0;
  unsigned char* raw = PQunescapeBytea(
      reinterpret_cast<const unsigned char*>(PQgetvalue(raw_.get(), row, column)), &size);
  if (raw == nullptr) return {};
  const auto* begin = reinterpret_cast<const std::byte*>(raw);
  std::vector<std::byte> copy(begin, begin + size);
  PQfreemem(raw);
  return copy;
}

Result<PgConnection> PgConnection::open(const PostgresAddress& address) {
  const std::string connect_s = std::to_string(kConnectS);
  const std::string silence_ms = std::to_string(kSilenceMs);
  const std::string options =
      "-c statement_timeout=" + std::to_string(kStatementMs) +
      " -c lock_timeout=" + std::to_string(kLockMs) +
      " -c idle_in_transaction_session_timeout=" + std::to_string(kStatementMs) +
      " -c client_min_messages=warning";
  // What the url says counts more than what stands before it, and less than what stands behind it.
  const char* const names[] = {"connect_timeout", "tcp_user_timeout", "dbname",          "password",
                               "options",         "application_name", "client_encoding", nullptr};
  const char* const values[] = {connect_s.c_str(),
                                silence_ms.c_str(),
                                address.url.c_str(),
                                address.password.empty() ? nullptr : address.password.c_str(),
                                options.c_str(),
                                "spillway-consumer",
                                "UTF8",
                                nullptr};
  PgConnection connection(PQconnectdbParams(names, values, 1));
  if (connection.connection_ == nullptr) {
    return core::fail(ErrorCode::kIo, "no memory for a connection to PostgreSQL");
  }
  if (connection.is_broken()) {
    const std::string message = line_of(PQerrorMessage(connection.connection_.get()));
    // libpq gives no SQLSTATE here.
    const bool is_refused = message.find("authentication failed") != std::string::npos ||
                            message.find("no password supplied") != std::string::npos;
    return core::fail(is_refused ? ErrorCode::kPermission : ErrorCode::kUnavailable, message);
  }
  if (PQsetnonblocking(connection.connection_.get(), 1) != 0) {
    return tl::unexpected(connection.error(nullptr));
  }
  return connection;
}

Error PgConnection::error(const PGresult* result) const {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* primary =
      result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const ErrorCode code = is_broken() ? ErrorCode::kUnavailable : code_of(state ? state : "");
  return {code, line_of(primary ? primary : PQerrorMessage(connection_.get()))};
}

Result<PgResult> PgConnection::checked(PGresult* raw) const {
  PgResult result(raw);
  const ExecStatusType status = PQresultStatus(raw);
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return result;
  return tl::unexpected(error(raw));
}

Result<void> PgConnection::prepare(const char* name, const char* sql) {
  SPILLWAY_CHECKED(checked(PQprepare(connection_.get(), name, sql, 0, nullptr)).map([](auto&&) {}));
  return {};
}

Result<void> PgConnection::execute(const char* sql) {
  SPILLWAY_CHECKED(checked(PQexec(connection_.get(), sql)).map([](auto&&) {}));
  return {};
}

Result<PgResult> PgConnection::query(const char* sql, const PgParameters& parameters) {
  return checked(PQexecParams(connection_.get(), sql, static_cast<int>(parameters.values_.size()),
                              nullptr, parameters.values_.data(), parameters.lengths_.data(),
                              parameters.formats_.data(), 0));
}

Result<void> PgConnection::send(const char* name, const PgParameters& parameters) {
  PGconn* raw = connection_.get();
  if (PQpipelineStatus(raw) == PQ_PIPELINE_OFF && PQenterPipelineMode(raw) != 1)
    return tl::unexpected(error(nullptr));
  if (PQsendQueryPrepared(raw, name, static_cast<int>(parameters.values_.size()),
                          parameters.values_.data(), parameters.lengths_.data(),
                          parameters.formats_.data(), 0) != 1) {
    return tl::unexpected(error(nullptr));
  }
  return {};
}

Result<std::vector<PgResult>> PgConnection::collect() {
  std::vector<PgResult> results;
  PGconn* raw = connection_.get();
  if (PQpipelineStatus(raw) == PQ_PIPELINE_OFF) return results;
  std::optional<Error> failed;
  if (PQpipelineSync(raw) != 1) failed = error(nullptr);
  for (bool synced = false; !synced && !is_broken();) {
    PGresult* result = PQgetResult(raw);
    if (result == nullptr) continue;  // between two statements
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
      PQclear(result);
      synced = true;
      continue;
    }
    auto one = checked(result);
    if (one) {
      results.push_back(std::move(*one));
    } else if (!failed) {
      failed = std::move(one).error();
    }
  }
  if (is_broken() && !failed) failed = error(nullptr);
  if (!is_broken() && PQexitPipelineMode(raw) != 1 && !failed) failed = error(nullptr);
  if (failed) return tl::unexpected(std::move(*failed));
  return results;
}

void PgConnection::roll_back() {
  static_cast<void>(collect());
  if (is_broken() || PQtransactionStatus(connection_.get()) == PQTRANS_IDLE) return;
  static_cast<void>(execute("ROLLBACK"));
}

}  // namespace spillway::consumer
