// DeadRows: the dead records of an inbox in SQLite.
#pragma once

#include "uplink/consumer/inbox/dead_store.h"
#include "uplink/consumer/inbox/sqlite_statement.h"

namespace spillway::consumer {

class DeadRows final : public DeadStore {
 public:
  /// `path` is the inbox's file. kNotFound where there is none.
  [[nodiscard]] static core::Result<DeadRows> open(const std::string& path);

  core::Result<std::vector<DeadRow>> list(const DeadFilter& filter, std::size_t limit) override;
  core::Result<std::vector<std::byte>> payload(const RecordName& name) override;

 private:
  explicit DeadRows(Database database) : database_(std::move(database)) {}
  core::Result<std::uint64_t> change(std::span<const DeadRow> rows, Change what) override;
  [[nodiscard]] core::Result<void> change_some(std::span<const DeadRow> rows, const char* sql);

  Database database_;
};

}  // namespace spillway::consumer
