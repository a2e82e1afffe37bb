// PgOutboxSource: a PostgreSQL database whose triggers write an outbox, as a Source.
//
// One thread. A key's position is the row's number in the outbox; its index is 1, and that of a schema
// record that comes with it 0. `transaction` is the writer's id; transactions that ran at once lie
// between each other, so none has an end that is told. Values come with the types that the columns have
// when they are read; a value whose column has gone meanwhile comes as text.
//
// Invariants: those of OutboxTables, and 1 of SqliteSource.
#pragma once

#include <boost/json/object.hpp>
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
  [[nodiscard]] bool note_offered(SavedPosition& position) override;
  [[nodiscard]] std::string state() const override {
    return busy_ ? "waiting for writers" : "streaming";
  }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] core::Result<void> check_history(const PositionFile& position, bool installed);
  [[nodiscard]] core::Result<void> look_around();
  [[nodiscard]] core::Result<bool> find_new();
  [[nodiscard]] core::Result<void> read(Batch& batch);
  [[nodiscard]] core::Result<std::string> why_not_the_same(
      const std::optional<SavedPosition>& saved, bool installed);
  [[nodiscard]] core::Result<std::shared_ptr<const Relation>> relation_of(const std::string& table);
  [[nodiscard]] core::Result<std::shared_ptr<const Relation>> relation_for(
      const std::string& table, const boost::json::object& old_row,
      const boost::json::object& new_row);
  [[nodiscard]] core::Result<void> add_change(const PGresult* rows, int row, Batch& batch);

  const core::CaptureConfig& capture_;
  std::optional<PgConnection> connection_;
  std::optional<OutboxTables> tables_;
  std::map<std::string, std::shared_ptr<const Relation>> relations_;  // as they are now
  std::map<std::string, Relation> told_;                              // by schema records
  PgMark mark_;
  std::uint64_t taken_ = 0;
  std::uint64_t settled_ = 0;
  bool busy_ = false;
  Clock::time_point looked_around_;
};

}  // namespace spillway::agent::capture
