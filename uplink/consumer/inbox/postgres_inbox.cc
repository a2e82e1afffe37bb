#include "uplink/consumer/inbox/postgres_inbox.h"

#include <chrono>

#include "spillway/core/log.h"
#include "uplink/consumer/inbox/postgres_batches.h"
#include "uplink/consumer/inbox/postgres_schema.h"

namespace spillway::consumer {

namespace {

using core::ErrorCode;
using core::Result;

class PostgresInbox final : public Inbox {
 public:
  static constexpr std::chrono::milliseconds kTryEvery{500};

  PostgresInbox(PostgresAddress address, PgConnection connection)
      : address_(std::move(address)), connection_(std::move(connection)) {}

  Result<std::optional<StoredPosition>> position(const InboxKey& key) override;
  void commit(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes) override;
  Result<std::vector<InboxMark>> marks(const std::string& source) override;

 private:
  Result<void> be_connected();
  Result<void> try_commit(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes);
  Result<PgResult> ask(const char* sql, const PgParameters& parameters);
  void forget_if_broken();

  PostgresAddress address_;
  std::optional<PgConnection> connection_;
  core::Error why_;  // while there is none
  std::chrono::steady_clock::time_point tried_{};
};

core::Error in_context(core::Error error) {
  error.message = "inbox in PostgreSQL: " + error.message;
  if (error.code == ErrorCode::kFull) error.message += "; make room on its disk";
  return error;
}

Result<PgConnection> connect(const PostgresAddress& address) {
  SPILLWAY_TRY(connection, open_postgres_database(address));
  SPILLWAY_CHECKED(prepare_inbox_statements(connection));
  return std::move(connection);
}

Result<void> PostgresInbox::be_connected() {
  if (connection_) return {};
  const auto now = std::chrono::steady_clock::now();
  if (now - tried_ < kTryEvery) return tl::unexpected(why_);
  tried_ = now;
  auto connected = connect(address_);
  if (!connected) {
    why_ = in_context(std::move(connected).error());
    return tl::unexpected(why_);
  }
  connection_.emplace(std::move(*connected));
  spdlog::info("the inbox in PostgreSQL answers again: records are taken");
  return {};
}

void PostgresInbox::forget_if_broken() {
  if (!connection_ || !connection_->is_broken()) return;
  why_ = {ErrorCode::kUnavailable, "inbox in PostgreSQL: the connection was lost"};
  connection_.reset();
}

Result<PgResult> PostgresInbox::ask(const char* sql, const PgParameters& parameters) {
  SPILLWAY_CHECKED(be_connected());
  auto answer = connection_->query(sql, parameters);
  forget_if_broken();
  if (!answer) return tl::unexpected(in_context(std::move(answer).error()));
  return answer;
}

Result<std::optional<StoredPosition>> PostgresInbox::position(const InboxKey& key) {
  PgParameters parameters;
  parameters.text(key.gateway.text()).text(key.journal.text()).text(key.stream);
  SPILLWAY_TRY(found, ask("SELECT next_offset, last_record FROM position "
                          "WHERE gateway = $1 AND journal = $2 AND stream = $3",
                          parameters));
  if (found.rows() == 0) return std::optional<StoredPosition>();
  return std::optional(StoredPosition(found.number(0, 0), found.number(0, 1)));
}

Result<std::vector<InboxMark>> PostgresInbox::marks(const std::string& source) {
  PgParameters parameters;
  parameters.text(source);
  SPILLWAY_TRY(found, ask("SELECT partition, position FROM source_position WHERE source = $1 "
                          "ORDER BY partition",
                          parameters));
  std::vector<InboxMark> marks;
  marks.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    marks.push_back({source, std::string(found.text(row, 0)), found.number(row, 1)});
  }
  return marks;
}

Result<void> PostgresInbox::try_commit(std::span<const InboxBatch> batches,
                                       std::vector<Result<void>>& outcomes) {
  SPILLWAY_CHECKED(be_connected());
  PostgresBatches transaction(*connection_, batches, outcomes);
  auto applied = transaction.apply();
  if (applied) applied = connection_->send("commit");
  if (applied) applied = connection_->collect().map([](auto&&) {});
  if (!applied) connection_->roll_back();
  return applied;
}

void PostgresInbox::commit(std::span<const InboxBatch> batches,
                           std::vector<Result<void>>& outcomes) {
  outcomes.assign(batches.size(), {});
  auto whole = try_commit(batches, outcomes);
  forget_if_broken();
  if (whole) return;
  // Rows that contradict each other are one gateway's trouble: the others' batches are tried without it.
  if (whole.error().code == ErrorCode::kCorrupt && batches.size() > 1) {
    std::vector<Result<void>> single;
    for (std::size_t i = 0; i < batches.size(); ++i) {
      commit(batches.subspan(i, 1), single);
      outcomes[i] = std::move(single.front());
    }
    return;
  }
  outcomes.assign(batches.size(), tl::unexpected(in_context(std::move(whole).error())));
}

}  // namespace

Result<std::unique_ptr<Inbox>> open_postgres_inbox(const PostgresAddress& address) {
  auto connection = connect(address);
  if (!connection) return tl::unexpected(in_context(std::move(connection).error()));
  return std::unique_ptr<Inbox>(std::make_unique<PostgresInbox>(address, std::move(*connection)));
}

}  // namespace spillway::consumer
