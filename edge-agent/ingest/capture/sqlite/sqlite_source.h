// SqliteSource: a SQLite database whose triggers write an outbox, as a Source.
//
// One thread. A key's position is the outbox's sequence number. A transaction is what lies between two
// marks (outbox.h): one or more whole transactions of the writers, which SQLite does not tell apart; to
// apply it as one never shows a state that the database has not had.
//
// Invariants:
//  1. At a start the outbox has forgotten everything up to saved.previous, or up to saved.safe, and
//     holds the mark of what was offered last, unless it has forgotten that. Anything else means that
//     another file, or an older copy, has taken its place, or that the position is an older one: a new
//     epoch begins, with a snapshot. So it does where no position tells how far the outbox was taken.
//  2. The file is looked at before each fetch: another one in its place ends this life.
#pragma once

#include <sys/types.h>

#include <optional>

#include "edge-agent/ingest/capture/source.h"
#include "edge-agent/ingest/capture/sqlite/outbox.h"

namespace spillway::agent::capture {

class SqliteSource final : public Source {
 public:
  explicit SqliteSource(const core::CaptureConfig& capture);

  [[nodiscard]] core::Result<Opened> open(PositionFile& position) override;
  [[nodiscard]] core::Result<void> start(const Key& safe) override;
  [[nodiscard]] core::Result<void> fetch(Batch& batch, std::chrono::milliseconds wait) override;
  [[nodiscard]] core::Result<void> confirm(const Key& safe) override;
  [[nodiscard]] bool note_offered(SavedPosition& position) override;
  [[nodiscard]] std::string state() const override;

 private:
  struct FileId {
    dev_t device = 0;
    ino_t inode = 0;
    friend bool operator==(const FileId&, const FileId&) = default;
  };

  [[nodiscard]] core::Result<FileId> identify() const;
  [[nodiscard]] core::Result<void> check_history(const PositionFile& position, bool installed);
  [[nodiscard]] core::Result<std::string> why_not_the_same(
      const std::optional<SavedPosition>& saved, bool installed);
  [[nodiscard]] core::Result<bool> something_new(std::chrono::milliseconds wait);
  [[nodiscard]] core::Result<void> take_turn();
  [[nodiscard]] core::Result<void> prepare_read();
  [[nodiscard]] core::Result<void> read(Batch& batch);
  [[nodiscard]] core::Result<std::optional<Change>> read_row();
  [[nodiscard]] core::Result<void> find_mark(std::int64_t sequence);
  void read_values(Change& change, const Layout& layout, bool old_side, bool new_side) const;
  void read_key(Change& change, const Layout& layout, bool from_old) const;
  static void describe(Change& change, const Layout& layout);

  const core::CaptureConfig& capture_;
  std::string path_;
  FileId file_;
  Database database_;
  std::optional<Outbox> outbox_;
  Statement rows_;
  std::size_t rows_width_ = 0;  // of the outbox when rows_ was prepared
  std::uint64_t confirmed_ = 0;
  bool turn_due_ = true;
  bool busy_ = false;
  std::int64_t data_version_ = -1;
  std::int64_t taken_ = 0;      // everything up to here was offered
  Mark mark_;                   // the last one
  std::int64_t last_mark_ = 0;  // everything up to here may be offered
  std::int64_t next_mark_ = 0;  // the mark behind `taken_`
};

}  // namespace spillway::agent::capture
