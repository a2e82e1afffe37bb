// TableSnapshot: the rows of a capture's tables as they were when its slot was made, read through the
// snapshot that the slot has exported; every change behind them comes by the slot.
//
// One thread. Keys are (position, number of the record): position is just below every commit that the
// slot will send.
#pragma once

#include "edge-agent/ingest/capture/postgres/pgoutput.h"
#include "edge-agent/ingest/capture/postgres/publication.h"
#include "edge-agent/ingest/capture/source.h"

namespace spillway::agent::capture {

class TableSnapshot {
 public:
  /// Takes the connection over, for one transaction that begins with the exported snapshot.
  [[nodiscard]] static core::Result<std::unique_ptr<TableSnapshot>> begin(
      PgConnection connection, const core::CaptureConfig& capture, const std::string& exported,
      std::uint64_t position);

  /// Adds the next rows; true when these were the last ones.
  [[nodiscard]] core::Result<bool> fetch(Batch& batch);

 private:
  static constexpr int kRowsMax = 500;
  static constexpr int kRowsFirst = 16;

  TableSnapshot(PgConnection connection, const core::CaptureConfig& capture, std::uint64_t position)
      : connection_(std::move(connection)), capture_(capture), position_(position) {}
  [[nodiscard]] core::Result<void> begin_table(Batch& batch);
  [[nodiscard]] core::Result<std::string> columns_of(std::uint32_t oid);
  void add(Batch& batch, Change change);

  PgConnection connection_;
  const core::CaptureConfig& capture_;
  std::uint64_t position_;
  std::uint64_t number_ = 0;
  std::size_t table_ = 0;
  bool open_ = false;  // the table's cursor
  int rows_wanted_ = kRowsFirst;
  std::shared_ptr<const Relation> relation_;
};

}  // namespace spillway::agent::capture
