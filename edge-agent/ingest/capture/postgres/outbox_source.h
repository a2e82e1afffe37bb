// PgOutboxSource: a PostgreSQL database whose triggers write an outbox, as a Source.
//
// One thread. A key's position is the row's number in the outbox. `transaction` is the writer's id;
// transactions that ran at once lie between each other, so none has an end that is told. Values come
// with the types that the columns have when they are read.
//
// Invariants: those of OutboxTables, and 1 and 2 of SqliteSource.
#pragma once

#include <map>
#include <optional>

#include "edge-agent/ingest/capture/postgres/outbox_tables.h"
#include "edge-agent/ingest/capture/postgres/pgoutput.h"
#include "edge-agent/ingest/capture/source.h"

namespace spillway::agent::capture {

class PgOutboxSource final : public Source {
 public:
  explicit PgOutboxSource(const core::CaptureConfig& capture) : capture_(capture) {}

  [[nodiscard]] core::Result<Opened> open(PositionFile& position) override;
  [[nodiscard]] core::Result<void> start(const Key& safe) override;
  [[nodiscard]] core::Result<void> fetch(Batch& batch, std::chrono::milliseconds wait) override;
  [[nodiscard]] core::Result<void> confirm(const Key& safe) override;
  [[nodiscard]] std::string state() const override {
    return busy_ ? "waiting for writers" : "streaming";
  }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] core::Result<void> check_history(const PositionFile& position);
  [[nodiscard]] core::Result<void> look_around();
  [[nodiscard]] core::Result<bool> find_new();
  [[nodiscard]] core::Result<void> read(Batch& batch);
  [[nodiscard]] core::Result<std::shared_ptr<const Relation>> relation_of(const std::string& table);
  [[nodiscard]] core::Result<Change> change_of(const PGresult* rows, int row);

  const core::CaptureConfig& capture_;
  std::optional<PgConnection> connection_;
  std::optional<OutboxTables> tables_;
  std::map<std::string, std::shared_ptr<const Relation>> relations_;
  std::uint64_t taken_ = 0;
  std::uint64_t settled_ = 0;
  bool busy_ = false;
  Clock::time_point looked_around_;
};

}  // namespace spillway::agent::capture
